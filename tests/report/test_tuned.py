"""`report --tuned`: each rule at its best values beside its published ones; and whether the budget was enough."""

from collections.abc import Mapping
from math import nan
from pathlib import Path

import pytest

from asapbench.errors import AsapbenchError, SuiteError
from asapbench.metrics import EpochMetrics
from asapbench.report.build import report
from asapbench.report.figures import Illustration
from asapbench.report.page.content import read
from asapbench.report.page.tables import suite_tables
from asapbench.report.quantity import Wanted
from asapbench.report.table import Table
from asapbench.report.tuned import TunedNumber
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import Suite, parse
from asapbench.suite.tuning import Study, finals_name, studies, trials_name

TEXT = """[suite]
name = "mine"
[defaults]
dataset = "digits"
model = "resnet10"
epochs = 2
seeds = [0, 1, 2]
[tune]
trials = 4
validation = 200
epochs = 1
STUDIES
[tune.space]
lr = { low = 1e-3, high = 1.0, log = true }
[[grid]]
lr = { bp = 0.1, fa = 0.1 }
"""
RATES = (0.01, 0.03, 0.2, 0.5)
VALIDATION = {"bp": (0.5, 0.9, 0.8, 0.1), "fa": (0.1, 0.2, 0.3, 0.4)}
PUBLISHED, TUNED = {"bp": 90.0, "fa": 80.0}, {"bp": 91.0, "fa": 92.0}
WHERE = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon"})


class Recorded:
    """A database that is filled cell by cell."""

    def __init__(self, folder: Path, *, several: int = 1) -> None:
        self.url = f"sqlite:///{folder}/x.sqlite"
        self.suite: Suite = parse(TEXT.replace("STUDIES", f"studies = {several}"), source="mine.toml")
        assert self.suite.tuning is not None
        self.studies = studies(self.suite.tuning, self.suite.cells)

    def train(self, store: Store, cell: Cell, *, test: float = nan, validation: float | None = None) -> None:
        claim = store.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=WHERE, device="cpu")
        for epoch in range(1, cell.epochs + 1):
            row = EpochMetrics(epoch, 1.0, 0.5, 1.0, test, 1.0, validation, 0.1, 900.0, 100.0, None)
            store.record_epochs(claim, [row])
        store.finish(claim, "done")

    def trials(self, store: Store, study: Study, accuracies: Mapping[str, tuple[float, ...]]) -> None:
        cells = [study.trial({"lr": rate}) for rate in RATES]
        store.record_suite(trials_name("mine", study.number), "mine.toml", cells)
        for cell, accuracy in zip(cells, accuracies[cell_rule(study)], strict=True):
            self.train(store, cell, validation=accuracy)

    def finals(self, store: Store, study: Study, rate: float, percent: float) -> None:
        cells = study.finals({"lr": rate})
        store.record_suite(finals_name("mine", study.number), "mine.toml", cells)
        for cell in cells:
            if store.states([cell.id])[cell.id] is None:  # studies that choose the same value share their finals
                self.train(store, cell, test=percent / 100 + cell.seed / 100)


def cell_rule(study: Study) -> str:
    return study.published.rule.name


def whole(folder: Path) -> str:
    """All trials, finals and published cells of two rules."""
    made = Recorded(folder)
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=made.suite.text)
        for study in made.studies:
            made.trials(store, study, VALIDATION)
            rule = cell_rule(study)
            made.finals(store, study, {"bp": 0.03, "fa": 0.5}[rule], TUNED[rule])
            for cell in study.published_cells:
                made.train(store, cell, test=PUBLISHED[rule] / 100 + cell.seed / 50)
    return made.url


def texts(made: Table | Illustration) -> list[list[str]]:
    table = made if isinstance(made, Table) else made.table
    return [[field.text for field in row.fields] for group in table.groups for row in group.rows]


def test_the_chosen_values_are_those_of_the_best_validation_accuracy(tmp_path: Path) -> None:
    made = report(Wanted(tuned="mine"), url=whole(tmp_path))
    assert texts(made) == [
        # Published 90, 92, 94 by seed, tuned 91, 92, 93: differences 1, 0, -1, whose t interval is ± 2.48.
        ["BP", "92.00 ± 2.00", "92.00 ± 1.00", "+0.00 (-2.48 to +2.48)", "4", "4", "1.00"],
        ["lr", "0.1", "0.03", "", "", "", ""],
        ["FA", "82.00 ± 2.00", "93.00 ± 1.00", "+11.00 (+8.52 to +13.48)", "4", "4", "1.00"],
        ["lr", "0.1", "0.5", "", "", "", ""],
    ]


def test_a_value_at_the_edge_of_what_was_tried_has_a_footnote(tmp_path: Path) -> None:
    made = report(Wanted(tuned="mine"), url=whole(tmp_path))
    assert isinstance(made, Table)
    marked = [note.text for note in made.notes if note.mark]
    assert marked == ["lr 0.5 is the largest of the values tried: a larger one may be better"]


