"""pHSIC's loss and gradient equal its authors' program, and are defined where nothing can be compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.rules import attach, resolve
from asapbench.rules.engine import host
from asapbench.rules.engine.bottleneck import cosines, gaussians, grouped
from asapbench.rules.engine.local import Head
from asapbench.rules.phsic import PHSIC
from asapbench.suite.catalog import RULES

LABELS = torch.tensor([0, 1, 2, 0, 1, 3])
CLASSES = 4


def waves(*shape: int, rate: float) -> Tensor:
    """sin(rate), sin(2 rate), ... in float64, as `shape`."""
    return torch.sin(rate * torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)).reshape(shape)


OUTPUTS = {
    "maps": torch.relu(waves(6, 8, 4, 4, rate=0.7)) * (1 + waves(6, 8, 1, 1, rate=1.3)),
    "features": 3 * waves(6, 48, rate=0.9) ** 3,
}


def head_of(shape: torch.Size, **options: str | float) -> Head:
    rule = resolve(RULES["phsic"].choose(options))
    assert isinstance(rule, PHSIC)
    return rule.head(shape, CLASSES, seed=0, name="unit")


def loss_and_gradient(outputs: Tensor, y: Tensor = LABELS, **options: str | float) -> tuple[Tensor, Tensor]:
    h = outputs.clone().requires_grad_()
    loss = head_of(h.shape, **options)(h, y)
    return loss.detach(), torch.autograd.grad(loss, h)[0]


GROUPED = {"groups": 16}
SQUEEZED = {"groups": 8, "power": 0.8, "delta": 0.25, "gamma": 1.5}
WHOLE = {"groups": 0}


@pytest.mark.parametrize(
    ("outputs", "kernel", "estimator", "options", "loss", "along", "length"),
    [
        ("maps", "cosine", "phsic", GROUPED, -0.22506394076, -0.029533473469, 0.039921499445),
        ("maps", "gaussian", "phsic", GROUPED, -0.015580545314, -0.0012880094788, 0.0040814270626),
        ("maps", "cosine", "hsic", GROUPED, -0.24793842565, 0.0056249656365, 0.021933390974),
        ("maps", "gaussian", "hsic", SQUEEZED, -0.010045678506, -0.00025194383828, 0.0030580047309),
        ("maps", "cosine", "phsic", SQUEEZED, -0.041480409283, -0.011919053058, 0.033890092661),
        ("maps", "cosine", "phsic", WHOLE, -0.2129429299, -0.010305863006, 0.031185277635),
        ("maps", "gaussian", "phsic", WHOLE, -0.17603491308, -0.010344420658, 0.022133086992),
        ("features", "cosine", "phsic", GROUPED, 0.06120528149, -0.070158379555, 0.37298442572),
        ("features", "gaussian", "phsic", GROUPED, -0.0024749754558, -0.00016315871224, 0.0038678528072),
        ("features", "cosine", "hsic", GROUPED, 0.030062547425, -0.042554635885, 0.36436992772),
        ("features", "gaussian", "hsic", SQUEEZED, -0.012831920441, -0.00013267753843, 0.009920996348),
        ("features", "cosine", "phsic", SQUEEZED, 0.11404038584, 0.030670842297, 0.17606844554),
        ("features", "cosine", "phsic", WHOLE, 0.21731076264, 0.0048536439972, 0.03348552142),
        ("features", "gaussian", "phsic", WHOLE, -0.16897871695, -0.00012424778455, 0.003836779184),
    ],
)
def test_loss_and_gradient_are_those_of_the_authors_program(
    outputs: str, kernel: str, estimator: str, options: dict[str, float], loss: float, along: float, length: float
) -> None:
    """What github.com/romanpogodin/plausible-kernelized-bottleneck, commit 8f075d0, computes of these tensors.

    `losses.HSICzyLoss` in float64 (default dtype), with its kernels and `group_neurons_with_variance`, labels centred;
    of the gradient the product with cos(0.37), cos(0.74), ... and the length.
    """
    found, gradient = loss_and_gradient(OUTPUTS[outputs], kernel=kernel, estimator=estimator, **options)
    probe = torch.cos(0.37 * torch.arange(1, 1 + gradient.numel(), dtype=torch.float64))
    assert found.item() == pytest.approx(loss, rel=1e-9)
    assert (gradient.flatten() @ probe).item() == pytest.approx(along, rel=1e-9)
    assert gradient.norm().item() == pytest.approx(length, rel=1e-9)


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
@pytest.mark.parametrize("groups", [0, 3, 5, 64])
@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_outputs_without_a_difference_have_a_finite_loss_and_no_gradient(
    kernel: str, groups: int, delta: float
) -> None:
    """All zero: groups have no deviation, cosines no length and Gaussians no distance."""
    for outputs in (torch.zeros(6, 3, 2, 2), torch.zeros(6, 7), torch.zeros(6, 7, dtype=torch.float64)):
        loss, gradient = loss_and_gradient(outputs, kernel=kernel, groups=groups, delta=delta)
        assert loss.isfinite()
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
@pytest.mark.parametrize("estimator", ["phsic", "hsic"])
def test_one_dead_example_disturbs_no_other(kernel: str, estimator: str) -> None:
    maps = OUTPUTS["maps"].clone()
    maps[2] = 0
    loss, gradient = loss_and_gradient(maps, kernel=kernel, estimator=estimator)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert torch.equal(gradient[2], torch.zeros_like(gradient[2]))
    assert (gradient[[0, 1, 3, 4, 5]].flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
@pytest.mark.parametrize("estimator", ["phsic", "hsic"])
@pytest.mark.parametrize("groups", [0, 64])
def test_a_batch_of_one_teaches_nothing(kernel: str, estimator: str, groups: int) -> None:
    loss, gradient = loss_and_gradient(
        OUTPUTS["maps"][:1], LABELS[:1], kernel=kernel, estimator=estimator, groups=groups
    )
    assert loss.abs() < 1e-15
    assert gradient.abs().max() < 1e-15


def test_groups_are_neighbours_of_sizes_that_differ_by_one() -> None:
    row = torch.tensor([[0.0, 3.0, 6.0, 1.0, 5.0, 2.0, 2.0]])
    found = grouped(row, 3, power=1.0, delta=0.0)  # 0 3 6, 1 5, 2 2
    torch.testing.assert_close(found, torch.tensor([[6.0, 4.0, 0.0]]))
    assert grouped(row.reshape(1, 7, 1, 1), 3, power=1.0, delta=6.0).tolist() == [[8.0, 7.0, 3.0]]


@pytest.mark.parametrize("shape", [(5, 8, 4, 4), (5, 6, 3, 3), (5, 12, 1, 2), (5, 1, 4, 4)])
@pytest.mark.parametrize("groups", [2, 3, 4, 8, 16, 24])
@pytest.mark.parametrize("on_host", [True, False])
def test_groups_are_the_same_in_every_memory_order(
    shape: tuple[int, ...], groups: int, on_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "computes", lambda _tensor: on_host)
    count = min(groups, torch.Size(shape[1:]).numel() // 2)
    maps, delta = waves(*shape, rate=0.7), waves(shape[0], count, rate=2.1)
    expected = maps.clone().requires_grad_()
    parts = torch.tensor_split(expected.flatten(1), count, dim=1)
    worth = torch.stack([(part.var(1, correction=0) + 0.5 / part.shape[1]) ** 0.8 for part in parts], 1)
    (gradient,) = torch.autograd.grad(worth, expected, delta)
    for order in (torch.contiguous_format, torch.channels_last):
        h = maps.clone(memory_format=order).requires_grad_()
        found = grouped(h, count, power=0.8, delta=0.5)
        torch.testing.assert_close(found, worth)
        torch.testing.assert_close(torch.autograd.grad(found, h, delta)[0], gradient)


def test_few_outputs_have_fewer_groups() -> None:
    assert head_of(torch.Size((2, 10))).groups == 5
    assert head_of(torch.Size((2, 16, 4, 4))).groups == 64


@pytest.mark.parametrize(("kernel", "least"), [("cosine", 3), ("gaussian", 2)])
def test_too_few_groups_to_compare_are_refused_and_the_fewest_allowed_learn(kernel: str, least: int) -> None:
    """The cosine of two groups about their mean is 1 or -1, which teaches nothing."""
    maps = torch.Size((2, 16, 4, 4))
    with pytest.raises(GraphError, match=rf"^unit: 3 outputs in 1 groups: .* {2 * least} outputs or more"):
        head_of(torch.Size((2, 3)), kernel=kernel)
    with pytest.raises(GraphError, match=f"groups of {least} or more"):
        head_of(maps, groups=least - 1, kernel=kernel)
    _, gradient = loss_and_gradient(OUTPUTS["maps"], kernel=kernel, groups=least)
    assert gradient.abs().max() > 1e-7
    assert head_of(torch.Size((2, 3)), groups=0, kernel=kernel)(torch.randn(4, 3), LABELS[:4]).isfinite()


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
def test_kernels_are_those_of_pytorchs_distances(kernel: str) -> None:
    rows = waves(5, 9, rate=0.3)
    if kernel == "cosine":
        expected = torch.cosine_similarity(rows[:, None], rows[None], dim=2)
    else:
        expected = torch.exp(-(torch.cdist(rows, rows) ** 2) / (2 * 1.7**2))
    torch.testing.assert_close(cosines(rows) if kernel == "cosine" else gaussians(rows, 1.7), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_are_computed_in_float32_under_autocast(dtype: torch.dtype) -> None:
    maps = OUTPUTS["maps"].to(dtype)
    expected, exact = loss_and_gradient(maps.float())
    h = maps.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head_of(h.shape)(h, LABELS)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(torch.autograd.grad(loss, h)[0].float(), exact, rtol=1e-2, atol=1e-5)


def test_pooling_of_any_kind_belongs_to_the_unit_before_it_but_the_average_that_leaves_single_numbers() -> None:
    """The authors' program takes a layer's loss behind its pooling."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    )
    learner = attach(model, "phsic", torch.zeros(2, 3, 16, 16))
    heads = [node for node in learner.program.graph.nodes if str(node.target).startswith("head_")]
    assert [str(node.args[0].target) for node in heads] == ["2", "5", "8", "10"]
