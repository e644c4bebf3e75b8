"""Every gradient of every rule equals a float64 NumPy oracle written from the equations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import networks
import numpy as np
import oracle
import pytest
import torch
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.randomness import uniform_of_step
from asapbench.rules import CrossEntropy, Learner, attach
from asapbench.rules.engine.projected_error import ProjectedLearner
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice

CLASSES, BATCH = 4, 5


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c0 = nn.Conv2d(3, 4, 3, padding=1)
        self.c1 = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.c2 = nn.Conv2d(8, 12, 3, padding=1, stride=2, groups=2)
        self.c3 = nn.Conv2d(12, 8, 3, padding=1, groups=2)
        self.b0, self.b1, self.b2 = (nn.BatchNorm2d(n) for n in (4, 8, 12))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.c0, self.b0), (self.c1, self.b1), (self.c2, self.b2)):
            x = torch.relu(norm(conv(x)))
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(torch.relu(self.c3(x)), 1).flatten(1))
        return logits


NETWORKS = {
    "alexnet": (networks.alexnet(), "alexnet", {"width": 4, "hidden": 8}, 12),
    "alexnet as released": (networks.alexnet(kernel=5), "alexnet", {"width": 4, "hidden": 8, "kernel": 5}, 10),
    "alexnet with biases": (networks.alexnet(), "alexnet", {"width": 3, "hidden": 8, "conv_bias": True}, 12),
    "resnet10": (networks.resnet((1, 1, 1, 1)), "resnet10", {"width": 4}, 12),
    "resnet10_nsc": (networks.resnet((1, 1, 1, 1), shortcut=False), "resnet10_nsc", {"width": 4}, 12),
    "resnet18": (networks.resnet((2, 2, 2, 2)), "resnet18", {"width": 3}, 12),
    "resnet20": (
        networks.resnet((3, 3, 3), zeros=((1, 2), (3, 3))),
        "resnet20",
        {"width": 3, "logits_batchnorm": True},
        12,
    ),
    "vgg8b": (networks.vgg(size=12), "vgg8b", {"width": 2, "hidden": 6, "logits_batchnorm": True}, 12),
    "vgg_like": (
        networks.vgg(size=8, groups=2),
        "vgg_like",
        {"width": 2, "hidden": 6, "logits_batchnorm": True, "nonlinearity": "relu", "divisive_groups": 2},
        8,
    ),
    "mlp": (networks.mlp(), "mlp", {"hidden": 7}, 6),
    "mlp of 3": (networks.mlp(3), "mlp", {"hidden": 7, "depth": 3}, 6),
    "linear": (networks.linear(), "mlp", {"hidden": 7, "nonlinear": False}, 6),
    "linear of 3": (networks.linear(3), "mlp", {"hidden": 7, "depth": 3, "nonlinear": False}, 6),
    "grouped": (networks.grouped(), None, {}, 8),
}

FULLY_CONNECTED = ("mlp", "mlp of 3", "linear", "linear of 3")
CONVOLUTIONAL = [name for name in NETWORKS if name not in (*FULLY_CONNECTED, "alexnet with biases")]
DIRECT = ("dfa", "drtp", "dkp")
CASES = (
    [(net, rule, {}) for net in NETWORKS for rule in ("bp", "fa", "kp", "weight_mirror")]
    + [(net, rule, {}) for net, (known, *_) in NETWORKS.items() if known.taps for rule in DIRECT]
    + [(net, "dfa", {"error": "sign"}) for net in ("alexnet", "mlp", "resnet10")]
    + [(net, "drtp", {"reduction": "sum"}) for net in ("alexnet", "mlp", "resnet10")]
    + [(net, "kp", {"classifier": "kp"}) for net in ("alexnet", "mlp", "resnet10")]
    + [(net, rule, {"k": k}) for net in CONVOLUTIONAL for rule in ("asap", "as", "asfp") for k in (1, 2, 4)]
    + [(net, "asap", {"k": 3}) for net in ("resnet10", "resnet18")]
    + [
        (net, rule, {"matching": matching, "k": k})
        for rule in ("asap", "asfp")
        for net in ("alexnet", "resnet10", "grouped")
        for matching in ("average", "random")
        for k in (1, 4)
    ]
    + [("resnet10", rule, {"stem": "trained"}) for rule in ("asap", "as", "asfp")]
    + [("alexnet with biases", rule, {}) for rule in ("asap", "as", "asfp")]
    + [("alexnet", rule, {"classifier": "kp", "linear_feedback": "kaiming"}) for rule in ("asap", "asfp")]
    + [(net, "as", {"classifier": "fa", "k": k}) for net in ("alexnet as released", "resnet18") for k in (2, 4)]
    + [("alexnet", "as", {"classifier": "bp"})]
    + [(net, "weight_mirror", {"noise_batch": 3, "amplitude": 2.0, "decay": 0.3}) for net in ("resnet10", "grouped")]
    + [(net, "pfa", {"expansion": 3}) for net in NETWORKS]
    + [(net, "sign_symmetry", {"variant": v}) for net in NETWORKS for v in ("usf", "frsf", "brsf")]
    + [
        ("alexnet", rule, {"label_smoothing": 0.1})
        for rule in ("bp", "fa", "dfa", "drtp", "dkp", "kp", "asap", "as", "asfp")
    ]
    + [("mlp", "forward_alignment", {"label_smoothing": 0.1})]
    + [
        (net, "forward_alignment", {"source": source, "approximate": approximate})
        for net in FULLY_CONNECTED
        for source in ("activation", "approximation")
        for approximate in ("normalised", "affine", "own", "linear", "none")
    ]
)


def torch_model(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    _, catalog, options, size = NETWORKS[name]
    if catalog is None:
        model: nn.Module = Grouped()
    else:
        model = build(MODELS[catalog].choose(options), channels=3, size=size, classes=CLASSES)
    initialise(model, 3)
    draw = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5, generator=draw)
                module.bias.uniform_(-0.3, 0.3, generator=draw)
    x = torch.randn(BATCH, 3, size, size, generator=draw, dtype=torch.float64)
    return model.double(), x, torch.randint(CLASSES, (BATCH,), generator=draw)


def random_kernels(learner: Learner) -> dict[str, np.ndarray]:
    """The fixed 1x1 kernels of random matching, by layer, read off the program."""
    kernels = {}
    for node in learner.program.graph.nodes:
        if str(node.target).startswith("feedback_") and len(node.args) > 1:
            weight = getattr(learner.program.get_submodule(str(node.args[1].target)), "weight", None)
            if weight is not None:
                layer = learner.program.get_submodule(str(node.target)).layer
                name = next(name for name, module in learner.model.named_modules() if module is layer)
                kernels[name] = weight.numpy()
    return kernels


def drawn_sizes(learner: Learner, variant: str) -> dict[str, np.ndarray | None]:
    """The M of a sign-symmetric B by layer, None where it is one number."""
    if variant == "usf":
        return dict.fromkeys(learner.feedback_layers)
    held = {name: dict(layer.named_buffers(recurse=False)) for name, layer in learner.feedback_layers.items()}
    return {name: buffers["fixed" if variant == "frsf" else "redrawn"].numpy() for name, buffers in held.items()}


def projections_of(learner: Learner) -> list[np.ndarray]:
    """Each tap's B (classes, units), fixed or learned, in the order of the taps; none where nothing is projected."""
    projections = learner.projections.values() if isinstance(learner, ProjectedLearner) else ()
    return [projection.weight.detach().flatten(1).numpy().copy() for projection in projections]


