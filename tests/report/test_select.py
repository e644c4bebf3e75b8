"""`report --suite --select`: one value of a swept setting for each rule, chosen on validation accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import result

from asapbench.errors import AsapbenchError, SuiteError
from asapbench.metrics import EpochMetrics
from asapbench.report.build import report
from asapbench.report.quantity import Metric, Wanted
from asapbench.report.selection import keys_of, select, swept
from asapbench.report.suite import suite_table
from asapbench.report.table import Table
from asapbench.store import OwnerProcess, Provenance, Result, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

HEAD = '[suite]\nname = "mine"\n[defaults]\ndataset = "digits"\nepochs = 1\nmodel = "resnet10"\nvalidation = 100\n'
SWEEP = f'{HEAD}seeds = [0, 1]\n[[grid]]\nrule = ["bp", "fa"]\nlr = [0.001, 0.01, 0.1]\n'
CELLS = list(parse(SWEEP, source="mine.toml").cells)

# The test accuracy is best where the validation accuracy is not.
RATES = (0.001, 0.01, 0.1)
TEST = {
    **{("bp", rate): value for rate, value in zip(RATES, (90.0, 91.0, 95.0), strict=True)},
    **{("fa", rate): value for rate, value in zip(RATES, (80.0, 70.0, 60.0), strict=True)},
}
VALIDATION = {
    **{("bp", rate): value for rate, value in zip(RATES, (0.5, 0.9, 0.8), strict=True)},
    **{("fa", rate): value for rate, value in zip(RATES, (0.1, 0.2, 0.3), strict=True)},
}


def trained(cells: Sequence[Cell]) -> list[Result]:
    return [result(cell, TEST[cell.rule.name, cell.lr] + 1 + cell.seed) for cell in cells]


def known(results: Sequence[Result], *, only: Callable[[Cell], bool] = lambda _: True) -> dict[str, float]:
    return {r.attempt.lineage: VALIDATION[r.cell.rule.name, r.cell.lr] for r in results if only(r.cell)}


def table(
    cells: Sequence[Cell] = CELLS,
    results: Sequence[Result] | None = None,
    validation: dict[str, float] | None = None,
    key: str = "lr",
) -> Table:
    results = trained(cells) if results is None else results
    validation = known(results) if validation is None else validation
    selection = select(cells, results, keys_of(key, swept(cells)), metric=Metric.LAST, validation=validation)
    return suite_table("mine", cells, results, selection=selection)


def texts(made: Table) -> list[list[str]]:
    return [[field.text for field in row.fields] for group in made.groups for row in group.rows]


def footnotes(made: Table) -> list[str]:
    return [note.text for note in made.notes if note.mark]


def test_the_value_is_chosen_on_validation_data_and_its_test_result_is_shown() -> None:
    made = table()
    assert texts(made) == [["ResNet-10", "91.50 ± 0.71", "60.50 ± 0.71"], ["lr", "0.01 of 3", "0.1 of 3"]]
    assert "the value of lr with the highest validation accuracy at the last epoch (mean over seeds)" in made.caption
    assert made.summary == "Best to worst (one row): BP 91.50, FA 60.50"
    assert [(number.rule, number.variant, number.n) for number in made.numbers] == [
        ("bp", "lr 0.01 of 3", 2),
        ("fa", "lr 0.1 of 3", 2),
    ]


def test_a_choice_at_the_edge_of_the_grid_is_warned_about() -> None:
    made = table()
    assert made.groups[0].rows[1].fields[1].marks == ()
    assert made.groups[0].rows[1].fields[2].marks == ("a",)
    assert footnotes(made) == ["lr 0.1 is the largest value tried: a larger one may be better"]


def test_a_value_beyond_which_training_diverges_is_no_edge_and_diverged_values_take_no_part() -> None:
    results = [one for one in trained(CELLS) if (one.cell.rule.name, one.cell.lr, one.cell.seed) != ("bp", 0.1, 1)]
    results = [one for one in results if (one.cell.rule.name, one.cell.lr) != ("bp", 0.01)]
    diverged = [result(cell, state="diverged") for cell in CELLS if (cell.rule.name, cell.lr) == ("bp", 0.01)]
    made = table(results=[*results, *diverged], validation=known(results))
    assert texts(made)[0][1] == "90.50 ± 0.71"
    assert texts(made)[1][1] == "0.001 of 1"
    assert footnotes(made) == [
        "lr 0.001 is the smallest value tried: a smaller one may be better",
        "left out of the choice: 1 with a diverged training, 1 not finished",
        "lr 0.1 is the largest value tried: a larger one may be better",
    ]


def test_where_no_value_is_finished_nothing_is_chosen_and_the_reason_is_said() -> None:
    diverged = [result(cell, state="diverged") for cell in CELLS if cell.rule.name == "fa"]
    results = [*(one for one in trained(CELLS) if one.cell.rule.name == "bp"), *diverged]
    made = table(results=results, validation=known(results))
    assert texts(made) == [["ResNet-10", "91.50 ± 0.71", "-"], ["lr", "0.01 of 3", "-"]]
    assert footnotes(made) == ["no value of lr can be compared: 3 with a diverged training"]


def test_a_rule_with_one_value_needs_no_choice() -> None:
    cells = [cell for cell in CELLS if cell.rule.name == "bp" or cell.lr == 0.01]
    results = trained(cells)
    made = table(cells, results, known(results, only=lambda cell: cell.rule.name == "bp"))
    assert texts(made) == [["ResNet-10", "91.50 ± 0.71", "70.50 ± 0.71"], ["lr", "0.01 of 3", "0.01 of 1"]]
    assert not footnotes(made)


def test_of_equal_values_the_first_is_chosen() -> None:
    results = trained(CELLS)
    made = table(results=results, validation=dict.fromkeys(known(results), 0.5))
    assert texts(made)[1] == ["lr", "0.001 of 3", "0.001 of 3"]


def test_an_option_of_the_rule_becomes_one_column_and_several_keys_are_chosen_together() -> None:
    grid = 'rule = { name = "asap", k = [2, 4] }\nlr = [0.01, 0.1]\n[[grid]]\nrule = "bp"\nlr = 0.1\n'
    cells = list(parse(f"{HEAD}seeds = [0]\n[[grid]]\n{grid}", source="mine.toml").cells)
    results = [result(cell, 90.0) for cell in cells]
    validation = {
        r.attempt.lineage: float(r.cell.rule.name == "asap" and r.cell.rule["k"] == 4) + r.cell.lr for r in results
    }
    made = table(cells, results, validation, key="lr,rule.k")
    assert [column.title for column in made.columns] == ["Model", "ASAP", "BP"]
    assert texts(made)[1] == ["lr, rule.k", "(0.1, 4) of 4", "0.1 of 1"]
    assert made.numbers[0].rule == "asap(k=4)"
    made = table(cells, results, validation, key="rule.k")
    assert texts(made)[1] == ["rule.k", "4 of 2", ""]


def test_an_option_at_its_limit_is_no_edge() -> None:
    grid = 'rule = { name = "asap", k = [1, 2] }\nlr = 0.01\n'
    cells = list(parse(f"{HEAD}seeds = [0]\n[[grid]]\n{grid}", source="mine.toml").cells)
    results = [result(cell, 90.0) for cell in cells]
    made = table(cells, results, {r.attempt.lineage: float(r.cell.rule["k"] == 1) for r in results}, key="rule.k")
    assert texts(made)[1] == ["rule.k", "1 of 2"]
    assert not footnotes(made)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("rule.k", r"no rule has several values of it here \(swept: lr\)"),
        ("seed", "this is compared, not chosen"),
        ("dataset.train_size", "this is compared, not chosen"),
        (" , ", "name what was swept"),
    ],
)
def test_what_cannot_be_selected_is_an_error_that_says_what_can(key: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        keys_of(key, swept(CELLS))


def test_the_metric_that_chooses_on_test_data_is_refused() -> None:
    with pytest.raises(SuiteError, match="--metric best chooses the epoch on test data; use --metric last or best-val"):
        select(CELLS, [], ("lr",), metric=Metric.BEST, validation={})


def recorded(folder: Path, text: str) -> str:
    """A database whose cells have two epochs; the validation accuracy is best at the first."""
    suite, where = parse(text, source="mine.toml"), Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon"})
    url = f"sqlite:///{folder}/x.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, suite.cells, text=suite.text)
        for cell in suite.cells:
            claim = store.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=where, device="cpu")
            held_out = VALIDATION[cell.rule.name, cell.lr] if cell.validation else None
            for epoch in (1, 2):
                accuracy = TEST[cell.rule.name, cell.lr] / 100 - epoch / 100
                of_epoch = None if held_out is None else held_out if epoch == 2 else 0.99 - held_out / 10
                row = EpochMetrics(epoch, 1.0, 0.5, 1.0, accuracy, held_out, of_epoch, 0.1, 1.0, 100.0, None)
                store.record_epochs(claim, [row])
            store.finish(claim, "done")
    return url


def test_last_decides_by_the_last_epoch_and_best_val_by_the_best(tmp_path: Path) -> None:
    url = recorded(tmp_path, SWEEP.replace("epochs = 1", "epochs = 2"))
    assert texts(report(Wanted(suite="mine", select="lr"), url=url))[1] == ["lr", "0.01 of 3", "0.1 of 3"]
    best = report(Wanted(suite="mine", select="lr", metric=Metric.BEST_VAL), url=url)
    assert texts(best)[1] == ["lr", "0.001 of 3", "0.001 of 3"]


def test_without_validation_data_it_says_so_and_lists_every_value_and_the_way_to_choose(tmp_path: Path) -> None:
    url = recorded(tmp_path, SWEEP.replace("validation = 100", "validation = 0"))
    made = report(Wanted(suite="mine", select="lr"), url=url)
    assert [row[0] for row in texts(made)] == [f"ResNet-10, lr {rate}" for rate in ("0.001", "0.01", "0.1")]
    assert made.summary == ""
    note = made.notes[0]
    assert note.text.startswith("--select lr cannot choose for 2 configurations: their trainings hold no examples out")
    assert note.commands == (f"asapbench run mine.toml --set validation=143 --db {url}",)
    assert made.notes[1].text.endswith("and a choice among them needs validation data.")


def test_a_sweep_with_validation_data_names_the_command_that_chooses(tmp_path: Path) -> None:
    url = recorded(tmp_path, SWEEP)
    (command,) = report(Wanted(suite="mine"), url=url).notes[0].commands
    assert command == f"asapbench report --suite mine --select lr --db {url}"


def test_trainings_without_validation_data_are_left_out_beside_those_with(tmp_path: Path) -> None:
    grid = SWEEP.replace("validation = 100", "validation = [0, 100]")
    made = report(Wanted(suite="mine", select="lr"), url=recorded(tmp_path, grid))
    assert texts(made) == [["ResNet-10", "89.00 ± 0.00", "58.00 ± 0.00"], ["lr", "0.01 of 3", "0.1 of 3"]]
    assert "they are left out of the table" in next(note.text for note in made.notes if not note.mark)


def test_a_chosen_value_deviates_from_no_suite_file_that_has_it() -> None:
    grid = 'rule = { name = "asap", k = [4, 8] }\nlr = 0.01\n'
    file = parse(f"{HEAD}seeds = [0]\n[[grid]]\n{grid}", source="mine.toml")
    results = [result(cell, 90.0) for cell in file.cells]
    validation = {r.attempt.lineage: float(r.cell.rule.integer("k")) for r in results}
    selection = select(file.cells, results, ("rule.k",), metric=Metric.LAST, validation=validation)
    made = suite_table("mine", file.cells, results, selection=selection, file=file)
    assert footnotes(made) == ["rule.k 8 is the largest value tried: a larger one may be better"]


def test_what_deviates_from_the_suite_file_still_has_its_footnote() -> None:
    file = parse(SWEEP, source="mine.toml")
    cells = [replace(cell, epochs=3) for cell in CELLS]
    results = trained(cells)
    selection = select(cells, results, ("lr",), metric=Metric.LAST, validation=known(results))
    made = suite_table("mine", cells, results, selection=selection, file=file)
    assert footnotes(made)[0] == "deviates from the suite file: epochs 3 instead of 1"


@pytest.mark.parametrize("option", ["table", "figure"])
def test_select_goes_with_a_suite_alone(option: str) -> None:
    wanted = Wanted(select="lr", **{option: 9 if option == "figure" else "1"})  # type: ignore[arg-type]
    with pytest.raises(AsapbenchError, match=f"--select: goes with --suite, not with --{option}"):
        report(wanted, url="sqlite:///none.sqlite")
