"""`[tune]` of a suite: what it declares, every error at its place, and the cells of trials and finals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.load import load, parse
from asapbench.suite.tuning import Listed, Range, Study, finals_name, studies, trials_name, with_values

TEXT = """\
[suite]
name = "mine"
[tune]
trials = 4
{tune}
validation = 100
[tune.space]
{space}
[[grid]]
dataset = "digits"
model = { name = "resnet10", width = 2 }
{grid}
epochs = 3
"""
LR = "lr = { low = 1e-3, high = 1.0, log = true }"
GRID = "lr = { bp = 0.1, asap = 0.03 }"


def text(tune: str = "", space: str = LR, grid: str = GRID) -> str:
    return TEXT.replace("{tune}", tune).replace("{space}", space).replace("{grid}", grid)


def found(tune: str = "", space: str = LR, grid: str = GRID) -> list[Study]:
    suite = parse(text(tune, space, grid), source="s.toml")
    assert suite.tuning is not None
    return studies(suite.tuning, suite.cells)


def problems(tune: str = "", space: str = LR, grid: str = GRID) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse(text(tune, space, grid), source="s.toml")
    return str(caught.value).splitlines()


def test_a_suite_without_tune_has_no_search() -> None:
    assert load("quickstart").tuning is None


def test_every_rule_network_and_data_set_has_a_study_with_the_same_budget() -> None:
    trial_counts = [(study.published.rule.name, study.tuning.trials, study.epochs) for study in found("epochs = 2")]
    assert trial_counts == [("bp", 4, 2), ("asap", 4, 2)]


def test_without_epochs_a_trial_has_those_of_the_grid() -> None:
    assert [study.trial({"lr": 0.2}).epochs for study in found()] == [3, 3]


def test_a_trial_holds_examples_out_and_never_evaluates_the_test_set() -> None:
    trial = found("epochs = 2\nseed = 7")[0].trial({"lr": 0.2})
    assert (trial.validation, trial.test_set, trial.epochs, trial.seed, trial.lr) == (100, False, 2, 7, 0.2)


def test_finals_are_the_cells_of_the_suite_with_the_values_of_the_trial() -> None:
    study = found("epochs = 2", grid=f"{GRID}\nseeds = [0, 5]")[1]
    finals = study.finals({"lr": 0.2})
    assert finals == [replace(cell, lr=0.2) for cell in study.published_cells]
    assert [(cell.seed, cell.validation, cell.test_set, cell.epochs) for cell in finals] == [
        (0, 0, True, 3),
        (5, 0, True, 3),
    ]


def test_an_option_of_a_rule_is_tuned_in_the_studies_of_rules_that_have_it() -> None:
    bp, asap = found(space=f"{LR}\nrule.k = [1, 2, 4]")
    assert bp.space == {"lr": Range(1e-3, 1.0, log=True)}
    assert asap.space == {"lr": Range(1e-3, 1.0, log=True), "rule.k": Listed((1, 2, 4))}
    assert asap.trial({"lr": 0.5, "rule.k": 4}).rule["k"] == 4


def test_a_key_with_a_dot_may_be_quoted() -> None:
    plain, quoted = (found(space=f"{LR}\n{key} = [1, 2, 4]")[1].space for key in ("rule.k", '"rule.k"'))
    assert plain == quoted


def test_whole_numbers_and_options_of_the_optimizer_may_be_ranges() -> None:
    space = found(space="batch_size = { low = 16, high = 64 }\noptimizer.momentum = { low = 0, high = 0.9 }")[0].space
    assert space == {"batch_size": Range(16, 64, whole=True), "optimizer.momentum": Range(0.0, 0.9)}


def test_a_sampled_number_has_three_digits_and_stays_inside() -> None:
    assert Range(1e-3, 1.0).rounded(0.123456) == 0.123
    assert Range(0.12345, 1.0).rounded(0.123456) == 0.12345
    assert Range(0.0, 0.98765).rounded(0.98764) == 0.98765
    assert Range(1, 9, whole=True).rounded(3.6) == 4


def test_a_study_knows_its_trials_and_no_other_cell() -> None:
    bp, asap = found("studies = 1", space=f"{LR}\nrule.k = [1, 2]")
    trial = asap.trial({"lr": 0.4, "rule.k": 1})
    assert asap.has(trial)
    assert not bp.has(trial)
    for other in ({"seed": 0}, {"epochs": 9}, {"validation": 0}, {"test_set": True}, {"batch_size": 64}):
        assert not asap.has(replace(trial, **other))


def test_further_studies_have_further_seeds_and_lists() -> None:
    every = found("studies = 2\nseed = 50")
    assert [(study.published.rule.name, study.number, study.seed) for study in every] == [
        ("bp", 1, 50),
        ("asap", 1, 50),
        ("bp", 2, 51),
        ("asap", 2, 51),
    ]
    assert [trials_name("mine"), trials_name("mine", 2)] == ["mine.trials", "mine.trials2"]
    assert [finals_name("mine"), finals_name("mine", 2)] == ["mine.tuned", "mine.tuned2"]
    assert [study.label for study in every][::2] == [
        "Digits ResNet-10(width=2) BP",
        "Digits ResNet-10(width=2) BP, study 2",
    ]


def test_values_of_several_kinds_change_a_cell() -> None:
    cell = found()[1].published
    changed = with_values(cell, {"lr": 0.5, "rule.k": 4, "rule.stem": "trained", "optimizer.momentum": 0.5})
    assert changed == replace(
        cell,
        lr=0.5,
        rule=replace(
            cell.rule, options=tuple((n, {"k": 4, "stem": "trained"}.get(n, v)) for n, v in cell.rule.options)
        ),
        optimizer=replace(
            cell.optimizer, options=tuple((n, 0.5 if n == "momentum" else v) for n, v in cell.optimizer.options)
        ),
    )


@pytest.mark.parametrize(
    ("tune", "line"),
    [
        ("trails = 3", '5:10: unknown key "trails"; did you mean "trials"?'),
        ("epochs = -1", "5:10: epochs must be at least 0, not -1"),
        ('sampler = "sobol"', "5:11: sampler must be one of quasi-random, tpe, not 'sobol'"),
        ('pruner = "medain"', "5:10: pruner must be one of none, median, hyperband, not 'medain'; did you mean"),
        ("seed = 0", "5:8: seed 0 is also a seed of the grid: finals need seeds that no trial had"),
        ("batch = 0", "5:9: batch must be at least 1, not 0"),
    ],
)
def test_an_error_of_a_key_names_its_place(tune: str, line: str) -> None:
    assert problems(tune)[0].startswith(f"s.toml:{line}")


@pytest.mark.parametrize("name", ["trials", "validation"])
def test_trials_and_validation_are_required(name: str) -> None:
    without = "\n".join(line for line in text().splitlines() if not line.startswith(f"{name} ="))
    with pytest.raises(SuiteError, match=rf"^s.toml:3:2: \[tune\] needs {name} = \.\.\.: "):
        parse(without, source="s.toml")


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ("", "7:2: [tune.space] needs a key"),
        ("rule.j = [1, 2]", '8:10: no rule, optimizer or schedule here has "rule.j"'),
        ("lrr = [0.1]", '8:7: no rule, optimizer or schedule here has "lrr"; did you mean "lr"?'),
        ("epochs = [1, 2]", "8:10: epochs cannot be tuned: it is the same for all trials"),
        ('rule = ["bp"]', "8:8: rule cannot be tuned"),
        ("model.width = [1]", "8:15: model.width cannot be tuned"),
        ("seed = [1]", "8:8: seed cannot be tuned"),
        ("lr = []", "8:6: lr needs at least one value"),
        ("lr = [0.1, 0, true]", "8:12: a learning rate must be greater than 0, not 0"),
        ("lr = [0.1, true]", "8:12: a learning rate must be a number, not True"),
        ("lr = { low = 0.1 }", "8:6: a range needs low and high"),
        ("lr = { low = 0.1, high = 1, lgo = true }", '8:35: a range has low, high and log, not "lgo"'),
        ("lr = { low = 0.1, high = 1, log = 1 }", "8:6: a range needs low and high, as in"),
        ("lr = { low = 0.1, high = 0.1 }", "8:6: low 0.1 must be less than high 0.1"),
        ("lr = { low = 0, high = 0.1 }", "8:14: a learning rate must be greater than 0, not 0"),
        ("optimizer.momentum = { low = 0, high = 0.5, log = true }", "8:30: a logarithmic range must begin above 0"),
        ("optimizer.nesterov = { low = false, high = true }", "8:22: optimizer.nesterov is no number: list its values"),
        ('rule.matching = { low = "max", high = "random" }', "8:17: rule.matching is no number: list its values"),
        ("rule.k = { low = 1, high = 2.5 }", "8:28: k must be a whole number, not 2.5"),
        ("rule.k = [0, 1]", "8:11: k must be at least 1, not 0"),
    ],
)
def test_an_error_of_the_space_names_its_place(space: str, line: str) -> None:
    assert problems(space=space)[0].startswith(f"s.toml:{line}")


def test_all_errors_are_reported_together() -> None:
    assert len(problems("epochs = -1\nstudies = 0", "lr = []\nseed = [1]")) == 4


def test_each_rule_needs_a_key_of_the_space() -> None:
    [line] = problems(space="rule.k = [1, 2, 3, 4]")
    assert line == "s.toml:7:2: Digits ResNet-10(width=2) BP: none of these keys is a setting of it"


def test_a_grid_with_several_values_of_a_tuned_key_is_an_error() -> None:
    [line] = problems(grid='rule = "bp"\nlr = [0.1, 0.2]')
    assert line == "s.toml:8:6: the grid has several values of lr for Digits ResNet-10(width=2) BP: leave it one"


def test_a_grid_with_several_values_of_what_trials_fix_is_an_error() -> None:
    lines = problems("epochs = 2", grid='rule = "bp"\nlr = 0.1\nvalidation = [0, 50]')
    assert lines == [
        "s.toml:6:14: the grid has several values of validation for Digits ResNet-10(width=2) BP: leave it one"
    ]


@pytest.mark.parametrize("space", ["lr = [0.1, 0.2, 0.3]", "rule.k = { low = 1, high = 3 }"])
def test_more_trials_than_points_are_an_error(space: str) -> None:
    [line] = problems(space=space, grid='rule = "asap"\nlr = 0.1')
    assert line.startswith("s.toml:4:10: Digits ResNet-10(width=2) ASAP: its space has 3 points: take fewer trials")


@pytest.mark.parametrize(
    ("tune", "space", "grid", "place"),
    [
        ("epochs = 2", LR, "warmup = 2", "5:10"),
        ("epochs = 2", "warmup = [0, 1, 2, 3, 4]", "", "8:10"),
        ("", "batch_size = [32, 7, 64, 128]", "", "8:14"),  # of 1,338 training examples, one is in the last batch
    ],
)
def test_what_makes_a_trial_untrainable_is_an_error_at_its_place(tune: str, space: str, grid: str, place: str) -> None:
    [line] = problems(tune, space, f"{GRID}\n{grid}")
    assert line.startswith(f"s.toml:{place}: a trial of Digits ResNet-10(width=2) BP: ")


def test_values_with_which_only_the_finals_cannot_be_trained_are_an_error_at_their_key() -> None:
    # Finals train on 1,438 examples: in batches of 479 or of 1,437 the last one has a single example.
    [line] = problems(space="batch_size = [32, 479, 1437, 64]")
    assert line.startswith("s.toml:8:14: finals of Digits ResNet-10(width=2) BP: 1438 training examples in batches of")
    [line] = problems("epochs = 20", space="warmup = [0, 1, 2, 12]")  # finals have 3 epochs
    assert line.startswith("s.toml:8:10: finals of Digits ResNet-10(width=2) BP: warmup 12 leaves no epoch of 3")


def test_more_examples_held_out_than_there_are_is_an_error() -> None:
    lines = text().replace("validation = 100", "validation = 5000")
    with pytest.raises(SuiteError, match=r"^s.toml:6:14: a trial of .*: validation 5000 leaves 0 of 1438"):
        parse(lines, source="s.toml")


def test_a_grid_without_test_accuracy_or_with_examples_held_out_has_no_finals() -> None:
    label = "Digits ResNet-10(width=2) BP"
    assert problems(grid=f"{GRID}\ntest_set = false") == [
        f"s.toml:3:2: {label}: test_set = false in the grid: finals need test accuracy: leave it out"
    ]
    assert problems(grid=f"{GRID}\nvalidation = 50") == [
        f"s.toml:6:14: {label}: validation 50 in the grid: finals train on all data: set it in [tune] alone"
    ]


def test_tune_must_be_a_table() -> None:
    with pytest.raises(SuiteError, match=r"^s.toml:1:8: write \[tune\], a table: not 3"):
        parse(
            'tune = 3\n[suite]\nname = "mine"\n[[grid]]\ndataset = "digits"\nmodel = "mlp"\nlr = {bp = 1}',
            source="s.toml",
        )
