"""A grid expands into the product of its lists, each cell once."""

from asapbench.suite.load import parse

HEAD = '[suite]\nname = "a"\n[defaults]\ndataset = "mnist"\nmodel = "mlp"\n'


def cells(grid: str):
    return parse(f"{HEAD}\n{grid}", source="a.toml").cells


def test_lists_multiply_options_too() -> None:
    found = cells(
        '[[grid]]\nrule = [{ name = "asap", k = [1, 2, 4] }, "bp"]\nlr = [0.1, 0.2]\nseeds = [0, 1]\nmodel = "resnet10"'
    )
    assert len(found) == (3 + 1) * 2 * 2
    assert sorted({cell.rule.integer("k") for cell in found if cell.rule.name == "asap"}) == [1, 2, 4]


def test_a_table_of_rates_names_the_rules_and_gives_each_its_rate() -> None:
    found = cells("[[grid]]\nlr = { bp = 3e-2, fa = [1e-3, 1e-4] }")
    assert [(cell.rule.name, cell.lr) for cell in found] == [("bp", 3e-2), ("fa", 1e-3), ("fa", 1e-4)]


def test_a_grid_overrides_the_defaults_and_a_cell_named_twice_stands_once() -> None:
    text = '[[grid]]\nrule = "bp"\nlr = 0.1\nepochs = 3\n[[grid]]\nrule = ["bp", "fa"]\nlr = 0.1\nepochs = 3'
    found = cells(text)
    assert [(cell.rule.name, cell.epochs) for cell in found] == [("bp", 3), ("fa", 3)]


def test_augmentation_follows_the_data_set_unless_it_is_named() -> None:
    text = '[[grid]]\nrule = "bp"\nlr = 0.1\ndataset = ["mnist", "cifar10"]\n'
    assert [cell.augment for cell in cells(text)] == ["none", "crop_flip"]
    assert [cell.augment for cell in cells(text + 'augment = "none"')] == ["none", "none"]
