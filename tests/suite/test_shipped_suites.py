"""The shipped suites are the paper's: Tables 1 and 3, and Appendix C's recipe."""

import tomllib
from importlib import resources

import pytest

from asapbench.rules import resolve
from asapbench.suite.catalog import MODELS, OPTIMIZERS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, shipped

LOCAL = ("local_errors", "predsim", "phsic")
BIOTORCH = ("bp", "fa", "dfa", "sign_symmetry")
PAPER = ("mnist", "svhn", "cifar10", "cifar100", "tiny_imagenet")


def published() -> dict:
    return tomllib.loads(resources.files("asapbench.report").joinpath("published.toml").read_text("utf-8"))


def test_the_paper_suites_have_the_70_cells_of_table_1_with_table_3s_rates() -> None:
    table = published()["table3"]
    cells = [cell for name in PAPER for cell in load(name).cells if cell.rule.name in table["columns"]]
    ours = {(cell.dataset.name, cell.model.name, cell.rule.name): cell.lr for cell in cells}
    theirs = {
        (row["dataset"], row["model"], rule): rate
        for row in table["rows"]
        for rule, rate in zip(table["columns"], row["values"], strict=True)
    }
    assert len(cells) == 70
    assert ours == theirs


def test_cifar10_adds_the_cells_of_tables_2_and_5_and_no_others() -> None:
    others = [cell for cell in load("cifar10").cells if cell.rule.name not in published()["table3"]["columns"]]
    rules = ("asfp", "asfp_lc", *LOCAL)
    assert sorted((cell.model.name, cell.rule.name) for cell in others) == sorted(
        (model, rule) for model in ("resnet18", "resnet34") for rule in rules
    )
    assert load("cifar10").tables == (1, 2, 3, 5)


def test_the_recipe_is_appendix_cs_with_adam_for_local_learning() -> None:
    for name in PAPER:
        for cell in load(name).cells:
            assert (cell.epochs, cell.batch_size, cell.schedule.name, cell.seed) == (200, 128, "cosine", 0)
            if cell.rule.name in LOCAL:
                assert (cell.optimizer, cell.lr) == (OPTIMIZERS["adam"].choose({"weight_decay": 0.0}), 5e-3)
            else:
                assert (cell.optimizer["momentum"], cell.optimizer["weight_decay"]) == (0.9, 5e-4)
            assert cell.augment == ("none" if name in ("mnist", "svhn") else "crop_flip")
            assert dict(cell.rule.options).get("k", 2) == 2


def test_released_code_differs_from_table_1_where_the_released_code_does() -> None:
    cells, table1 = load("released_code").cells, {cell.id for name in PAPER for cell in load(name).cells}
    assert not {cell.id for cell in cells} & table1
    assert {cell.rule.name for cell in cells} == {"bp", "fa", "dfa", "asap"}
    for cell in cells:
        assert cell.normalization == "released"
        assert dict(cell.rule.options).get("feedback_init") == {"fa": "forward", "asap": "random"}.get(cell.rule.name)
        assert (cell.model["linear_init"] == "released") is (cell.rule.name != "bp")
        if cell.model.name == "alexnet":
            assert (cell.model["kernel"], cell.model["conv_bias"]) == (5, True)
        assert cell.augment == ("none" if cell.dataset.name in ("mnist", "svhn") else "crop_flip")
        assert cell.model.name != "resnet18_nsc" or cell.rule.name == "asap"
        assert cell.lr == published_rate(cell)
    assert len(cells) == 4 * 4 + 4 + 2 * 2 * 4 + 3


def published_rate(cell: Cell) -> float:
    """Table 3's learning rate of a cell's row and rule."""
    table = published()["table3"]
    (row,) = (r for r in table["rows"] if (r["dataset"], r["model"]) == (cell.dataset.name, cell.model.name))
    rate: float = row["values"][table["columns"].index(cell.rule.name)]
    return rate


def test_every_rule_is_in_a_shipped_suite() -> None:
    assert {cell.rule.name for name in shipped() for cell in load(name).cells} == set(RULES)


def test_cpu_has_the_papers_rules_over_three_seeds_on_narrow_networks() -> None:
    cells = load("cpu").cells
    assert {cell.rule.name for cell in cells} > {*published()["table3"]["columns"], "asfp_lc", "forward_alignment"}
    assert {cell.seed for cell in cells} == {0, 1, 2}
    assert {cell.dataset.name for cell in cells} == {"cifar10"}
    assert all(cell.model["width"] == 8 for cell in cells if cell.model.name != "mlp")


