"""A path through symbolic links that form a loop is replaced, or is one error that names it: never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Commands

from asapbench.store import Store

RUN = ("run", "quickstart", "--only", "rule=bp", "--seeds", "0")


@pytest.fixture
def looped(asapbench: Commands) -> Commands:
    """A folder with a database, a file, and links that name themselves."""
    Store.open("x.sqlite").close()
    Path("file").touch()
    for name in ("loop", "loop.csv", "loop.sqlite"):
        Path(name).symlink_to(name)
    return asapbench


@pytest.mark.parametrize("name", ["loop.csv", "loop.sqlite"])
def test_an_export_replaces_it(name: str, looped: Commands) -> None:
    assert looped("export", name, "--db", "x.sqlite").status == 0
    assert Path(name).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*RUN, "--db", "x.sqlite", "--files", "loop"), "loop cannot be made: File exists; name another with --files"),
        ((*RUN, "--db", "x.sqlite", "--data", "loop", "--files", "file"), "file cannot be made"),
        (("status", "--db", "loop.sqlite"), "no database at loop.sqlite"),
        (("merge", "loop.sqlite", "--db", "x.sqlite"), "loop.sqlite: there is no such database file"),
    ],
)
def test_for_other_commands_it_is_one_error(arguments: tuple[str, ...], says: str, looped: Commands) -> None:
    said = looped(*arguments)
    assert said.status == 2
    assert says in said.err
    assert len(said.err.splitlines()) == 1


def test_the_doctor_names_it(looped: Commands) -> None:
    said = looped("doctor", "--db", "x.sqlite", "--files", "loop")
    assert said.status == 1
    assert f"{Path('loop').absolute()} is not writable" in said.out
