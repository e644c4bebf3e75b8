"""Durations, sizes, progress and the dry run, as they are printed."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from commands import Commands
from rich.console import Console

from asapbench.cli.options import seconds
from asapbench.cli.progress import LiveView, PlainView, ended_text, print_plan
from asapbench.cli.text import duration, say, size
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.plan import make_plan
from asapbench.running.settings import RunSettings
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.load import load, parse
from asapbench.training.settings import TrainingSettings
from asapbench.worker.protocol import Progressed

CELLS = load("quickstart").cells[:4]
SLOTS = [Slot(0, "cpu"), Slot(1, "cpu")]
EPOCH = EpochMetrics(1, 2.0, 0.25, 1.9, 0.3125, None, None, 0.03, 2.0, 719.0, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1:30:00", 5400),
        ("5:30", 330),
        ("0.5h", 1800),
        ("1d", 86400),
    ],
)
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert seconds(text, option="--time-limit") == expected


def test_durations_and_sizes() -> None:
    assert [duration(s) for s in (5, 65, 3700, 200_000)] == ["5 s", "1 min 05 s", "1 h 01 min", "2 d 7 h"]
    assert [size(n) for n in (5, 1500, 20_000_000, 3.1e12)] == ["5 B", "1.5 kB", "20 MB", "3.1 TB"]


def test_control_codes_of_others_are_made_harmless(capsys) -> None:
    say("a\x1b[31mb\x07\nc\x9b\u202ed\udcff")
    assert capsys.readouterr().out == "a\\x1b[31mb\\x07\nc\\x9b\\u202ed\\udcff\n"


def test_the_dry_run_says_what_how_long_and_how_much(asapbench: Commands) -> None:
    said = asapbench("run", "cifar10", "--dry-run", "--only", "model=resnet18", "--device", "cpu", "--slots", "2")
    assert said.status == 0
    assert "10 cells: 10 pending" in said.out
    assert "To train: 10, on 2 slots" in said.out
    assert "a rough estimate" in said.out
    assert "Disk: about" in said.out


def test_plain_lines_have_cell_epoch_accuracy_and_rate(capsys) -> None:
    plan = make_plan(CELLS, {}, [], SLOTS)
    view = PlainView()
    view.begin(plan, SLOTS)
    view.finished_epoch(SLOTS[0], CELLS[0], EPOCH)
    view.finished_epoch(SLOTS[0], CELLS[0], EPOCH)
    view.ended(SLOTS[0], CELLS[0], "done")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"[0/4] BP seed 0 ({CELLS[0].short})  epoch 1/10  train 25.00 %  test 31.25 %  719")
    assert lines[0].startswith("4 of 4 cells of Digits ResNet-10(width=8) to train on 2 cpu slots: about ")
    assert lines[-1].startswith("[1/4]")
    assert lines[-1].endswith("done, test 31.25 %")


def test_of_epochs_that_are_reported_together_a_plain_line_has_the_newest(capsys, monkeypatch) -> None:
    view, now = PlainView(), [100.0]
    view.begin(make_plan(CELLS, {}, [], SLOTS), SLOTS)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for epochs in ((1, 2, 3), (4,), (5, 6, 7)):
        for epoch in epochs:
            view.finished_epoch(SLOTS[0], CELLS[0], replace(EPOCH, epoch=epoch))
        view.tick()
        now[0] += 9.0
    view.finished_epoch(SLOTS[0], CELLS[0], replace(EPOCH, epoch=8))
    view.ended(SLOTS[0], CELLS[0], "interrupted")
    view.tick()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition("epoch ")[2].partition("/")[0] for line in lines] == ["1", "7", ""]


@pytest.mark.parametrize("kind", [PlainView, lambda: LiveView(Console(file=io.StringIO(), width=96))])
def test_epochs_that_are_reported_late_move_nothing_back(kind: Callable[[], PlainView | LiveView]) -> None:
    view = kind()
    view.follow(make_plan(CELLS, {}, [], SLOTS))
    view.began(SLOTS[0], CELLS[0], epochs_done=0, batch=0, bit_exact=True)
    ahead = Progressed(attempt="a", epoch=5, batch=6, batches=12, accuracy=0.5, rate=900.0)
    view.progressed(SLOTS[0], CELLS[0], ahead)
    done = view.fraction()
    for epoch in (1, 2, 3):
        view.finished_epoch(SLOTS[0], CELLS[0], replace(EPOCH, epoch=epoch))
        assert view.fraction() == done
    if isinstance(view, LiveView):
        line = view._line(SLOTS[0])
        assert [line[name] for name in ("epoch", "train", "test", "samples/s")] == ["5/10", "50.00 %", "31.25 %", "900"]
    view.began(SLOTS[0], CELLS[0], epochs_done=3, batch=0, bit_exact=True)
    assert view.fraction() < done, "it has resumed from an earlier checkpoint"


@pytest.mark.parametrize("kind", [PlainView, lambda: LiveView(Console(file=io.StringIO(), width=96))])
def test_a_cell_that_another_run_stopped_after_the_plan_was_made_is_shown(
    kind: Callable[[], PlainView | LiveView], capsys
) -> None:
    view = kind()
    view.follow(make_plan(CELLS[:1], {}, [], SLOTS))
    for epochs_done in (3, 0):  # resumed, then from scratch
        view.began(SLOTS[0], CELLS[1], epochs_done=epochs_done, batch=0, bit_exact=True)
        if isinstance(view, LiveView):
            assert view._line(SLOTS[0])["test"] == "-"
        view.finished_epoch(SLOTS[0], CELLS[1], replace(EPOCH, epoch=epochs_done + 1))
    view.ended(SLOTS[0], CELLS[1], "done")
    assert view.finished == 1


@pytest.mark.parametrize("width", [40, 50, 64, 80, 100, 140])
def test_the_live_table_fits_the_terminal_and_cuts_only_the_cells_name(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    view = LiveView(console)
    view.follow(make_plan(CELLS, {}, [], SLOTS))
    view._slots = SLOTS
    view.began(SLOTS[0], CELLS[0], epochs_done=0, batch=0, bit_exact=True)
    view.finished_epoch(SLOTS[0], CELLS[0], EPOCH)
    console.print(view._drawn())
    head, _bar, names, row, idle = (line.rstrip() for line in stream.getvalue().splitlines())
    assert all(len(line) <= width for line in (head, names, row, idle))
    assert head.startswith("0 of 4 cells")
    assert names.split()[-1] == "left"
    assert "2/10" in row
    assert "31.25 %" in row
    assert row.endswith("18 s")
    for name, text in {"slot": "cpu 0", "train": "25.00 %", "samples/s": "719"}.items():
        assert (name in names.split()) is (text in row)
    assert ("samples/s" in names.split()) is (width >= 96)
    assert ("BP seed 0" if width >= 50 else "BP seed") in row


def test_the_live_table_is_no_higher_than_the_terminal_and_shows_the_slots_that_train() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, height=12, force_terminal=True, color_system=None)
    slots = [Slot(number, "cpu") for number in range(1000)]
    view = LiveView(console)
    view.follow(make_plan(CELLS, {}, [], slots))
    view._slots = slots
    view.began(slots[900], CELLS[0], epochs_done=0, batch=0, bit_exact=True)
    console.print(view._drawn())
    _head, _bar, _names, first, *others, more = stream.getvalue().splitlines()
    assert first.startswith("cpu 900")
    assert len(others) == 6
    assert more.strip() == "... and 993 more slots"


def test_the_live_table_is_drawn_a_few_times_a_second_however_often_events_arrive(monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("asapbench.cli.progress.time.monotonic", lambda: now[0])
    view = LiveView(Console(file=io.StringIO(), force_terminal=True))
    drawn: list[float] = []
    monkeypatch.setattr(LiveView, "_drawn", lambda _view: drawn.append(now[0]) or "")
    view.begin(make_plan(CELLS, {}, [], SLOTS), SLOTS)
    drawn.clear()
    for _ in range(64):
        now[0] += 1 / 64
        view.tick()
    view.close()
    assert drawn == [1000.015625, 1000.515625]


@pytest.mark.parametrize("kind", [PlainView, lambda: LiveView(Console(file=io.StringIO(), width=96))])
def test_no_line_counts_the_plan_again(kind: Callable[[], PlainView | LiveView], monkeypatch) -> None:
    plan = make_plan(CELLS, {}, [], SLOTS)
    view = kind()
    view.follow(plan)
    for name in ("left", "seconds"):
        monkeypatch.setattr(type(plan), name, property(lambda _plan: pytest.fail("it was counted again")))
    view.began(SLOTS[0], CELLS[0], epochs_done=0, batch=0, bit_exact=True)
    view.finished_epoch(SLOTS[0], CELLS[0], EPOCH)
    view.ended(SLOTS[0], CELLS[0], "done")
    assert (view.finished, view.cells) == (1, 4)
    assert 0 < view.fraction() < 1
    assert view.seconds_left() > 0


def test_ends_that_come_together_are_printed_together(monkeypatch) -> None:
    stream = io.StringIO()
    view = LiveView(Console(file=stream, force_terminal=True, width=80))
    view.begin(make_plan(CELLS, {}, [], SLOTS), SLOTS)
    prints: list[str] = []
    whole = view._console.print
    monkeypatch.setattr(view._console, "print", lambda text, **given: (prints.append(str(text)), whole(text, **given)))
    for cell in CELLS[:3]:
        view.ended(SLOTS[0], cell, "done")
    assert prints == []
    view.message("a server is away")
    view.ended(SLOTS[0], CELLS[3], "done")
    view.close()
    assert [text.count("done") for text in prints if "done" in text] == [3, 1]
    assert prints[0].endswith("a server is away")


def test_the_table_below_an_end_counts_it() -> None:
    stream = io.StringIO()
    view = LiveView(Console(file=stream, force_terminal=True, width=80))
    view.begin(make_plan(CELLS, {}, [], SLOTS), SLOTS)
    view.ended(SLOTS[0], CELLS[0], "done")
    view.tick()
    printed = stream.getvalue()
    view.close()
    assert "done" in printed
    assert printed.rindex("1 of 4 cells") > max(printed.rindex("done"), printed.rindex("0 of 4 cells"))


def test_a_row_whose_cell_is_evaluated_says_so() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    view = LiveView(console)
    view.follow(make_plan(CELLS, {}, [], SLOTS))
    view._slots = SLOTS[:1]
    view.began(SLOTS[0], CELLS[0], epochs_done=0, batch=0, bit_exact=True)
    for batch, shown in ((11, "s"), (12, "testing")):
        event = Progressed(attempt="a", epoch=1, batch=batch, batches=12, accuracy=0.5, rate=700.0)
        view.progressed(SLOTS[0], CELLS[0], event)
        console.print(view._drawn())
        assert stream.getvalue().rstrip().endswith(shown)
    view.finished_epoch(SLOTS[0], CELLS[0], EPOCH)
    console.print(view._drawn())
    assert stream.getvalue().rstrip().endswith("18 s")


def test_an_error_is_reported_in_a_line_with_the_command_for_the_rest() -> None:
    text = ended_text("failed", CELLS[0], "Traceback (most recent call last):\n  File x\nValueError: no\x1b[0m")
    assert text == f"failed: ValueError: no\x1b[0m (whole: asapbench show {CELLS[0].short})"
    assert ended_text("interrupted", CELLS[0], "stopped at once by a second signal").endswith("second signal")
    assert ended_text("diverged", CELLS[0], "the training loss is nan") == "diverged: the training loss is nan"


def test_what_to_do_next_repeats_the_options_and_hides_a_password() -> None:
    from asapbench.cli.progress import closing_lines
    from asapbench.running.runner import Outcome
    from asapbench.running.selection import Request, Selected

    request = Request(
        db="postgresql+psycopg://me:SECRET@h/x",
        filters=["rule=bp"],
        run=RunSettings(slots=3),
        training=TrainingSettings(keep_weights=True, alignment=True),
    )
    status, lines = closing_lines(Outcome("signal"), [Selected("small", "small.toml")], request)
    assert status == 3
    assert lines[-1].endswith(
        "asapbench resume small --only rule=bp --slots 3 --keep-weights --alignment --db 'postgresql+psycopg://me:***@h/x'"
    )


ALIKE = parse(
    """
    [suite]
    name = "alike"
    [[grid]]
    dataset = "digits"
    model = { name = "resnet10", width = 2 }
    rule = "bp"
    lr = 0.1
    batch_size = [32, 64]
    schedule = ["cosine", "constant"]
    """,
    source="alike.toml",
).cells


def test_cells_of_one_label_are_distinguished_in_plain_lines(capsys) -> None:
    view = PlainView()
    view.begin(make_plan(ALIKE, {}, [], SLOTS), SLOTS)
    for cell in ALIKE:
        view.ended(SLOTS[0], cell, "done")
    lines = capsys.readouterr().out.splitlines()[1:]
    for line, cell in zip(lines, ALIKE, strict=True):
        assert f"seed 0, schedule {cell.schedule.name}, batch_size {cell.batch_size} ({cell.short})  done" in line


def test_cells_of_one_label_are_distinguished_in_the_live_table_before_it_is_cut() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    view = LiveView(console)
    view.follow(make_plan(ALIKE, {}, [], SLOTS))
    view._slots = SLOTS
    of_each_schedule = {cell.schedule.name: cell for cell in ALIKE}.values()
    for slot, cell in zip(SLOTS, of_each_schedule, strict=True):
        view.began(slot, cell, epochs_done=0, batch=0, bit_exact=True)
    console.print(view._drawn())
    assert "seed 0, schedule cosine" in stream.getvalue()
    assert "seed 0, schedule const" in stream.getvalue()


def test_the_dry_run_has_a_column_for_each_field_that_differs(asapbench: Commands, capsys) -> None:
    print_plan(make_plan(ALIKE, {}, [], SLOTS))
    shared, *table = capsys.readouterr().out.splitlines()[:6]
    head, *rows = (line.split() for line in table)
    assert shared == "All: Digits ResNet-10(width=2) BP, state pending, lr 0.1, epochs 0/200"
    assert head == ["cell", "configuration", "schedule", "batch_size", "time"]
    assert len({tuple(row[1:]) for row in rows}) == 4
    assert all({"cosine", "constant"} & set(row) for row in rows)
    print_plan(make_plan(ALIKE[:1], {}, [], SLOTS))
    assert capsys.readouterr().out.splitlines()[0].split() == ["cell", "configuration", "state", "lr", "epochs", "time"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_in_a_narrow_terminal_continues_in_panels_and_cuts_nothing(width: int, capsys, monkeypatch) -> None:
    plan = make_plan(CELLS, {}, [], SLOTS)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    print_plan(plan)
    lines = capsys.readouterr().out.splitlines()[:-4]
    for item in plan.items:
        rows = [line for line in lines if line.startswith(item.cell.short)]
        assert all(len(line) <= width for line in rows)
        assert {f"{item.cell.rule.name.upper()} seed {item.cell.seed}", duration(item.seconds)} <= set(
            re.split(" {2,}", "  ".join(rows))
        )
        assert len(rows) == 1


def test_in_other_output_each_row_of_a_table_is_one_line(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_plan(make_plan(CELLS, {}, [], SLOTS))
    assert [len(re.split(" {2,}", line)) for line in capsys.readouterr().out.splitlines()[1:6]] == [3] * 5


def test_show_has_a_line_for_each_attempt_with_what_is_special_about_it(asapbench: Commands) -> None:
    terms = {"owner": OwnerProcess.of_this_process(), "provenance": Provenance(None, None, {}, {}), "device": "cpu"}
    with Store.open() as store:
        store.record_suite("quickstart", "quickstart.toml", CELLS)
        for exact in (True, False):
            store.finish(store.claim(CELLS[0], **terms), "failed", error="no", bit_exact=exact)
    first, second = asapbench("show", CELLS[0].short).out.partition("\nattempts\n")[2].splitlines()[1:3]
    assert first.split()[:3] == ["1", "failed", "0"]
    assert "bit-exact" not in first
    assert second.endswith(", not bit-exact")


def test_status_tells_cells_of_one_label_apart(asapbench: Commands) -> None:
    with Store.open() as store:
        store.record_suite("alike", "alike.toml", ALIKE)
    listed = asapbench("status", "--cells", "--device", "cpu").out
    for cell in ALIKE:
        assert f"seed 0, schedule {cell.schedule.name}, batch_size {cell.batch_size}: pending" in listed
