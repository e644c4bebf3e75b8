"""`discard` leaves cells out of lists and reports, with a reason; `restore` takes them in; nothing is deleted."""

from __future__ import annotations

import pytest
from commands import Commands

from asapbench.metrics import EpochMetrics
from asapbench.store import DEFAULT_URL, OwnerProcess, Provenance, Store
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:4]
TERMS = {
    "owner": OwnerProcess("a-host", "a-boot", 4, 1.0),
    "provenance": Provenance(None, None, {"torch": "2.14.1"}, {}),
    "device": "cpu",
}


@pytest.fixture
def trained(asapbench: Commands) -> Commands:
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("quickstart", "shipped", CELLS)
        for number, cell in enumerate(CELLS[:3]):
            claim = store.claim(cell, **TERMS)
            assert claim is not None
            store.record_epochs(
                claim, [EpochMetrics(1, 1.5, 0.5, 1.5, 0.5 + number / 8, None, None, 0.03, 2.0, 9.0, 1)]
            )
            store.finish(claim, "done")
    return asapbench


def test_a_discarded_cell_is_named_with_the_command_that_restores_it(trained: Commands) -> None:
    said = trained("discard", CELLS[0].short, "--reason", "a wrong learning rate")
    assert said.out.splitlines() == [
        f"discarded: {CELLS[0].label} ({CELLS[0].short})",
        f"Reports leave it out; nothing is deleted. To undo: asapbench restore {CELLS[0].short}",
    ]
    assert CELLS[0].short not in trained("list").out
    assert "1 discarded cell left out. To list, with the reasons:" in trained("list").out
    listed = trained("list", "--state", "discarded").out
    assert CELLS[0].short in listed
    assert "a wrong learning rate" in listed
    assert ": a wrong learning rate; reports leave this cell out" in trained("show", CELLS[0].short).out
    assert trained("restore", CELLS[0].short).out == f"restored: {CELLS[0].label} ({CELLS[0].short})\n"
    assert CELLS[0].short in trained("list").out


def test_a_cell_that_is_discarded_already_or_not_at_all_is_named(trained: Commands) -> None:
    trained("discard", CELLS[0].short, "--reason", "first")
    said = trained("discard", CELLS[0].short, "--reason", "second").out
    assert said.splitlines() == [f"{CELLS[0].short} is discarded already (first)", "discarded: no cell"]
    assert trained("restore", CELLS[1].short).out.splitlines() == [
        f"{CELLS[1].short} is not discarded",
        "restored: no cell",
    ]


def test_a_merge_says_which_cells_are_discarded_by_it(trained: Commands) -> None:
    trained("export", "before.sqlite")
    trained("discard", CELLS[0].short, "--reason", "wrong")
    trained("export", "after.sqlite")
    trained("merge", "before.sqlite", "--db", "other.sqlite")
    lines = trained("merge", "after.sqlite", "--db", "other.sqlite").out.splitlines()
    assert lines[1:] == [
        "  discarded by a decision there: 1 cell; `asapbench list --state discarded --db other.sqlite` shows why"
    ]
    trained("restore", CELLS[0].short)
    trained("export", "restored.sqlite")
    lines = trained("merge", "restored.sqlite", "--db", "other.sqlite").out.splitlines()
    assert lines[1:] == ["  restored by a decision there: 1 cell"]


def test_a_reason_is_one_line_of_show_and_none_is_said_of_an_anonymous_export(trained: Commands) -> None:
    trained("discard", CELLS[0].short, "--reason", "two\nlines")
    assert r": two\nlines; reports leave this cell out" in trained("show", CELLS[0].short).out
    assert (
        rf"{CELLS[0].short} is discarded already (two\nlines)"
        in trained("discard", CELLS[0].short, "--reason", "x").out
    )
    trained("export", "anonymous.sqlite", "--anonymous")
    trained("merge", "anonymous.sqlite", "--db", "other.sqlite")
    said = trained("show", CELLS[0].short, "--db", "other.sqlite").out
    assert ": no reason given; reports leave this cell out" in said


def test_a_page_of_discarded_cells_alone_names_them_as_the_cause(trained: Commands) -> None:
    trained("discard", "--suite", "quickstart", "--reason", "x", "--yes")
    for suite in ([], ["quickstart"]):
        said = trained("html", *suite, "--out", "page.html").err
        listing = " ".join(["asapbench list", *suite, "--state discarded"])
        assert f"holds no cell to show: 4 cells are discarded; `{listing}` shows why, `asapbench restore CELL`" in said