def test_a_change_of_the_order_of_the_rules_is_said(tmp_path: Path) -> None:
    made = report(Wanted(tuned="mine"), url=whole(tmp_path))
    assert isinstance(made, Table)
    assert "Digits, ResNet-10, best to worst. As published: BP, FA. Tuned: FA, BP." in [n.text for n in made.notes]


def test_numbers_hold_what_the_search_took(tmp_path: Path) -> None:
    made = report(Wanted(tuned="mine"), url=whole(tmp_path))
    assert isinstance(made, Table)
    bp = made.numbers[0]
    assert isinstance(bp, TunedNumber)
    assert (bp.rule, bp.values, bp.published_values, bp.validation) == ("bp", "0.03", "0.1", 90.0)
    assert (bp.trials, bp.trial_epochs, bp.trial_hours, bp.seeds) == (4, 4, 1.0, (0, 1, 2))
    assert (bp.published, bp.measured, bp.difference) == (pytest.approx(92.0), pytest.approx(92.0), pytest.approx(0.0))


def test_without_all_trials_nothing_is_chosen_and_the_command_continues(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=made.suite.text)
        study = made.studies[0]
        cells = [study.trial({"lr": rate}) for rate in RATES]
        store.record_suite(trials_name("mine"), "mine.toml", cells)
        made.train(store, cells[0], validation=0.9)
    table = report(Wanted(tuned="mine"), url=made.url)
    assert isinstance(table, Table)
    assert texts(table)[0][:3] == ["BP", "-", "-"]
    assert [note.text for note in table.notes if note.mark] == ["3 not finished of 4"]
    [rest] = [note for note in table.notes if note.commands]
    assert rest.text == "Not finished: trials of 1 of 1 studies. To continue:"
    assert rest.commands[0].startswith("asapbench tune mine.toml --db sqlite")


def test_a_search_with_another_number_of_trials_is_shown_as_it_was_trained(tmp_path: Path) -> None:
    for suites_number in (2, 9):
        folder = tmp_path / f"{suites_number}"
        folder.mkdir()
        made = Recorded(folder)
        text = made.suite.text.replace("trials = 4", f"trials = {suites_number}")
        with Store.open(made.url) as store:
            store.record_suite("mine", "mine.toml", made.suite.cells, text=text)
            made.trials(store, made.studies[0], VALIDATION)
            made.finals(store, made.studies[0], 0.03, 91.0)
        table = report(Wanted(tuned="mine"), url=made.url)
        assert isinstance(table, Table)
        assert texts(table)[0][2:5] == ["92.00 ± 1.00", "-", "4"]
        assert "of 4 trials (quasi-random)" in table.caption
        assert not any("Not finished" in note.text for note in table.notes)


def test_a_search_with_another_number_of_trials_is_continued_with_it(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    with Store.open(made.url) as store:
        text = made.suite.text.replace("trials = 4", "trials = 9")
        store.record_suite("mine", "mine.toml", made.suite.cells, text=text)
        made.trials(store, made.studies[0], VALIDATION)
    table = report(Wanted(tuned="mine"), url=made.url)
    [rest] = [note for note in table.notes if note.commands]
    assert rest.text == "Not finished: 3 of 3 finals. To continue:"
    assert rest.commands[0].startswith("asapbench tune mine.toml --trials 4 --db sqlite")


def test_a_search_in_rounds_is_over_when_the_finals_of_its_best_trial_are_listed(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    text = made.suite.text.replace("trials = 4", 'trials = 9\nsampler = "tpe"')
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=text)
        made.trials(store, made.studies[0], VALIDATION)
    assert texts(report(Wanted(tuned="mine"), url=made.url))[0][2] == "-"
    with Store.open(made.url) as store:
        made.finals(store, made.studies[0], 0.03, 91.0)
    assert texts(report(Wanted(tuned="mine"), url=made.url))[0][2] == "92.00 ± 1.00"


@pytest.mark.parametrize(("in_file", "shown"), [("0.1", "0.1"), ("0.7", "0.7"), ("0.3", "0.7")])
def test_further_published_values_beside_the_same_search_are_no_further_study(
    in_file: str, shown: str, tmp_path: Path
) -> None:
    url = whole(tmp_path)
    newer = parse(TEXT.replace("STUDIES", "").replace("bp = 0.1", "bp = 0.7"), source="mine.toml")
    text = TEXT.replace("STUDIES", "").replace("bp = 0.1", f"bp = {in_file}")
    with Store.open(url) as store:
        store.record_suite("mine", "mine.toml", newer.cells, text=text)
    table = report(Wanted(tuned="mine"), url=url)
    assert isinstance(table, Table)
    assert [row[:2] for row in texts(table)[::2]] == [
        ["BP", {"0.1": "92.00 ± 2.00", "0.7": "-"}[shown]],
        ["FA", "82.00 ± 2.00"],
    ]
    other = {"0.1": "0.7", "0.7": "0.1"}[shown]
    [note] = [note.text for note in table.notes if note.text.startswith("Left out")]
    assert note == f"Left out, as the search is the same: Digits ResNet-10 BP as published with lr {other}."


def test_the_search_is_that_which_asked_for_the_trials_not_a_later_text_of_the_suite(tmp_path: Path) -> None:
    url = whole(tmp_path)
    before = texts(report(Wanted(tuned="mine"), url=url))
    made = Recorded(tmp_path)
    with Store.open(url) as store:
        store.record_suite(trials_name("mine"), "mine.toml", [], text=made.suite.text)
        text = made.suite.text.replace("validation = 200", "validation = 300")  # as `run` records an edited file
        store.record_suite("mine", "mine.toml", made.suite.cells, text=text)
    assert texts(report(Wanted(tuned="mine"), url=url)) == before


def test_the_text_of_its_suite_marks_no_trial_as_deviating(tmp_path: Path) -> None:
    url = whole(tmp_path)
    before = report(Wanted(suite="mine.trials"), url=url)
    with Store.open(url) as store:
        store.record_suite(trials_name("mine"), "mine.toml", [], text=Recorded(tmp_path).suite.text)
    assert texts(report(Wanted(suite="mine.trials"), url=url)) == texts(before)
    with pytest.raises(AsapbenchError, match=r'--tuned mine.trials: suite "mine.trials" has no \[tune\]'):
        report(Wanted(tuned="mine.trials"), url=url)


def test_of_several_studies_the_median_stands_above_them(tmp_path: Path) -> None:
    made = Recorded(tmp_path, several=3)
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=made.suite.text)
        for study in made.studies:
            if cell_rule(study) == "bp":
                made.trials(store, study, VALIDATION)
                made.finals(store, study, 0.03, 90.0)
    rows = texts(report(Wanted(tuned="mine"), url=made.url))
    assert rows[0][:3] == ["BP, median of 3 studies", "", "91.00"]
    assert [row[0] for row in rows[1:]] == ["study 1", "lr", "study 2", "lr", "study 3", "lr"]


