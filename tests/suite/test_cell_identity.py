"""A cell's identity holds everything that can change the result, and nothing else."""

import dataclasses
import hashlib
import json

import pytest

from asapbench.errors import SuiteError
from asapbench.suite import catalog
from asapbench.suite import cell as cell_module
from asapbench.suite.cell import Cell, differences, title
from asapbench.suite.load import load, parse, shipped
from asapbench.suite.options import Entry, Option


def first() -> Cell:
    return load("cifar10").cells[0]


def test_every_field_is_shown() -> None:
    assert sorted(cell_module.FIELDS) == sorted(field.name for field in dataclasses.fields(Cell))


CHANGES = {
    "dataset": catalog.DATASETS["cifar10"].choose({"train_size": 1000}),
    "model": catalog.MODELS["alexnet"].choose({"kernel": 5}),
    "rule": catalog.RULES["fa"].choose(),
    "optimizer": catalog.OPTIMIZERS["sgd"].choose({"momentum": 0.5}),
    "lr": 0.5,
    "schedule": catalog.SCHEDULES["constant"].choose(),
    "epochs": 3,
    "batch_size": 64,
    "augment": "none",
    "seed": 1,
    "normalization": "released",
    "precision": "bf16",
    "validation": 5000,
    "warmup": 5,
    "label_smoothing": 0.1,
    "test_set": False,
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_field_moves_the_identity_and_only_the_seed_leaves_the_group(name: str) -> None:
    changed = dataclasses.replace(first(), **{name: CHANGES[name]})
    assert changed.id != first().id
    assert (changed.group == first().group) is (name == "seed")


def test_the_changes_tested_are_all_fields() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Cell)}


def test_an_option_at_its_default_is_left_out_so_that_adding_one_moves_no_cell(monkeypatch) -> None:
    before = first().id
    entry = catalog.RULES["bp"]
    more = dataclasses.replace(entry, options=(*entry.options, Option("new", 3, "a new option")))
    monkeypatch.setitem(cell_module.CATALOG["rule"], "bp", more)
    widened = dataclasses.replace(first(), rule=more.choose())
    assert widened.id == before
    assert dataclasses.replace(first(), rule=more.choose({"new": 4})).id != before


@pytest.mark.parametrize("kind", cell_module.CHOICES)
def test_a_revision_moves_the_identity(kind: str, monkeypatch) -> None:
    before, name = first().id, getattr(first(), kind).name
    entry: Entry = cell_module.CATALOG[kind][name]
    monkeypatch.setitem(cell_module.CATALOG[kind], name, dataclasses.replace(entry, revision=entry.revision + 1))
    assert dataclasses.replace(first()).id != before


def test_a_schedule_with_options_is_a_table_and_one_without_is_its_name() -> None:
    step = catalog.SCHEDULES["step"]
    plain = dataclasses.replace(first(), schedule=step.choose())
    changed = dataclasses.replace(first(), schedule=step.choose({"milestones": "100  150", "factor": 0.1}))
    assert plain.identity["schedule"] == "step"
    assert changed.identity["schedule"] == {"name": "step", "milestones": "100 150", "factor": 0.1}
    for cell in (first(), plain, changed):
        assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell
    assert first().to_json()["schedule"] == "cosine"


def test_id_and_group_are_the_sha256_of_the_identity_as_canonical_json() -> None:
    def sha256(content: dict[str, object]) -> str:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    cells = [cell for name in shipped() for cell in load(name).cells[::7]]
    assert len({cell.group for cell in cells}) > 40
    for cell in cells:
        for one in (cell, cell.with_seed(12)):
            assert one.id == sha256(one.identity)
            assert one.group == sha256({name: value for name, value in one.identity.items() if name != "seed"})


def test_whole_numbers_and_decimals_of_one_value_are_one_cell() -> None:
    text = (
        '[suite]\nname = "a"\n[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = {}\n'
        'optimizer = {{ name = "sgd", momentum = {} }}'
    )
    whole, decimal = (parse(text.format(*v), source="a").cells[0] for v in [(1, 0), (1.0, 0.0)])
    assert whole.id == decimal.id


