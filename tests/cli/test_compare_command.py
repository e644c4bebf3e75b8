"""`asapbench compare`, from a database to its lines."""

from pathlib import Path

import pytest
from commands import Commands

from asapbench.metrics import EpochMetrics
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.load import parse

SUITE = """[suite]
name = "mine"
[defaults]
dataset = "digits"
model = "resnet10"
epochs = 1
seeds = [0, 1, 2]
[[grid]]
rule = ["asap", "dfa"]
lr = 0.1
"""
ACCURACY = {"asap": (0.95, 0.94, 0.97), "dfa": (0.90, 0.88, 0.93)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    suite, where = parse(SUITE, source="mine.toml"), Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon"})
    url = f"sqlite:///{tmp_path}/x.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, suite.cells, text=suite.text)
        for cell in suite.cells:
            claim = store.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=where, device="cpu")
            accuracy = ACCURACY[cell.rule.name][cell.seed]
            store.record_epochs(claim, [EpochMetrics(1, 1.0, 0.5, 1.0, accuracy, None, None, 0.1, 1.0, 100.0, None)])
            store.finish(claim, "done")
    return url


def test_two_rules_of_all_suites_are_compared(asapbench: Commands, url: str) -> None:
    said = asapbench("compare", "asap", "dfa", "--db", url)
    assert said.status == 0
    # Differences 5, 6 and 4 points: t = 5 / (1 / sqrt(3)) = 8.66 with 2 degrees of freedom, p = 0.0131.
    row = next(line for line in said.out.splitlines() if line.startswith("ResNet-10"))
    assert " ".join(row.split()) == "ResNet-10 3 95.33 90.33 +5.00 +2.52 to +7.48 0.013 0.013 ASAP better"


def test_an_unknown_suite_gets_those_that_there_are(asapbench: Commands, url: str, tmp_path: Path) -> None:
    assert "--suite NAME (there are: mine)" in asapbench("report", "--db", url).err
    answer = asapbench("report", "--db", f"sqlite:///{tmp_path}/none.sqlite")
    assert answer.err.rstrip().endswith("--suite NAME")
    for command in ("list", "resume"):
        assert asapbench(command, "none", "--db", url).err.endswith('knows no suite "none" (there are: mine)\n')


def test_only_chooses_cells_and_out_writes_a_file(asapbench: Commands, url: str, tmp_path: Path) -> None:
    target = tmp_path / "c.md"
    words = ("--suite", "mine", "--only", "seed=0,1", "--test", "wilcoxon", "--interval", "bootstrap")
    assert asapbench("compare", "asap", "dfa", "--db", url, *words, "--out", str(target)).status == 0
    assert "too few seeds" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("asap", "kp"), "error: rule kp: these cells have no such rule; there are: asap, dfa"),
        (("asap", "asup"), 'error: rule asup: unknown rule "asup"; did you mean'),
        (("asap", "dfa", "--suite", "none"), 'the database holds nothing of suite "none" (there are: mine)'),
        (("asap", "dfa", "--only", "model=vgg"), 'error: --only model=vgg: no cell has model "vgg"'),
    ],
)
def test_bad_input_is_one_line(asapbench: Commands, url: str, words: tuple[str, ...], said: str) -> None:
    answer = asapbench("compare", *words, "--db", url)
    assert answer.status == 2
    assert said in answer.err
    assert len(answer.err.strip().splitlines()) == 1
