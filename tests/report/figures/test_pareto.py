"""`report --pareto`: which rules none surpasses, what a panel lacks, and costs of one kind of hardware alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import result
from races import OWNER, suite_file, train

from asapbench.errors import AsapbenchError
from asapbench.metrics import EpochMetrics
from asapbench.report.build import report
from asapbench.report.controls import Memory
from asapbench.report.cost import Costs, costs, gpu_peaks
from asapbench.report.figures.pareto import pareto_figure
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.quantity import Cost, Metric, Wanted
from asapbench.report.selection import select
from asapbench.report.statistics import Spread
from asapbench.report.suite import layout_of
from asapbench.store import Provenance, Store
from asapbench.suite.catalog import MODELS
from asapbench.suite.catalog import RULES as CATALOG
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse
from asapbench.suite.select import choose

RULES = '["kp", "dfa", { name = "bp", checkpointing = [false, true] }]'
TEXT = (
    '[suite]\nname = "mine"\n[[grid]]\ndataset = "digits"\nmodel = "resnet10"\nepochs = 1\nlr = 0.1\n'
    f"seeds = [0, 1]\nrule = {RULES}\n"
)
ACCURACY = {"kp": 95.0, "dfa": 90.0, "bp": 96.0}
SECONDS = {"kp": 0.003, "dfa": 0.001, "bp": 0.002}


def cells() -> list[Cell]:
    return list(parse(TEXT, source="mine.toml").cells)


def counted(cell: Cell) -> int:
    """DFA and, FA, less than any BP, need less; it with checkpointing or in two parts what DFA needs, KP more."""
    if cell.rule.name == "bp":
        return (100 if cell.rule.flag("checkpointing") else 200) // cell.rule.integer("micro_batches")
    return {"kp": 201, "dfa": 100, "fa": 0}[cell.rule.name]


MEMORY = Memory(Costs(Cost.MEMORY, {}), counted)
COMMAND = "asapbench run mine --only rule=bp --only rule.checkpointing=false --set rule.micro_batches=2"


def figure(kind: Cost = Cost.TIME) -> Illustration:
    made = cells()
    results = [result(cell, ACCURACY[cell.rule.name] + cell.seed) for cell in made]
    layout = layout_of(made, results, metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)
    seconds = {
        cell.group: SECONDS[cell.rule.name] * (2 if dict(cell.rule.options).get("checkpointing") else 1)
        for cell in made
    }
    return pareto_figure(layout, Costs(kind, seconds), MEMORY, heading="Mine", metric=Metric.BEST, suite="mine")


def test_the_table_says_which_rules_surpass_each_other() -> None:
    rows = [[field.text for field in row.fields] for row in figure().table.groups[0].rows]
    assert rows == [
        ["KP", "95.50 ± 0.71", "3", "1.500", "BP", "BP"],
        ["DFA", "90.50 ± 0.71", "1", "0.500", "", "2 parts; checkpointing"],
        ["BP", "96.50 ± 0.71", "2", "1.000", "", ""],
        ["BP(checkpointing=true)", "96.50 ± 0.71", "4", "2.000", "BP", ""],
    ]
    assert "not trained: 2 parts" in [note.text for note in figure().table.notes]


def test_a_control_that_is_lacking_is_named_with_its_command_and_not_drawn() -> None:
    commands = [command for note in figure().table.notes for command in note.commands]
    assert commands == [COMMAND]
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", picture(figure(), ".svg").decode())
    assert {"KP", "DFA", "BP", "BP(checkpointing=true)", "ms a step"} <= set(drawn)
    assert not any("micro_batches" in text for text in drawn)


def commands_of(text: str) -> list[str]:
    """Those that train the controls that a suite lacks."""
    made = list(parse(text, source="mine.toml").cells)
    layout = layout_of(
        made, [result(c, 90.0) for c in made], metric=Metric.BEST, file=None, spread=Spread.SD, selection=None
    )
    known = Costs(Cost.TIME, {cell.group: 0.001 for cell in made})
    notes = pareto_figure(layout, known, MEMORY, heading="Mine", metric=Metric.BEST, suite="mine").table.notes
    return [command for note in notes for command in note.commands]


def test_the_command_trains_the_lacking_control_and_nothing_else() -> None:
    """Also of BP's variants only the plain one is changed."""
    words = dict(re.findall(r"--(only|set) (rule\.\S+)", COMMAND))
    (found,) = choose([cells()], filters=["rule=bp", words["only"]], settings=[words["set"]])
    assert {dict(cell.rule.options)["checkpointing"] for cell in found} == {False}
    assert {dict(cell.rule.options)["micro_batches"] for cell in found} == {2}


