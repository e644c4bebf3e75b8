"""External memory accesses (eq. 48-49): counted by hand, and against what the torch modules hold and pass on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.analysis.memory import (
    Accesses,
    accesses_of_epoch,
    accesses_of_step,
    asap,
    backpropagation,
    in_parts,
    parameters,
    shared_activations,
)
from asapbench.errors import AsapbenchError
from asapbench.models import build
from asapbench.rules import resolve
from asapbench.rules.engine.graph import capture
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.entries import LayerShape
from asapbench.suite.load import parse
from asapbench.suite.shapes import layer_shapes


def shapes(name: str) -> list[LayerShape]:
    return layer_shapes(MODELS[name].choose(), channels=3, size=32, classes=10)


def test_alexnet_by_hand() -> None:
    """64, 128 and 256 maps, pooled to 17x17, 9x9 and 5x5; then 6400-1024-1024-10."""
    convolutions = 27 * 64 + 576 * 128 + 1152 * 256
    linear = 6400 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 10 + 10
    p = convolutions + linear + 2 * (64 + 128 + 256 + 1024 + 1024 + 10)
    all_outputs = 64 * 17**2 + 128 * 9**2 + 256 * 5**2 + 1024 + 1024 + 10
    stored = 64 * 17**2 + 6400 + 1024 + 1024
    found = backpropagation(shapes("alexnet"), batch=128)
    assert (found.forward_reads, found.forward_writes) == (p, 128 * all_outputs)
    assert (found.backward_reads, found.backward_writes) == (p + 128 * all_outputs, p)
    assert found.total == 3 * p + 2 * 128 * all_outputs == 33_523_994
    assert asap(shapes("alexnet"), batch=128, k=2).total == 3 * p + 2 * 128 * stored == 30_867_226
    learned = 576 * 128 + 1152 * 256
    assert asap(shapes("alexnet"), batch=128, k=2, with_feedback=True).total == 3 * p + 2 * 128 * stored + 2 * learned


@pytest.mark.parametrize(
    ("model", "batch", "k", "ratio"),
    [
        ("resnet18", 128, 2, 0.63),
        ("resnet18", 128, 4, 0.45),
        ("resnet34", 128, 2, 0.62),
        ("resnet34", 128, 4, 0.41),
        ("resnet18", 1, 2, 0.985),
    ],
)
def test_resnets_have_the_ratios_that_the_figure_claims(model: str, batch: int, k: int, ratio: float) -> None:
    found = asap(shapes(model), batch=batch, k=k).total / backpropagation(shapes(model), batch=batch).total
    assert round(found, 3 if batch == 1 else 2) == ratio


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("model", ["resnet18", "resnet10_nsc", "alexnet"])
def test_asap_stores_the_very_tensors_that_the_rule_shares(model: str, k: int) -> None:
    """The inputs of the first layer of each group, as the torch rule finds them in the graph of the real module."""
    choice = MODELS[model].choose({"width": 4})
    module = build(choice, channels=3, size=32, classes=10)
    sizes = inputs_of(module)
    flow = capture(module, torch.zeros(2, 3, 32, 32))
    plans = resolve(RULES["asap"].choose({"k": k})).plan(flow)
    kept = {flow.main[1].input} | {plan.shared for plan in plans.values() if plan.shared is not None}
    convolutions = sum({layer.input: sizes[layer.name] for layer in flow.main if layer.input in kept}.values())
    linear = sum(sizes[layer.name] for layer in flow.linears)
    assert shared_activations(layer_shapes(choice, channels=3, size=32, classes=10), k=k) == convolutions + linear


def inputs_of(module: nn.Module) -> dict[str, int]:
    """Entries of each weight layer's input for one example."""
    sizes: dict[str, int] = {}

    def remember(name: str, entering: Tensor) -> None:
        sizes[name] = entering[0].numel()

    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: remember(name, args[0]))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    module.eval()(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return sizes


def test_larger_blocks_store_less_and_never_more_than_backpropagation() -> None:
    counts = [asap(shapes("resnet34"), batch=128, k=k).total for k in (1, 2, 4, 8, 64)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 5
    assert counts[0] < backpropagation(shapes("resnet34"), batch=128).total


def test_parameters_are_those_of_the_module() -> None:
    for name in ("alexnet", "resnet34", "resnet18_nsc"):
        module = build(MODELS[name].choose(), channels=3, size=32, classes=10)
        assert parameters(shapes(name)) == sum(parameter.numel() for parameter in module.parameters())


def test_a_network_without_three_convolutions_shares_nothing() -> None:
    with pytest.raises(AsapbenchError, match=r"at least 3 convolutions .*, and there are 0"):
        asap(shapes("mlp"), batch=1, k=2)


def cell_of(rule: str, *, train_size: int = 1000, validation: int = 100, batch_size: int = 128) -> Cell:
    (cell,) = parse(
        f"""[suite]
name = "mine"
[[grid]]
dataset = {{ name = "cifar10", train_size = {train_size} }}
model = "resnet18"
rule = {rule}
lr = 0.1
batch_size = {batch_size}
validation = {validation}
""",
        source="mine.toml",
    ).cells
    return cell


def test_an_epoch_counts_whole_batches_and_the_smaller_last_one_of_what_is_not_held_out() -> None:
    """900 examples: seven steps of 128 and one of 4."""
    layers = shapes("resnet18")
    by_hand = 7 * backpropagation(layers, batch=128).total + backpropagation(layers, batch=4).total
    assert accesses_of_epoch(cell_of('"bp"')) == by_hand
    assert accesses_of_epoch(cell_of('"bp"', train_size=996)) == 7 * backpropagation(layers, batch=128).total


@pytest.mark.parametrize("rule", ["bp", "fa", "kp"])
def test_fa_and_kp_count_as_bp(rule: str) -> None:
    assert accesses_of_step(cell_of(f'"{rule}"')) == backpropagation(shapes("resnet18"), batch=128)


def test_asap_counts_by_its_block_size() -> None:
    assert accesses_of_step(cell_of('{ name = "asap", k = 4 }')) == asap(shapes("resnet18"), batch=128, k=4)


def test_a_rule_that_the_formula_does_not_describe_has_no_count() -> None:
    assert accesses_of_step(cell_of('"dfa"')) is None
    assert accesses_of_epoch(cell_of('"dfa"')) is None


def test_parts_of_a_batch_each_read_the_parameters_and_the_sum_of_gradients_so_far() -> None:
    """By hand: P = 10, A = 6, three parts: P read 3 times forward, 3 times backward, and the sum read twice."""
    found = in_parts(Accesses(10, 6, 16, 10), 3)
    assert found == Accesses(30, 6, 3 * 10 + 2 * 10 + 6, 30)