@pytest.mark.parametrize("name", ["feedback", "feedback_adam"])
def test_feedback_is_biotorchs_recipe_with_its_rates(name: str) -> None:
    cells = load(name).cells
    for cell in cells:
        assert (cell.dataset.name, cell.epochs, cell.batch_size, cell.validation) == ("cifar10", 250, 128, 5000)
        assert cell.optimizer["weight_decay"] == 1e-4
        assert (cell.schedule["milestones"], cell.schedule["factor"]) == ("100 150 200", 0.1)
        assert (cell.model["width"], cell.model["shortcut"], cell.model["logits_batchnorm"]) == (16, "A", False)
    for model in ("resnet20", "resnet56"):
        own = [cell for cell in cells if cell.model.name == model and cell.rule.name in BIOTORCH]
        rates = {"dfa": 1e-3} if name == "feedback" else dict.fromkeys(BIOTORCH, 1e-3)
        published = [cell for cell in own if cell.rule != RULES["dfa"].choose({"error": "sign"})]
        assert {cell.optimizer.name for cell in published} == {"sgd" if name == "feedback" else "adam"}
        assert {(cell.rule.name, cell.lr) for cell in published} == {(r, rates.get(r, 0.1)) for r in BIOTORCH}


def test_local_has_every_local_rule_on_a_vgg_and_trains_the_resnets_with_table_5() -> None:
    cells, known = load("local").cells, {cell.id for cell in load("cifar10").cells}
    local = {name for name in RULES if resolve(name).declares.loss == "local"}
    for model in ("vgg8b", "resnet18"):
        assert {cell.rule.name for cell in cells if cell.model.name == model} == {"bp", *local}
    for cell in cells:
        if cell.model.name == "vgg8b":  # Nøkland and Eidnes 2019
            assert (cell.optimizer.name, cell.lr, cell.epochs, cell.batch_size) == ("adam", 5e-4, 400, 128)
            assert (cell.schedule["milestones"], cell.schedule["factor"]) == ("200 300 350 375", 0.25)
    apart = [cell for cell in cells if cell.id not in known and cell.model.name in ("resnet18", "resnet34")]
    assert [(cell.model.name, cell.rule.name, cell.rule["unit"]) for cell in apart] == [
        ("resnet18", "auglocal", "block"),
        ("resnet18", "local_errors", "conv"),
        ("resnet18", "dgl", "block"),
        ("resnet34", "dgl", "block"),
    ]


def test_phsic_is_its_authors_recipe_with_their_tuned_groups_and_rates() -> None:
    for cell in load("phsic").cells:
        assert (cell.dataset.name, cell.epochs, cell.batch_size, cell.augment) == ("cifar10", 500, 128, "crop_flip")
        assert (cell.schedule["milestones"], cell.schedule["factor"]) == ("300 350 450 475", 0.25)
        assert (cell.optimizer.name, cell.optimizer["weight_decay"]) == (
            "adamw",
            1e-6 if cell.rule.name == "bp" else 1e-7,
        )
    found = {
        (cell.model["width"], cell.model["divisive_groups"], *(cell.rule[o] for o in ("kernel", "groups", "power"))): (
            cell.lr
        )
        for cell in load("phsic").cells
        if cell.rule.name == "phsic"
    }
    assert found == {
        (128, 0, "cosine", 32, 0.5): 5e-4,
        (256, 0, "cosine", 128, 0.5): 5e-4,
        (128, 0, "gaussian", 64, 0.5): 5e-3,
        (256, 0, "gaussian", 128, 0.5): 5e-3,
        (128, 64, "cosine", 64, 0.8): 5e-4,
        (256, 64, "cosine", 64, 0.8): 5e-4,
        (128, 64, "gaussian", 64, 0.8): 1e-2,
        (256, 128, "gaussian", 128, 0.8): 5e-3,
    }


@pytest.mark.parametrize("name", ["feedback", "local", "phsic"])
def test_the_cpu_form_of_a_suite_has_its_rules_on_narrow_networks_over_several_seeds(name: str) -> None:
    full, narrow = load(name), load(f"{name}_cpu")
    assert {cell.rule.name for cell in narrow.cells} == {cell.rule.name for cell in full.cells}
    assert len({cell.seed for cell in narrow.cells}) > 1
    assert {cell.model.name for cell in narrow.cells} <= {cell.model.name for cell in full.cells}
    for cell in narrow.cells:
        entry = MODELS[cell.model.name]
        assert cell.model.integer("width") <= entry.option("width").default / 2
        assert cell.epochs <= 12