@pytest.mark.parametrize(("sizes", "more"), [("[2]", []), ("[4]", [""]), ("[2, 32, 64]", [" --only batch_size=32,64"])])
def test_no_command_is_printed_that_would_be_refused_for_its_batches(sizes: str, more: list[str]) -> None:
    found = commands_of(TEXT.replace(RULES, '["bp", "dfa"]').replace("lr = 0.1", f"lr = 0.1\nbatch_size = {sizes}"))
    assert found == [
        *(f"asapbench run mine --only rule=bp{filters} --set rule.micro_batches=2" for filters in more),
        "asapbench run mine --only rule=bp --set rule.checkpointing=true",
    ]


def test_a_rule_is_joined_to_the_control_in_its_memory() -> None:
    """One dotted line, from DFA to the one of its controls that is trained."""
    drawn = picture(figure(), ".svg").decode()
    assert "Dotted: from a rule to BP in its memory." in "".join(re.findall(r"<text[^>]*>(.*?)</text>", drawn))
    assert len(re.findall(r"stroke-dasharray: 1,", drawn)) == 1


def test_without_a_rule_that_needs_less_there_is_no_control_to_train() -> None:
    assert commands_of(TEXT.replace(RULES, '["bp", "kp"]')) == []


def test_memory_that_bp_does_not_reach_is_said() -> None:
    made = list(parse(TEXT.replace(RULES, '["bp", "fa"]'), source="mine.toml").cells)
    layout = layout_of(
        made, [result(c, 90.0) for c in made], metric=Metric.BEST, file=None, spread=Spread.SD, selection=None
    )
    known = Costs(Cost.TIME, {cell.group: 0.001 for cell in made})
    table = pareto_figure(layout, known, MEMORY, heading="Mine", metric=Metric.BEST, suite="mine").table
    shown = {row.fields[0].text: row.fields[-1] for row in table.groups[0].rows}
    assert shown["FA"].text == "no number of parts; checkpointing in no number of parts"
    assert shown["FA"].marks == ()
    assert not any(note.commands for note in table.notes)


def test_the_parts_are_numbers_in_long_form() -> None:
    found = [(n.rule, n.metric, n.measured) for n in figure().table.numbers if n.unit == "parts"]
    assert found == [("dfa", "BP in its memory", 2), ("dfa", "BP with checkpointing in its memory", 1)]


def test_another_number_of_seeds_is_shown() -> None:
    made = cells()
    results = [result(cell, 90.0) for cell in made if cell.seed == 0 or cell.rule.name != "kp"]
    layout = layout_of(made, results, metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)
    known = Costs(Cost.TIME, {cell.group: 0.001 for cell in made})
    table = pareto_figure(layout, known, MEMORY, heading="Mine", metric=Metric.BEST, suite="mine").table
    assert "unless another n is given below" in table.caption
    assert [column.title for column in table.columns][:3] == ["Rule", "accuracy", "n"]
    assert [row.fields[2].text for row in table.groups[0].rows] == ["1", "2", "2", "2"]
    assert "n" not in [column.title for column in figure().table.columns]


SWEPT = (
    TEXT.replace(RULES, '["bp", "fa"]')
    .replace("lr = 0.1", "lr = [0.1, 0.01]")
    .replace("[[grid]]", "[defaults]\nvalidation = 100\n[[grid]]")
)


def test_the_chosen_value_is_shown_and_a_place_without_a_choice_says_why() -> None:
    made = list(parse(SWEPT, source="mine.toml").cells)
    results = [result(cell, 90.0, state="diverged" if cell.rule.name == "fa" else "done") for cell in made]
    accuracy = {one.attempt.lineage: one.cell.lr for one in results}
    selection = select(made, results, ["lr"], metric=Metric.LAST, validation=accuracy)
    layout = layout_of(made, results, metric=Metric.LAST, file=None, spread=Spread.SD, selection=selection)
    known = Costs(Cost.TIME, {cell.group: 0.001 for cell in made})
    table = pareto_figure(layout, known, MEMORY, heading="Mine", metric=Metric.LAST, suite="mine").table
    assert " For each rule: the value of lr with the highest validation accuracy at the last epoch" in table.caption
    place = [column.title for column in table.columns].index("lr")
    assert [row.fields[place].text for row in table.groups[0].rows] == ["0.1 of 2"]
    texts = [note.text for note in table.notes]
    assert any(text.startswith("Not shown: FA on Digits, ResNet-10") and "2 with a diverged" in text for text in texts)
    assert table.numbers[0].variant == "lr 0.1 of 2, not dominated"


def test_unfinished_trainings_are_counted_below_the_table(tmp_path: Path) -> None:
    suite = load(str(suite_file(tmp_path)))
    url = f"sqlite:///{tmp_path}/race.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, list(suite.cells), text=suite.text)
        for cell in suite.cells[1:]:
            train(store, cell, [0.5])
    notes = [note.text for note in report(Wanted(suite="race", pareto=Cost.TIME), url=url).table.notes]
    assert "1 of 6 cells not finished (1 pending):" in notes