def test_cells_that_a_filter_chooses_are_counted_and_need_a_yes(trained: Commands) -> None:
    asked = ("discard", "--only", "dataset=digits", "--reason", "the data were wrong")
    assert trained(*asked).err == "error: 4 cells match: add --yes to discard all of them\n"
    assert trained(*asked, "--yes").status == 0
    assert "4 discarded cells left out" in trained("list").out
    assert trained("restore", "--suite", "quickstart").err == "error: 4 cells match: add --yes to restore all of them\n"
    assert trained("restore", "--suite", "quickstart", "--yes").status == 0
    assert "discarded" not in trained("list").out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["abc"], 'error: discard: say why with --reason, as in --reason "wrong learning rate"'),
        (["--reason", "x"], "error: discard: name cells, as `asapbench list` shows them; or choose cells with --only"),
        (["abc", "--only", "rule=bp", "--reason", "x"], "error: discard: name cells, not both; or choose cells with"),
        (["nothing", "--reason", "x"], 'error: "nothing" is not a cell: give the first digits'),
        (["--only", "rule=nothing", "--reason", "x"], 'error: --only rule=nothing: no cell has rule "nothing"'),
    ],
)
def test_what_cannot_be_discarded_is_one_clear_line(trained: Commands, arguments: list[str], error: str) -> None:
    said = trained("discard", *arguments)
    assert said.status == 2
    assert said.err.startswith(error)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "bp", "kp"),
        ("compare", "bp", "kp", "--only", "rule=bp,kp"),
        ("report", "--curves", "accuracy", "--suite", "quickstart"),
        ("report", "--alignment", "weights", "--only", "dataset=digits"),
    ],
)
def test_where_all_cells_are_discarded_the_error_says_so_and_how_to_restore_them(
    trained: Commands, command: tuple[str, ...]
) -> None:
    assert "discarded" not in trained(*command).err
    trained("discard", "--suite", "quickstart", "--reason", "wrong data", "--yes")
    said = trained(*command)
    assert said.status == 2
    number = len([cell for cell in CELLS if cell.rule.name in ("bp", "kp")]) if command[0] == "compare" else 4
    only = command[command.index("--only") :] if "--only" in command else ()
    listed = " ".join(["asapbench list", *(["quickstart"] if "quickstart" in command else []), *only])
    fix = f"`{listed} --state discarded` shows why, `asapbench restore CELL` restores one"
    assert said.err.endswith(f" ({number} cells are discarded; {fix})\n")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("report", "--suite", "quickstart"),
        ("report", "--suite", "quickstart", "--ranks"),
        ("report", "--table", "1"),
        ("report", "--table", "A.2"),
        ("report", "--figure", "9"),
        ("report", "--figure", "6"),
        ("report", "--curves", "accuracy"),
        ("html", "--out", "page.html"),
        ("export", "cells.csv"),
        ("analyze", "shortcut"),
    ],
    ids=" ".join,
)
def test_a_filter_that_only_discarded_cells_match_names_them_as_the_cause(
    trained: Commands, command: tuple[str, ...]
) -> None:
    chosen = CELLS[0]
    trained("discard", chosen.short, "--reason", "x")
    said = trained(*command, "--only", f"cell={chosen.short}")
    assert said.status == 2
    listed = f"asapbench list{' quickstart' if 'quickstart' in command else ''} --only cell={chosen.short}"
    fix = f"`{listed} --state discarded` shows why, `asapbench restore CELL` restores one"
    assert said.err.startswith(f"error: --only cell={chosen.short}: ")
    assert said.err.endswith(f" (1 cell is discarded; {fix})\n")
    assert trained(*command, "--only", "cell=0123").err.count("discarded") == 0


def test_a_filter_whose_cells_are_all_discarded_or_none_is_no_unknown_name(trained: Commands) -> None:
    filters = ("--only", f"rule={CELLS[0].rule.name}")
    number = sum(cell.rule.name == CELLS[0].rule.name for cell in CELLS)
    said = trained("restore", *filters)
    assert (said.status, said.out.splitlines()[0]) == (0, f"Cells that match: {number}; none is discarded.")
    trained("discard", *filters, "--reason", "x", "--yes")
    said = trained("discard", *filters, "--reason", "x")
    assert (said.status, said.out.splitlines()[0]) == (0, f"Cells that match: {number}; all are discarded already.")


def test_a_running_cell_is_refused_with_the_fix(trained: Commands) -> None:
    with Store.open(DEFAULT_URL) as store:
        store.claim(CELLS[3], **(TERMS | {"owner": OwnerProcess.of_this_process()}))
    said = trained("discard", CELLS[3].short, "--reason", "x")
    assert said.status == 2
    assert f"error: cell {CELLS[3].short} is running: stop its run (Ctrl-C) or wait for it, then discard it" in said.err


def test_a_table_that_is_exported_leaves_discarded_cells_out_and_says_so(trained: Commands) -> None:
    trained("discard", CELLS[0].short, "--reason", "x")
    said = trained("export", "cells.csv").out.splitlines()
    assert said == [
        "cells.csv: 2 cells",
        "1 discarded cell left out. To list, with the reasons: asapbench list --state discarded",
    ]
    assert trained("export", "cells.sqlite").out.startswith("cells.sqlite: 4 cells, 3 attempts")