def test_dimension_matching_is_figure_9s_three_cells_and_trains_the_first_with_table_1() -> None:
    cells = load("dimension_matching").cells
    assert [(c.model.name, c.rule.name, c.rule["matching"], c.lr) for c in cells] == [
        ("alexnet", "asap", matching, 1e-4) for matching in ("max", "average", "random")
    ]
    assert [cell.id in {known.id for known in load("cifar10").cells} for cell in cells] == [True, False, False]


def test_block_size_is_asap_at_three_sizes_and_trains_two_with_table_1() -> None:
    cells = load("block_size").cells
    assert [(c.model.name, c.rule["k"]) for c in cells] == [
        (model, k) for model in ("resnet18", "resnet34") for k in (1, 2, 4)
    ]
    assert {(cell.rule.name, cell.lr) for cell in cells} == {("asap", 3e-2)}
    known = {known.id for known in load("cifar10").cells}
    assert [cell.rule["k"] for cell in cells if cell.id in known] == [2, 2]


def test_weight_decay_is_table_4_and_trains_5e_4_with_table_1() -> None:
    suite, table = load("weight_decay"), published()["table4"]
    assert suite.tables == (4,)
    ours = [(cell.rule.name, cell.optimizer["weight_decay"]) for cell in suite.cells]
    assert sorted(ours) == sorted((row["rule"], decay) for row in table["rows"] for decay in table["columns"])
    assert {(c.dataset.name, c.model.name, c.lr) for c in suite.cells} == {("cifar10", "resnet34", 3e-2)}
    known = {known.id for known in load("cifar10").cells}
    shared = [(c.rule.name, c.optimizer["weight_decay"]) for c in suite.cells if c.id in known]
    assert shared == [("bp", 5e-4), ("asap", 5e-4)]


def test_the_suites_beside_table_1_keep_its_recipe() -> None:
    (recipe,) = {recipe_of(cell) for cell in load("cifar10").cells if cell.optimizer.name == "sgd"}
    for name in ("dimension_matching", "block_size", "weight_decay"):
        assert {recipe_of(cell) for cell in load(name).cells} == {recipe}


def recipe_of(cell: Cell) -> tuple[object, ...]:
    momentum = cell.optimizer["momentum"]
    return (cell.dataset, momentum, cell.epochs, cell.batch_size, cell.schedule, cell.augment, cell.normalization)


def test_every_shipped_suite_loads_under_its_own_name() -> None:
    assert {*PAPER, "quickstart"} <= set(shipped())
    for name in shipped():
        assert load(name).name == name


def test_quickstart_compares_five_rules_with_and_without_shortcuts_over_several_seeds() -> None:
    cells = load("quickstart").cells
    assert {cell.rule.name for cell in cells} == {"bp", "kp", "fa", "dfa", "asap"}
    assert {cell.model.name for cell in cells} == {"resnet10", "resnet10_nsc"}
    assert {cell.dataset.name for cell in cells} == {"digits"}
    assert len({cell.seed for cell in cells}) >= 3


def test_forward_alignment_is_a2s_recipe_in_every_reading() -> None:
    cells = load("forward_alignment").cells
    for cell in cells:
        assert (cell.dataset.name, cell.model.name) == ("mnist", "mlp")
        assert (cell.epochs, cell.batch_size, cell.lr, cell.schedule.name, cell.augment) == (
            200,
            50,
            1e-4,
            "cosine",
            "none",
        )
        assert (cell.optimizer["momentum"], cell.optimizer["weight_decay"]) == (0.9, 5e-4)
        assert cell.model["hidden"] == 10
    readings: dict[tuple, set[int]] = {}
    for cell in cells:
        readings.setdefault((cell.model, cell.rule), set()).add(cell.seed)
    assert set(map(frozenset, readings.values())) == {frozenset(range(5))}
    for depth in (2, 3):
        for nonlinear in (False, True):
            rules = [r for m, r in readings if (m["depth"], m["nonlinear"]) == (depth, nonlinear)]
            assert sum(rule.name == "bp" for rule in rules) == 1
            found = {(r["source"], r["approximate"]) for r in rules if r.name == "forward_alignment"}
            candidates = {("activation", a) for a in ("linear", "normalised", "affine", "own")}
            chained = ("approximation", "normalised")
            linear = {("activation", "linear"), ("approximation", "linear")}
            assert found == (candidates | {chained} if nonlinear else linear)