@pytest.mark.parametrize(("device", "says"), [("cuda GPU-0", "with --cuda-graphs, what torch"), ("cpu", "On a CPU")])
def test_recorded_memory_says_what_it_is(tmp_path: Path, device: str, says: str) -> None:
    suite = load(str(suite_file(tmp_path)))
    url = f"sqlite:///{tmp_path}/race.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, list(suite.cells), text=suite.text)
        for cell in suite.cells:
            train(store, cell, [0.5], device=device)
        results = store.results_of([cell.id for cell in suite.cells])
        text = " ".join(note.text for note in costs(Cost.MEMORY, results, store).notes)
    assert says in text


H100 = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "EPYC", "gpus": ["H100"]})


def with_options(**changed: bool) -> Provenance:
    options = {"compiled": False, "cuda_graphs": False, "deterministic": True} | changed
    return replace(H100, hardware=H100.hardware | {"options": options})


@pytest.mark.parametrize(
    ("ran", "pooled", "says"),
    [
        ([with_options()] * 3, 2, False),
        ([with_options(), H100, with_options()], 2, True),
        ([with_options(cuda_graphs=True)] * 3, 2, False),
        ([with_options(), with_options(cuda_graphs=True), with_options()], 1, False),
        ([with_options(), with_options(compiled=True), H100], 1, True),
    ],
)
def test_peaks_with_and_without_options_that_change_them_are_not_pooled(
    ran: list[Provenance], pooled: int, says: bool, tmp_path: Path
) -> None:
    """BP has two seeds, of which one alone ran under options, and FA one seed. Old attempts do not record any."""
    made = [cell for cell in load(str(suite_file(tmp_path))).cells if (cell.rule.name, cell.seed) != ("fa", 2)]
    chosen = [cell for cell in made if cell.rule.name == "bp"][:2] + [cell for cell in made if cell.rule.name == "fa"][
        :1
    ]
    with Store.open(f"sqlite:///{tmp_path}/race.sqlite") as store:
        for cell, each in zip(chosen, ran, strict=True):
            claim = store.claim(cell, owner=OWNER, provenance=each, device="cuda GPU-0")
            assert claim is not None
            peak = 200 if each.hardware.get("options", {}).get("cuda_graphs") else 100
            store.record_epochs(claim, [EpochMetrics(1, 1.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.1, 1.0, 9.0, peak)])
            store.finish(claim, "done")
        found = gpu_peaks(store.results_of([cell.id for cell in chosen]), store)
    text = " ".join(note.text for note in found.notes)
    assert len(found.of_groups) == 2
    assert len(set(found.of_groups.values())) == 1
    assert ("1 cell on H100, torch 2.14.1, --" in text) is (pooled == 1)
    assert ("do not record the option" in text) is says


def test_a_process_on_a_cpu_has_no_peak_to_match(tmp_path: Path) -> None:
    made = load(str(suite_file(tmp_path))).cells
    with Store.open(f"sqlite:///{tmp_path}/race.sqlite") as store:
        train(store, made[0], [0.5])
        assert gpu_peaks(store.results_of([made[0].id]), store) == Costs(Cost.MEMORY, {})


def test_a_count_that_fails_keeps_its_reason_with_rule_and_model(tmp_path: Path) -> None:
    """ASAP on a network without convolutions; DFA has no formula at all."""
    made = [cell for cell in cells() if cell.rule == CATALOG["bp"].choose() or cell.rule.name == "dfa"]
    made.append(replace(made[-1], model=MODELS["mlp"].choose(), rule=CATALOG["asap"].choose()))
    with Store.open(f"sqlite:///{tmp_path}/none.sqlite") as store:
        found = costs(Cost.ACCESSES, [result(cell, 90.0) for cell in made], store)
    assert set(found.of_groups) == {cell.group for cell in made if cell.rule.name == "bp"}
    formula, fault = (note.text for note in found.notes)
    assert formula == "Not counted by App. F, which describes BP, FA, KP and activation sharing: DFA."
    assert fault.startswith("Not counted: ASAP on MLP: activation sharing needs at least 3 convolutions")


def test_numbers_in_long_form_are_in_units_without_a_factor() -> None:
    found = {(n.rule, n.unit): n.measured for n in figure().table.numbers}
    assert found["kp", "seconds"] == pytest.approx(0.003)
    assert found["kp", "percent"] == 95.5


def test_nothing_to_draw_is_an_error_that_names_the_cost() -> None:
    layout = layout_of(cells(), [], metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)
    with pytest.raises(AsapbenchError, match="--pareto memory: no rule has both"):
        pareto_figure(layout, Costs(Cost.MEMORY, {}), MEMORY, heading="Mine", metric=Metric.BEST, suite="mine")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(table="1", pareto=Cost.TIME), "--pareto: goes with --suite, not with --table"),
        (Wanted(suite="quickstart", pareto=Cost.TIME, ranks=True), "--pareto: goes without --ranks"),
    ],
)
def test_options_that_do_not_go_together_are_refused(wanted: Wanted, says: str, tmp_path: Path) -> None:
    with pytest.raises(AsapbenchError, match=says):
        report(wanted, url=f"sqlite:///{tmp_path}/none.sqlite")
