"""--only, --set and --seeds choose and change cells, and refuse what no cell has."""

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.load import load
from asapbench.suite.select import choose, data_path, only, with_seeds

CELLS = load("cifar10").cells


def test_only_keeps_the_cells_that_pass_every_filter() -> None:
    kept = only(CELLS, ["rule=bp,asap", "model=resnet18"])
    assert [(cell.model.name, cell.rule.name) for cell in kept] == [("resnet18", "bp"), ("resnet18", "asap")]
    assert [cell.lr for cell in only(CELLS, ["lr=0.003", "rule=asap"])] == [0.003]
    assert only(CELLS, [f"cell={CELLS[3].short}"]) == [CELLS[3]]
    assert {cell.rule.name for cell in only(CELLS, ["rule.k=2"])} == {"asap", "asfp", "asfp_lc"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rule=asapp", 'did you mean "asap"'),
        ("rul=asap", 'unknown key "rul"; did you mean "rule"'),
        ("rule", "write --only key=value"),
        ("rule=", "no value"),
        ("rule.kk=2", 'no rule has an option "kk"'),
        ("model=mlp", 'no cell has model "mlp"'),
        ("cell=ffffffff", "no cell has cell"),
    ],
)
def test_only_refuses_what_no_cell_has(text: str, says: str) -> None:
    with pytest.raises(SuiteError, match=says.replace(".", r"\.")):
        only(CELLS, [text])


def test_only_says_where_no_cell_has_the_option_at_all() -> None:
    bp = only(CELLS, ["rule=bp"])
    with pytest.raises(SuiteError, match=r"--only rule\.k=2: no cell's rule has an option k$"):
        only(bp, ["rule.k=2"])


def test_a_filter_of_no_cells_says_that_there_are_none() -> None:
    for text in ("model=mlp", "rule.k=2", "cell=ab"):
        with pytest.raises(SuiteError, match="there are no cells to choose among"):
            only([], [text])


def test_cells_that_differ_in_the_optimizer_alone_have_labels_of_their_own() -> None:
    cells = load("weight_decay").cells
    assert len({cell.label for cell in cells}) == len(cells)
    assert all("SGD" not in cell.label for cell in load("quickstart").cells)


def test_filters_that_exclude_each_other_are_an_error() -> None:
    with pytest.raises(SuiteError, match="no cell passes all"):
        only(CELLS, ["model=alexnet", "lr=0.003"])


def test_set_changes_the_cells_that_have_the_option() -> None:
    settings = ["epochs=1", "rule.k=4", "model.width=12", "optimizer.weight_decay=0", "lr=1"]
    (changed,) = choose([CELLS], settings=settings)
    assert {cell.epochs for cell in changed} == {1}
    assert {cell.rule.integer("k") for cell in changed if cell.rule.name == "asap"} == {4}
    assert {cell.model.integer("width") for cell in changed} == {12}
    assert {(cell.optimizer.number("weight_decay"), cell.lr) for cell in changed} == {(0.0, 1.0)}


def test_cells_that_a_setting_makes_equal_become_one() -> None:
    text = load("quickstart").cells
    assert len(choose([[cell.with_seed(0) for cell in text]], settings=["epochs=2"])[0]) == 10


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs=0", "at least 1"),
        ("epochs=many", "whole number"),
        ("epoch=3", 'did you mean "epochs"'),
        ("rule.kk=2", 'no rule here has an option "kk"'),
        ("rule.k=0", "at least 1"),
        ("rule=asap", "--only rule"),
        ("seed=3", "--seeds"),
        ("optimizer=sdg", 'did you mean "sgd"'),
        ("lr=0", "greater than 0"),
        ("epochs", "write --set key=value"),
        ("batch_size=49999", "a last batch of one"),
    ],
)
def test_set_refuses_with_the_fix(text: str, says: str) -> None:
    with pytest.raises(SuiteError, match=says):
        choose([CELLS], settings=[text])


def test_seeds_multiply_each_configuration() -> None:
    assert [cell.seed for cell in with_seeds(CELLS[:1], "0-2,7,1")] == [0, 1, 2, 7]
    assert len(with_seeds(load("quickstart").cells, "5")) == 10


def test_the_largest_seed_of_a_suite_is_one_of_the_command_line_too() -> None:
    largest = 2**63 - 1
    assert [cell.seed for cell in with_seeds(CELLS[:1], f"{largest - 1}-{largest}")] == [largest - 1, largest]
    for text in (f"{largest + 1}", "0-" + "9" * 400):
        with pytest.raises(SuiteError, match=r"a seed must be a whole number from 0 to 2\^63 - 1"):
            with_seeds(CELLS[:1], text)


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "0-99999999", "1.5"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SuiteError, match="--seeds"):
        with_seeds(CELLS, text)


def test_a_filter_must_pass_a_cell_of_one_suite_not_of_each() -> None:
    suites = [load("quickstart").cells, CELLS]
    digits, cifar = choose(suites, filters=["model=resnet18"])
    assert digits == []
    assert {cell.model.name for cell in cifar} == {"resnet18"}
    with pytest.raises(SuiteError, match='no cell has model "mlp"'):
        choose(suites, filters=["model=mlp"])


def test_a_setting_must_fit_a_cell_of_one_suite_not_of_each() -> None:
    only_bp = only(CELLS, ["rule=bp"])
    bp, quick = choose([only_bp, load("quickstart").cells], settings=["rule.k=4"], seeds="7")
    assert {cell.seed for cell in (*bp, *quick)} == {7}
    assert [cell.with_seed(0) for cell in bp] == only_bp
    assert {cell.rule.integer("k") for cell in quick if cell.rule.name == "asap"} == {4}
    with pytest.raises(SuiteError, match='no rule here has an option "k"'):
        choose([only_bp], settings=["rule.k=4"])


@pytest.mark.parametrize("settings", [["epochs=1", "epochs=2"], ["rule.k=2", "rule.k=4"], ["lr=1", " lr = 1"]])
def test_a_key_that_is_set_twice_is_refused(settings: list[str]) -> None:
    with pytest.raises(SuiteError, match="is set twice: set it once"):
        choose([CELLS], settings=settings)


def test_an_optimizer_and_its_option_are_set_in_either_order() -> None:
    either = [choose([CELLS], settings=order)[0] for order in (SETTINGS, SETTINGS[::-1])]
    assert either[0] == either[1]
    assert {cell.optimizer.number("beta1") for cell in either[0]} == {0.5}


SETTINGS = ["optimizer=adam", "optimizer.beta1=0.5"]


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    (cell,) = choose([CELLS[:1]], settings=["schedule=step", "schedule.milestones=20"])[0]
    assert cell.schedule["milestones"] == "20"
    assert only([cell], ["schedule.milestones=20"]) == [cell]
    assert data_path(["dataset.path=2024"]) == "2024"
    assert data_path(['dataset.path="sp ace"']) == "sp ace"


def test_only_takes_and_lists_true_and_false_as_toml_has_them() -> None:
    cells = load("quickstart").cells
    assert only(cells, ["test_set=true"]) == list(cells)
    with pytest.raises(SuiteError, match=r'no cell has test_set "false" \(there are: true\)'):
        only(cells, ["test_set=false"])
