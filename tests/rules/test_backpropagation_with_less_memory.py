"""BP with activation checkpointing and with gradient accumulation: BP's result, from less memory."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.rules import CrossEntropy, Learner, attach
from asapbench.rules.engine.recomputed import Recomputed
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice, Value


def bp(**options: Value) -> Choice:
    return RULES["bp"].choose(options)


def model_of(name: str, **options: Value) -> nn.Module:
    """A narrow model for 12x12 images, in float64."""
    narrow: dict[str, Value] = {"width": 4, "hidden": 6}
    given = {key: value for key, value in narrow.items() if key in {option.name for option in MODELS[name].options}}
    model = build(MODELS[name].choose(given | options), channels=3, size=12, classes=5)
    initialise(model, 1)
    return model.double().train()


def batch_of(count: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(count, 3, 12, 12, generator=draw, dtype=torch.float64)
    return x, torch.randint(5, (count,), generator=draw)


def trained(model: nn.Module, rule: Choice, x: Tensor, y: Tensor, *, steps: int = 3) -> dict[str, Tensor]:
    """The state after some steps, and the gradients of the last one."""
    learner = attach(model, rule, x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        learner.backward(x, y)
        optimizer.step()
    return {**model.state_dict(), **{f"gradient of {name}": p.grad for name, p in model.named_parameters()}}


def require_same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert not [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]


@pytest.mark.parametrize("name", MODELS)
def test_checkpointing_gives_the_bits_of_bp_on_every_model(name: str) -> None:
    """Gradients, weights, and running statistics, which the second forward pass leaves alone."""
    x, y = batch_of(5)
    model = model_of(name)
    twin = copy.deepcopy(model)
    require_same_bits(trained(twin, bp(checkpointing=True), x, y), trained(model, bp(), x, y))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_segments_that_are_computed_again(name: str) -> None:
    learner = attach(model_of(name), bp(checkpointing=True), torch.zeros(2, 3, 12, 12))
    assert sum(isinstance(module, Recomputed) for module in learner.program.modules()) >= 2


class Residual(nn.Module):
    """Activations in place, dropout and an addition between tensors of which one is changed in place afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))
        self.leaky, self.dropout = nn.LeakyReLU(0.1, inplace=True), nn.Dropout(0.4)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.leaky(self.norms[0](self.first(x))))
        x = F.relu(x + self.norms[1](self.second(x)), inplace=True)
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1)))


def test_dropout_draws_the_same_numbers_again_and_no_more_than_bp() -> None:
    x, y = batch_of(6)
    torch.manual_seed(0)
    model = Residual().double().train()
    twin = copy.deepcopy(model)
    found = []
    for network, rule in ((model, bp()), (twin, bp(checkpointing=True))):
        torch.manual_seed(7)
        found.append(trained(network, rule, x, y) | {"stream": torch.get_rng_state()})
    require_same_bits(found[1], found[0])


class Noisy(nn.Module):
    """Noise that nothing about the module tells."""

    is_one_operation = True

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x)


class NestedDropout(nn.Module):
    is_one_operation = True

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.dropout(x)


@pytest.mark.parametrize("kind", [Noisy, NestedDropout])
def test_a_module_that_is_one_operation_draws_the_same_numbers_again(kind: type[nn.Module]) -> None:
    x, y = batch_of(6)
    first, second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
    model = nn.Sequential(first, nn.ReLU(), kind(), second, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 144, 5)).double()
    found = []
    for network, rule in ((copy.deepcopy(model), bp()), (model, bp(checkpointing=True))):
        torch.manual_seed(7)
        found.append(trained(network, rule, x, y) | {"stream": torch.get_rng_state()})
    require_same_bits(found[1], found[0])


def test_streams_are_restored_only_for_what_may_draw() -> None:
    """Not for the catalog's own normalisation."""
    model = build(
        MODELS["vgg_like"].choose({"width": 8, "hidden": 8, "divisive_groups": 4}), channels=3, size=32, classes=5
    )
    learner = attach(model, bp(checkpointing=True), torch.zeros(2, 3, 32, 32))
    known = [module for module in learner.program.modules() if isinstance(module, Recomputed)]
    assert known
    assert not any(module.draws for module in known)