def test_the_identity_is_frozen() -> None:
    """A change here makes every stored result old: raise a revision instead, and only with a reason."""
    assert first().identity == {
        "dataset": {"name": "cifar10"},
        "model": {"name": "alexnet"},
        "rule": {"name": "bp"},
        "optimizer": {"name": "sgd"},
        "lr": 0.03,
        "schedule": "cosine",
        "epochs": 200,
        "batch_size": 128,
        "augment": "crop_flip",
        "seed": 0,
        "revision": {"dataset": 1, "model": 1, "rule": 1, "optimizer": 1, "recipe": 2},
    }
    assert first().id.startswith("744498a257")


FROZEN = {
    "block_size": (6, "32373b2078d9a83a"),
    "cifar10": (30, "f19a03ee3aca5b54"),
    "cifar100": (20, "39ef7387030d82cf"),
    "cpu": (42, "2896733a306248ef"),
    "dimension_matching": (3, "87afff0bdd96e204"),
    "direct_cpu": (30, "dfe48fc8d53eac01"),
    "feedback": (21, "07f491b237273ace"),
    "feedback_adam": (12, "ab0a71fe3c3731c1"),
    "feedback_cpu": (45, "ff810d653bff787e"),
    "forward_alignment": (90, "3d9e7db60ab6d785"),
    "forward_alignment_open": (90, "83107fc25b9b7a27"),
    "local": (18, "42ed3e998fa9ad8b"),
    "local_cpu": (30, "868f22536478dadf"),
    "measured_cpu": (150, "a08b62bbbf463de4"),
    "mnist": (5, "fd12d7ce14314adb"),
    "pepita": (3, "a1a7c5eab0fc14ce"),
    "phsic": (12, "9f8482b555b273dd"),
    "phsic_cpu": (10, "3b4eadbd4f357e50"),
    "quickstart": (30, "05b2775eb99d9db8"),
    "released_code": (39, "987e5f682b6e42b3"),
    "svhn": (15, "1088d78d326b0c07"),
    "tiny_imagenet": (10, "9643264c3fd06f90"),
    "tuned": (30, "e5e95af930d07788"),
    "tuned_cpu": (66, "9dffef93060b1363"),
    "weight_decay": (10, "87bd3b64ba5fb811"),
}
"""Of each shipped suite: its cells, and the SHA-256 of their sorted identities."""


def test_the_identities_of_every_shipped_cell_are_frozen() -> None:
    """Restructuring moves none. A change of results raises one revision, and only the suites that it concerns move."""
    found = {}
    for name in shipped():
        ids = sorted(cell.id for cell in load(name).cells)
        found[name] = (len(ids), hashlib.sha256("".join(ids).encode()).hexdigest()[:16])
    assert found == FROZEN


def test_the_cells_that_phsic_replaced_in_cifar10_keep_their_identities_in_local() -> None:
    """Table 5's third column was DGL. With its cells in the place of pHSIC's, the suite has the hash that it had."""
    ids = {cell.id for cell in load("cifar10").cells if cell.rule.name != "phsic"}
    ids |= {cell.id for cell in load("local").cells if cell.rule.name == "dgl" and cell.model.name != "vgg8b"}
    assert (len(ids), hashlib.sha256("".join(sorted(ids)).encode()).hexdigest()[:16]) == (30, "d15bdaf8c416f0ed")


def test_a_cell_survives_json() -> None:
    for cell in load("cifar10").cells:
        assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell


@pytest.mark.parametrize(
    "broken",
    [{"rule": {"name": "gone"}}, {"rule": {"name": "asap", "gone": 1}}, {"rule": 3}, {"lr": None, "model": {}}],
)
def test_a_stored_cell_of_another_version_is_a_clear_error(broken) -> None:
    with pytest.raises(SuiteError, match="cannot be read by this version"):
        Cell.from_json(first().to_json() | broken)


def test_titles_and_differences_name_what_is_not_default() -> None:
    cell = dataclasses.replace(first(), rule=catalog.RULES["asap"].choose({"k": 4}), epochs=1)
    assert title("rule", cell.rule) == "ASAP(k=4)"
    reference = dataclasses.replace(cell, rule=catalog.RULES["asap"].choose(), epochs=200, seed=7)
    assert differences(cell, reference) == ["rule.k 4 instead of 2", "epochs 1 instead of 200"]