def test_the_budget_is_shown_by_the_number_of_trials(tmp_path: Path) -> None:
    made = report(Wanted(tuned="mine", budget=True), url=whole(tmp_path))
    # Of 0.5, 0.9, 0.8, 0.1: one trial has their mean, four have the best.
    bp = texts(made)[0]
    assert bp[:2] == ["BP", "57.50 (10.00 to 90.00)"]
    # Of two trials: 90 in three of the six pairs, 80 in two, 50 in one.
    assert bp[2:3] + bp[-2:] == ["80.00 (50.00 to 90.00)", "90.00 (90.00 to 90.00)", "+10.00"]
    table = made if isinstance(made, Table) else made.table
    assert table.columns[-1].title == "last half"
    assert "hypothetical" not in table.caption


def test_the_orders_of_a_search_that_learns_are_hypothetical(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    text = made.suite.text.replace("trials = 4", 'trials = 4\nsampler = "tpe"')
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=text)
        made.trials(store, made.studies[0], VALIDATION)
    shown = report(Wanted(tuned="mine", budget=True), url=made.url)
    assert "other orders are hypothetical" in (shown if isinstance(shown, Table) else shown.table).caption


def test_only_chooses_among_the_rules(tmp_path: Path) -> None:
    url = whole(tmp_path)
    assert [row[0] for row in texts(report(Wanted(tuned="mine", only=("rule=fa",)), url=url))] == ["FA", "lr"]
    with pytest.raises(SuiteError, match='no cell has rule "kp"'):
        report(Wanted(tuned="mine", only=("rule=kp",)), url=url)


def test_a_suite_without_a_search_or_without_trials_is_refused(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    plain = parse(
        TEXT.split("[tune]", maxsplit=1)[0].replace("mine", "plain") + "[[grid]]\nlr = { bp = 0.1 }\n",
        source="plain.toml",
    )
    with Store.open(made.url) as store:
        store.record_suite("mine", "mine.toml", made.suite.cells, text=made.suite.text)
        store.record_suite("plain", "plain.toml", plain.cells, text=plain.text)
    with pytest.raises(AsapbenchError, match=r'--tuned plain: suite "plain" has no \[tune\]; see --suite'):
        report(Wanted(tuned="plain"), url=made.url)
    with pytest.raises(
        AsapbenchError, match=r"--tuned mine: no trial is recorded yet. To begin: asapbench tune mine.toml"
    ):
        report(Wanted(tuned="mine"), url=made.url)
    with pytest.raises(AsapbenchError, match=r"--tuned nix: .* To train it: asapbench tune FILE"):
        report(Wanted(tuned="nix"), url=made.url)


def test_the_page_has_the_tables_of_a_search_beside_the_suite(tmp_path: Path) -> None:
    content = read(whole(tmp_path), suites=["mine"])
    titles = [table.title for table in suite_tables(content, option="")]
    assert titles == ["mine", "mine: tuned and as published", "mine: budget of the search"]


def test_the_budget_goes_with_a_tuned_suite_alone() -> None:
    with pytest.raises(AsapbenchError, match="--budget: goes with --tuned, not with --table; leave it out"):
        report(Wanted(table="1", budget=True), url="sqlite:///none.sqlite")