def test_checkpointing_repeats_the_autocast_of_the_forward_pass() -> None:
    x, y = batch_of(6)
    found = []
    for rule in (bp(), bp(checkpointing=True)):
        model = model_of("resnet10").float()
        learner = attach(model, rule, x.float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scalar = learner.objective(x.float(), y).scalar
        scalar.backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    require_same_bits(found[1], found[0])


def peak_of_saved(step: Callable[[], object]) -> int:
    """The most bytes that autograd keeps at once, each storage counted once."""
    held: dict[int, int] = {}
    now = peak = 0

    class Saved:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def release(storage: int, size: int) -> None:
        nonlocal now
        held[storage] -= 1
        now -= size if not held[storage] else 0

    def pack(tensor: Tensor) -> Saved:
        nonlocal now, peak
        storage, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        held[storage] = held.get(storage, 0) + 1
        now += size if held[storage] == 1 else 0
        peak = max(peak, now)
        saved = Saved(tensor)
        weakref.finalize(saved, release, storage, size)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        step()
    return peak


@pytest.mark.parametrize(("name", "options"), [("resnet18", {"width": 8}), ("alexnet", {"width": 8, "hidden": 16})])
def test_checkpointing_and_parts_keep_less_than_bp_at_the_peak(name: str, options: dict[str, Value]) -> None:
    """Of a batch large enough that the weights, which autograd keeps too, count little."""
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(24, 3, 32, 32, generator=draw), torch.randint(5, (24,), generator=draw)
    found = {}
    for rule in (bp(), bp(checkpointing=True), bp(micro_batches=4), bp(checkpointing=True, micro_batches=4)):
        model = build(MODELS[name].choose(options), channels=3, size=32, classes=5).train()
        learner = attach(model, rule, x)
        found[rule.flag("checkpointing"), rule.integer("micro_batches")] = peak_of_saved(
            lambda learner=learner: learner.backward(x, y)
        )
    whole = found[False, 1]
    assert found[True, 1] < 0.75 * whole
    assert found[False, 4] < 0.5 * whole
    assert found[True, 4] < found[True, 1]


@pytest.mark.parametrize(("count", "parts"), [(8, 2), (11, 4), (7, 3)])
def test_without_batchnorm_the_gradient_of_parts_is_that_of_the_batch(count: int, parts: int) -> None:
    """Also where the parts are not of equal size."""
    x, y = batch_of(count)
    found = []
    for rule in (bp(), bp(micro_batches=parts)):
        model = model_of("mlp", batchnorm=False, logits_batchnorm=False)
        learner = attach(model, rule, x, criterion=CrossEntropy(0.1))
        objective = learner.backward(x, y)
        found.append((objective, [parameter.grad for parameter in model.parameters()]))
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-14)
    for one, other in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-14)


def test_parts_are_plain_steps_of_autograd_whose_gradients_add_up() -> None:
    """Against a loop in plain PyTorch: BatchNorm has the statistics of each part, and its running ones see all."""
    x, y = batch_of(8)
    model = model_of("resnet10")
    twin = copy.deepcopy(model)
    learner = attach(model, bp(micro_batches=3), x)
    learner.backward(x, y)
    for part in (slice(0, 3), slice(3, 6), slice(6, 8)):
        (F.cross_entropy(twin(x[part]), y[part], reduction="sum") / 8).backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-13, msg=name)
    for (name, ours), theirs in zip(model.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_checkpointing_changes_no_bit_of_a_batch_in_parts() -> None:
    x, y = batch_of(7)
    model = model_of("resnet18")
    twin = copy.deepcopy(model)
    both = trained(twin, bp(checkpointing=True, micro_batches=3), x, y)
    require_same_bits(both, trained(model, bp(micro_batches=3), x, y))


def test_a_small_last_batch_has_no_part_of_one_example() -> None:
    x, y = batch_of(3)
    model = model_of("resnet10")
    twin = copy.deepcopy(model)
    require_same_bits(trained(twin, bp(micro_batches=4), x, y), trained(model, bp(), x, y))


def test_without_gradients_a_batch_is_computed_whole() -> None:
    x, y = batch_of(6)
    model = model_of("resnet10")
    learners: list[Learner] = [attach(copy.deepcopy(model), rule, x) for rule in (bp(), bp(micro_batches=3))]
    with torch.no_grad():
        whole, parts = (learner.objective(x, y).logits for learner in learners)
    assert torch.equal(whole, parts)


def test_the_gradients_of_parts_are_handed_over_once() -> None:
    x, y = batch_of(6)
    objective = attach(model_of("mlp"), bp(micro_batches=2), x).objective(x, y)
    objective.scalar.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        objective.scalar.backward()
