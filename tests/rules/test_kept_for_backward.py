"""What a rule keeps for backward: bits of a ReLU whose output no other layer keeps, and numbers computed from them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.engine.bitmask_relu import LeanReLU, bits_of_bytes, packed, shifted, unpack
from asapbench.rules.engine.projected_error import Projection
from asapbench.suite.catalog import MODELS


def kept_bytes(rule: str) -> int:
    """Bytes of the different storages that a forward pass keeps, without parameters and buffers."""
    model = build(MODELS["resnet18"].choose({"width": 8}), channels=3, size=32, classes=10)
    initialise(model, 0)
    x, y = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    learner = attach(model.train(), rule, x)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*learner.parameters(), *learner.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        learner.objective(x, y)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_asap_keeps_three_quarters_of_what_backpropagation_keeps() -> None:
    # By the shapes of ResNet-18 with k = 2: of a block's four maps one is kept as bits, and where a stage ends another
    # one as bits and pooled.
    assert 0.70 < kept_bytes("asap") / kept_bytes("bp") < 0.77


@pytest.mark.parametrize("rule", ["kp", "fa", "dfa", "drtp", "dkp"])
def test_other_feedback_keeps_what_backpropagation_keeps(rule: str) -> None:
    assert kept_bytes(rule) / kept_bytes("bp") < 1.01


def test_pepita_keeps_the_change_of_each_activation_besides() -> None:
    # Where DFA keeps the inputs of a layer and of its BatchNorm, it keeps a third tensor of their size.
    assert 1.4 < kept_bytes("pepita") / kept_bytes("dfa") < 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_lean_relu_equals_relu_to_the_last_bit(dtype: torch.dtype) -> None:
    special = [-1.0, -0.0, 0.0, 1e-45, 2.0, float("inf"), float("-inf"), float("nan")]
    drawn = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(2)).flatten().tolist()
    x = torch.tensor([*special, *drawn], dtype=dtype, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    delta = torch.tensor([1.0, float("inf"), 3.0, 4.0, float("inf"), float("nan"), 5.0, 6.0, *reversed(drawn)])
    LeanReLU()(x).backward(delta.to(dtype))
    F.relu(twin).backward(delta.to(dtype))
    torch.testing.assert_close(LeanReLU()(x), F.relu(x), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(x.grad, twin.grad, rtol=0, atol=0, equal_nan=True)


def test_a_lean_relu_keeps_the_order_of_channels_last() -> None:
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(3, 5, 2, 7, generator=draw).contiguous(memory_format=torch.channels_last).requires_grad_()
    delta = torch.randn(3, 5, 2, 7, generator=draw).contiguous(memory_format=torch.channels_last)
    out = LeanReLU()(x)
    out.backward(delta)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x.grad, torch.where(x > 0, delta, 0.0))


@pytest.mark.parametrize("length", range(41))
def test_bits_hold_a_mask_of_any_length(length: int) -> None:
    mask = torch.rand(length, generator=torch.Generator().manual_seed(length)) < 0.5
    values = mask.tolist()
    bits = packed(mask)
    assert bits.numel() == -(-length // 8)
    found = torch.empty(length)
    unpack(bits, found, bits_of_bytes().float())
    assert found.tolist() == [float(value) for value in values]
    assert shifted(bits, mask.shape).tolist() == values


@pytest.mark.parametrize("size", [1, 8, 21])
def test_compiled_code_packs_the_same_bits(size: int) -> None:
    mask = torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.5
    bits = torch.compile(packed, backend="eager", fullgraph=True)(mask)
    assert bits.dtype == torch.uint8
    assert torch.equal(bits, packed(mask))


@pytest.mark.parametrize("name", ["resnet10", "mlp"])
def test_dfa_forms_one_projected_error_at_a_time(name: str) -> None:
    """A tap's error is formed only when every segment behind it is done: none waits in memory beside it."""
    model = build(MODELS[name].choose({"width": 2} if name == "resnet10" else {}), channels=3, size=32, classes=10)
    learner = attach(model, "dfa", torch.zeros(2, 3, 32, 32))
    order: list[str] = []
    for part, module in learner.program.named_modules():
        if isinstance(module, Projection):
            module.register_forward_hook(
                lambda _module, _inputs, out: out.register_hook(lambda _: order.append("error")) and None
            )
        elif next(module.parameters(recurse=False), None) is not None:
            module.weight.register_hook(lambda _, part=part: order.append(part))
    learner.backward(torch.randn(4, 3, 32, 32), torch.arange(4))
    taps, layers = order.count("error"), sum(entry != "error" for entry in order)
    assert (taps, layers) == ((9, 26) if name == "resnet10" else (2, 6))
    assert "error error" not in " ".join(order)


def test_a_lean_relu_lies_on_the_device_of_the_model_it_is_attached_to() -> None:
    model = build(MODELS["resnet10"].choose({"width": 2}), channels=3, size=32, classes=10).to("meta")
    learner = attach(model, "as", torch.empty(2, 3, 32, 32, device="meta"))
    tables = [module.eight for module in learner.program.modules() if isinstance(module, LeanReLU)]
    assert {table.device.type for table in tables} == {"meta"}
    learner.backward(torch.empty(2, 3, 32, 32, device="meta"), torch.empty(2, dtype=torch.int64, device="meta"))
