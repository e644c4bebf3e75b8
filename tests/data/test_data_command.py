import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asapbench.cli.data import app
from asapbench.data.files import data_root
from asapbench.data.lookup import published
from asapbench.errors import DataError

RUNNER = CliRunner()


def test_list_shows_every_set_in_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    shown = RUNNER.invoke(app, ["list", "--data", str(tmp_path)])
    assert shown.exit_code == 0
    _, titles, *lines = shown.output.splitlines()
    assert titles.split() == ["name", "training", "+", "test", "images", "classes", "here"]
    assert [line.split()[0] for line in lines] == [dataset.name for dataset in published()]
    assert ["built in" in line for line in lines] == [dataset.name == "digits" for dataset in published()]
    assert all(line.endswith("  no") for line in lines if "built in" not in line)
    assert ["mnist", "60,000", "+", "10,000", "1x28x28", "10", "no"] in map(str.split, lines)


def test_list_shows_what_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "meta").write_bytes(b"0" * 1473)
    shown = RUNNER.invoke(app, ["list", "--data", str(tmp_path)])
    assert "incomplete (2 files)" in shown.output


@pytest.mark.parametrize("command", ["prepare", "verify"])
def test_an_unknown_name_gets_the_nearest_one(command: str, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, [command, "cifar11", "--data", str(tmp_path)])
    assert isinstance(result.exception, DataError)
    assert 'unknown dataset "cifar11"; did you mean "cifar10"?' in str(result.exception)


def test_prepare_of_the_set_that_is_built_in_needs_nothing(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["prepare", "digits", "--data", str(tmp_path)])
    assert result.output == "digits: complete\n"
    assert list(tmp_path.iterdir()) == []


def test_verify_names_what_is_wrong_and_fails(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "meta").write_bytes(b"0" * 1473)
    result = RUNNER.invoke(app, ["verify", "--data", str(tmp_path)])
    assert "cifar100: damaged (" in result.output
    assert "mnist: missing\n" in result.output
    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith('cifar100: not complete as published: run "asapbench data prepare cifar100')


def test_the_command_and_the_quick_check_do_not_import_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from asapbench.cli.data import app; from asapbench.data import lookup, prepare\n"
        f"app(['list', '--data', {str(tmp_path)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_folder_is_the_option_else_the_variable_else_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASAPBENCH_DATA", "another-folder")
    assert data_root("given") == Path("given")
    assert data_root() == Path("another-folder")
    monkeypatch.delenv("ASAPBENCH_DATA")
    assert data_root(None) == Path("data")
