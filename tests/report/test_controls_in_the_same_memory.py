"""BP in the memory of a rule: the fewest parts of a batch, by measured peaks, else by counted ones; the commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from asapbench.errors import AsapbenchError
from asapbench.report.controls import Control, Matched, Memory, Peaks, commands
from asapbench.report.cost import Costs
from asapbench.report.quantity import Cost
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse
from asapbench.suite.options import Choice, Value
from asapbench.suite.select import choose

CELL = replace(next(cell for cell in load("quickstart").cells if cell.model.name == "resnet10"), batch_size=32)
KP = RULES["kp"].choose()


def bp(**options: Value) -> Choice:
    return RULES["bp"].choose(options)


def of(rule: Choice) -> Cell:
    return replace(CELL, rule=rule)


def counted(cell: Cell) -> int:
    """100 for the weights and 10 an example, of which KP needs 7 and checkpointing 4; parts hold 20 more."""
    rule, parts = cell.rule, 1
    each = 7 if rule == KP else 10
    if rule.name == "bp":
        parts, each = rule.integer("micro_batches"), 4 if rule.flag("checkpointing") else 10
    return 100 + each * -(-cell.batch_size // parts) + (20 if parts > 1 else 0)


def matched(measured: Mapping[Choice, float], *, kp: int | None = None, trained: tuple[Choice, ...] = ()) -> Matched:
    """The controls of KP, whose count is `kp` if that is given."""
    cells = {rule: of(rule) for rule in {KP, *measured, *trained}}
    peaks = {of(rule).group: peak for rule, peak in measured.items()}
    memory = Memory(Costs(Cost.MEMORY, peaks), lambda cell: kp if kp is not None and cell.rule == KP else counted(cell))
    return Peaks(of(bp()), cells, memory).matched(KP)


def test_the_fewest_parts_that_need_no_more_are_counted() -> None:
    """KP needs 324, BP 420: two parts need 280, and checkpointing 228."""
    assert matched({}).controls == (Control(False, 2), Control(True, 1))


@pytest.mark.parametrize(
    ("kp", "controls"),
    [
        (420, ()),
        (419, (Control(False, 2), Control(True, 1))),
        (279, (Control(False, 3), Control(True, 1))),
        (200, (Control(False, 4), Control(True, 2))),
        (139, (Control(False, None), Control(True, 8))),
        (100, (Control(False, None), Control(True, None))),
    ],
)
def test_less_memory_needs_more_parts_until_none_reach_it(kp: int, controls: tuple[Control, ...]) -> None:
    assert matched({}, kp=kp).controls == controls


def test_checkpointing_a_whole_batch_is_found_where_two_parts_need_more() -> None:
    """Of four examples: checkpointing needs 116 in one part and 128 in two."""
    cell = replace(of(bp()), batch_size=4)
    memory = Memory(Costs(Cost.MEMORY, {}), lambda one: 120 if one.rule == KP else counted(one))
    found = Peaks(cell, {KP: replace(cell, rule=KP)}, memory).matched(KP)
    assert found.controls == (Control(False, None), Control(True, 1))


def test_measured_peaks_come_before_counted_ones() -> None:
    """By the counts KP needs less than BP, and on this GPU more; or far less."""
    assert matched({bp(): 1000.0, KP: 1000.0}) == Matched()
    assert matched({bp(): 1000.0, KP: 750.0}).controls == (Control(False, 7), Control(True, 3))


def test_what_was_not_measured_is_bps_peak_less_the_counted_saving() -> None:
    """KP is counted 96 below BP: two parts, 140 below, are enough."""
    assert matched({bp(): 1000.0}).controls == (Control(False, 2), Control(True, 1))


def test_without_a_measured_peak_of_bp_all_are_counted() -> None:
    assert matched({KP: 1.0}).controls == (Control(False, 2), Control(True, 1))


def test_a_measured_control_proves_its_number_of_parts_too_few_or_enough() -> None:
    assert matched({bp(): 1000.0, KP: 900.0, bp(micro_batches=2): 901.0}).controls[0].parts == 3
    assert matched({bp(): 1000.0, KP: 750.0, bp(micro_batches=3): 740.0}).controls[0].parts == 3


def test_measured_savings_scale_the_counted_ones() -> None:
    """Two parts save 70 where 140 were counted: for 100 less it takes more of them than three, which save 195 / 2."""
    assert matched({bp(): 1000.0, KP: 900.0, bp(micro_batches=2): 930.0}).controls[0].parts == 4


def test_why_memory_is_not_known_is_kept() -> None:
    def fails(_cell: Cell) -> int:
        raise AsapbenchError("its step needs numbers")

    found = Peaks(of(bp()), {KP: of(KP)}, Memory(Costs(Cost.MEMORY, {}), fails)).matched(KP)
    assert found == Matched(fault="its step needs numbers")


TEXT = """[suite]
name = "mine"
[[grid]]
dataset = "digits"
model = [{ name = "resnet10", width = [4, 8] }, "mlp"]
epochs = 1
lr = 0.1
batch_size = [16, 32]
seeds = [0, 1]
rule = ["kp", { name = "bp", checkpointing = [false, true] }]
"""
CELLS = parse(TEXT, source="mine.toml").cells
PLAIN = [cell for cell in CELLS if cell.rule == bp() and cell.seed == 0]


@pytest.mark.parametrize("wanted", [PLAIN, PLAIN[:1], PLAIN[:2], PLAIN[1:4], [PLAIN[0], PLAIN[-1]], PLAIN[4:]])
@pytest.mark.parametrize("control", [bp(micro_batches=3), bp(checkpointing=True, micro_batches=2)])
def test_the_commands_train_exactly_the_controls_that_lack(wanted: list[Cell], control: Choice) -> None:
    found = []
    for command in commands({control: wanted}, CELLS, suite="mine"):
        words = shlex.split(command)
        given = {option: [value for word, value in pairwise(words) if word == option] for option in ("--only", "--set")}
        found += choose([CELLS], filters=given["--only"], settings=given["--set"])[0]
    expected = [replace(cell, rule=control).with_seed(seed) for cell in wanted for seed in (0, 1)]
    assert sorted(cell.id for cell in found) == sorted(cell.id for cell in expected)


def test_the_filters_of_the_report_are_part_of_the_command() -> None:
    kept = [cell for cell in CELLS if cell.batch_size == 16]
    (command,) = commands(
        {bp(micro_batches=2): [cell for cell in PLAIN if cell.batch_size == 16]},
        kept,
        suite="mine",
        filters=["batch_size=16"],
    )
    filters = "--only batch_size=16 --only rule=bp --only rule.checkpointing=false"
    assert command == f"asapbench run mine {filters} --set rule.micro_batches=2"