def factors_of(learner: Learner) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Product feedback alignment's B and R by layer."""
    fixed, learned = dict(learner.fixed_feedback()), dict(learner.trained_parameters())
    return {name: (b.numpy(), learned[f"feedback.{name}"].detach().numpy().copy()) for name, b in fixed.items()}


def noise_of(seed: int, choice: Choice) -> Callable[[str, tuple[int, ...]], np.ndarray]:
    """The noise of weight mirrors before the first training step."""
    bound, device = np.sqrt(3) * choice.number("amplitude"), torch.device("cpu")

    def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
        wanted = (choice.integer("noise_batch"), *shape)
        drawn = uniform_of_step(wanted, bound=bound, seed=seed, purpose="mirror", name=name, step=0, device=device)
        return drawn.double().numpy()

    return noise


def worst_error(name: str, rule: str, options: dict[str, object]) -> float:
    """The largest relative difference of any gradient, with everything but the numbers checked on the way."""
    net = NETWORKS[name][0]
    model, x, y = torch_model(name)
    smoothing = options.get("label_smoothing", 0.0)
    options = {key: value for key, value in options.items() if key != "label_smoothing"}
    learner = attach(model, RULES[rule].choose(options), x, seed=5, criterion=CrossEntropy(smoothing))
    before = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    feedback = {layer: b.detach().numpy().copy() for layer, _, b in learner.feedback_pairs()}
    if rule == "weight_mirror":
        choice = RULES[rule].choose(options)
        rates = {key: choice.number(key) for key in ("eta", "decay")}
        feedback = oracle.mirrored(net, before, x.numpy(), feedback, noise_of(5, choice), **rates)
    if rule == "sign_symmetry":
        sizes = drawn_sizes(learner, str(options["variant"]))
        feedback = {layer: oracle.with_signs_of(before[f"{layer}.weight"], sizes[layer]) for layer in feedback}
    factors = factors_of(learner) if rule == "pfa" else {}
    objective = learner.backward(x, y)
    undeclared = ("linear_feedback", "noise_batch", "amplitude", "decay", "expansion")
    declared = {key: value for key, value in options.items() if key not in undeclared}
    expected = oracle.run(
        net,
        before,
        x.numpy(),
        y.numpy(),
        oracle.Rule(rule, **declared),
        feedback=feedback,
        projections=projections_of(learner),
        kernels=random_kernels(learner),
        stand_ins={layer: c.numpy() for layer, _, c in learner.aligned_pairs()} if rule == "forward_alignment" else {},
        factors=factors,
        smoothing=smoothing,
    )
    assert set(feedback) == oracle.feedback_layers(net, oracle.Rule(rule, **declared))
    found = {key: p.grad.numpy() for key, p in learner.trained_parameters() if p.grad is not None}
    if expected.learned_projections:
        learned = [key for key, _ in learner.learned_beside()]
        expected.gradients.update(zip(learned, expected.learned_projections, strict=True))
        found |= {key: found[key].reshape(CLASSES, -1) for key in learned}
    assert set(found) == set(expected.gradients)
    for key, p in model.named_parameters():
        assert (p.grad is None) == (key not in expected.gradients), key
    np.testing.assert_allclose(objective.logits.numpy(), expected.logits, rtol=1e-10, atol=1e-12)
    assert objective.loss.item() == pytest.approx(expected.loss, rel=1e-12)
    return max(
        float(np.abs(found[key] - wanted).max() / np.abs(wanted).max())
        for key, wanted in expected.gradients.items()
        if key not in rounding_only(net)
    )


def rounding_only(net: oracle.Network) -> set[str]:
    """Biases in front of BatchNorm have no gradient but rounding."""
    return {op.name + ".bias" for op, after in pairwise(net.operations) if after.kind == "batchnorm"}


@pytest.mark.parametrize(
    ("name", "rule", "options"), CASES, ids=[f"{n}-{r}-{'-'.join(map(str, o.values()))}" for n, r, o in CASES]
)
def test_gradients_equal_the_oracle(name: str, rule: str, options: dict[str, object]) -> None:
    assert worst_error(name, rule, options) < 1e-9
