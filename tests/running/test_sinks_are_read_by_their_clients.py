"""A run that is killed and resumed, as each sink's own client or reader shows it: the database's epochs, each once."""

from __future__ import annotations

import csv
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_runs import query, recorded, run, start, wait_until, workers, write_suite

pytestmark = pytest.mark.slow

OPTIONS = {
    "csv": ["--csv-log", "log.csv"],
    "tensorboard": ["--tensorboard", "tb"],
    "wandb": ["--wandb", "demo"],
    "mlflow": ["--mlflow", "sqlite:///ml.db"],
}
EPOCHS = """
SELECT substr(cell_id, 1, 10) || '-' || substr(e.lineage, 1, 8), epoch, test_accuracy, e.lr
FROM epoch_metrics e JOIN attempt ON attempt.id = attempt_id ORDER BY 1, 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small suite that was killed once, with every sink whose client is installed."""
    made = tmp_path_factory.mktemp("sinks")
    write_suite(made)
    words = [word for name, given in OPTIONS.items() if find_spec(name) for word in given]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        process = start(made, "run", "small.toml", "--slots", "2", *words)
        wait_until(lambda: recorded(made) >= 3, "three epochs")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        wait_until(lambda: not workers(made), "the end of the workers")
        said = run(made, "resume", *words)
    assert "warning" not in said
    assert query(made, "SELECT count(*) FROM attempt WHERE state = 'interrupted'") >= [(1,)]
    return made


@pytest.fixture
def epochs(folder: Path) -> list[tuple[str, int, float, float]]:
    """Series, epoch, test accuracy, learning rate: what the database has."""
    found = query(folder, EPOCHS)
    assert len(found) == 12
    return found


def test_the_csv_module_and_pandas_read_the_log(folder: Path, epochs) -> None:
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = [(r["series"], int(r["epoch"]), float(r["test_accuracy"]), float(r["lr_of_epoch"])) for r in rows]
    assert sorted(values) == epochs
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.read_csv(folder / "log.csv")
    last = frame[frame.epoch == 3].groupby("rule").test_accuracy.mean()
    of_rules = "FROM attempt JOIN cell ON cell.id = cell_id WHERE state = 'done' GROUP BY rule"
    means = dict(query(folder, f"SELECT rule, avg(last_test_accuracy) {of_rules}"))
    assert last.to_dict() == pytest.approx(means)


def test_tensorboard_reads_the_event_files(folder: Path, epochs) -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    found = []
    for run_folder in (folder / "tb").iterdir():
        events = accumulators.EventAccumulator(str(run_folder))
        events.Reload()
        assert {"train/loss", "test/loss", "seconds"} <= set(events.Tags()["scalars"])
        series = run_folder.name[-19:]
        rates = [event.value for event in events.Scalars("lr")]
        found += [(series, e.step, e.value, r) for e, r in zip(events.Scalars("test/accuracy"), rates, strict=True)]
    assert [row[:2] for row in sorted(found)] == [row[:2] for row in epochs]
    assert [x for row in sorted(found) for x in row[2:]] == pytest.approx([x for row in epochs for x in row[2:]])


def test_tensorboard_shows_the_settings_as_hparams(folder: Path, epochs) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import plugin_data_pb2

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder / "tb")).Reload()
    rules = set()
    for content in multiplexer.PluginRunToTagToContent("hparams").values():
        data = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/session_start_info"])
        hparams = data.session_start_info.hparams
        rules.add(hparams["rule"].string_value)
        assert hparams["model"].string_value == "resnet10"
        assert hparams["model.width"].number_value == 2
    assert rules == {"bp", "asap"}


def test_mlflows_client_reads_the_runs(folder: Path, epochs) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'ml.db'}")
    experiment = client.get_experiment_by_name("asapbench")
    found = []
    for one in client.search_runs([experiment.experiment_id]):
        assert (one.info.status, one.data.params["model"]) == ("FINISHED", "resnet10")
        accuracies = client.get_metric_history(one.info.run_id, "test/accuracy")
        rates = client.get_metric_history(one.info.run_id, "lr")
        series = one.data.tags["asapbench.series"]
        found += [(series, a.step, a.value, r.value) for a, r in zip(accuracies, rates, strict=True)]
    assert sorted(found) == epochs


def test_wandbs_own_records_hold_the_epochs(folder: Path, epochs) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    from asapbench.running.sinks.wandb import _records

    found = []
    for log in (folder / "wandb").glob("offline-run-*/run-*.wandb"):
        for record in map(Record.FromString, _records(log.read_bytes())):
            if record.HasField("history"):
                values = {item.nested_key[0]: float(item.value_json) for item in record.history.item}
                series = log.stem.removeprefix("run-")
                found.append((series, record.history.step.num, values["test/accuracy"], values["lr"]))
    assert sorted(found) == epochs
