"""The networks are those of App. C and the released code, and start reproducibly."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from asapbench.models import build, initialise
from asapbench.models.networks.modules import SubsampledAndPadded
from asapbench.rules import attach, resolve
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Option, Value

PUBLISHED_WIDTH = {"resnet20": 16, "resnet32": 16, "resnet56": 16, "vgg8b": 128, "vgg_like": 128}
"""Of those whose first convolution does not have 64 channels."""


def model_of(name: str, *, classes: int = 10, size: int = 32, channels: int = 3, **options: Value) -> nn.Module:
    return build(MODELS[name].choose(options), channels=channels, size=size, classes=classes)


def abstract(name: str, **options: Value) -> nn.Module:
    """Without storage: for counts and shapes."""
    with torch.device("meta"):
        return model_of(name, **options)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def shapes(model: nn.Module, kinds: tuple[type[nn.Module], ...], x: torch.Tensor) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda _m, _i, out: found.append(tuple(out.shape[1:])))
    model(x)
    return found


@pytest.mark.parametrize(
    ("kernel", "sizes", "flat"), [(3, [34, 17, 19, 9, 11, 5], 6400), (5, [32, 16, 16, 8, 8, 4], 4096)]
)
def test_alexnets_maps_are_those_printed(kernel: int, sizes: list[int], flat: int) -> None:
    model = abstract("alexnet", kernel=kernel)
    found = shapes(model, (nn.Conv2d, nn.MaxPool2d, nn.Flatten), torch.empty(2, 3, 32, 32, device="meta"))
    channels = [64, 64, 128, 128, 256, 256]
    assert found == [(c, s, s) for c, s in zip(channels, sizes, strict=True)] + [(flat,)]
    assert [m.out_features for m in model.modules() if isinstance(m, nn.Linear)] == [1024, 1024, 10]
    assert all(m.bias is None for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("kernel", [3, 5])
def test_alexnet_takes_any_image_size(size: int, kernel: int) -> None:
    model = model_of("alexnet", size=size, kernel=kernel, width=2, hidden=3, channels=1)
    assert model(torch.randn(2, 1, size, size)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "expected"), [("resnet10", 4_903_242), ("resnet18", 11_173_962), ("resnet34", 21_282_122)]
)
def test_resnets_have_the_cifar_networks_parameters(name: str, expected: int) -> None:
    assert count(abstract(name, logits_batchnorm=False)) == expected
    assert count(abstract(name)) == expected + 20


@pytest.mark.parametrize(
    ("name", "published", "exact"),
    [("resnet20", 0.27e6, 269_722), ("resnet32", 0.46e6, 464_154), ("resnet56", 0.85e6, 853_018)],
)
def test_section_4_2s_resnets_have_the_published_parameters(name: str, published: float, exact: int) -> None:
    assert count(abstract(name)) == exact == pytest.approx(published, abs=0.005e6)


def test_section_4_2s_resnets_have_three_stages_of_16_to_64_channels() -> None:
    found = shapes(abstract("resnet20"), (nn.Conv2d,), torch.empty(2, 3, 32, 32, device="meta"))
    assert found == [(16, 32, 32)] * 7 + [(32, 16, 16)] * 6 + [(64, 8, 8)] * 6


def test_a_shortcut_of_option_a_is_every_other_pixel_between_zeros() -> None:
    shortcut = SubsampledAndPadded(3, 6, stride=2)
    x = torch.randn(2, 3, 7, 7)
    out = shortcut(x)
    assert out.shape == (2, 6, 4, 4)
    assert torch.equal(out[:, 1:4], x[:, :, ::2, ::2])
    assert not out[:, :1].any()
    assert not out[:, 4:].any()
    assert not list(shortcut.parameters())


def test_option_b_projects_as_the_other_resnets_do() -> None:
    padded, projected = abstract("resnet20"), abstract("resnet20", shortcut="B")
    assert not [name for name, _ in padded.named_parameters() if "projection" in name]
    extra = {name: p.shape for name, p in projected.named_parameters() if "projection.0" in name}
    assert extra == {"stages.1.0.projection.0.weight": (32, 16, 1, 1), "stages.2.0.projection.0.weight": (64, 32, 1, 1)}


@pytest.mark.parametrize("size", [32, 64])
def test_resnets_keep_the_maps_in_the_stem_and_halve_them_three_times(size: int) -> None:
    model = abstract("resnet18", size=size)
    found = shapes(model, (nn.Conv2d,), torch.empty(2, 3, size, size, device="meta"))
    stem = (64, size, size)
    first = [(64, size, size)] * 4
    later = [(64 * f, size // f, size // f) for f in (2, 4, 8) for _ in range(5)]
    assert found == [stem, *first, *later]
    assert not any(isinstance(m, nn.MaxPool2d) for m in model.modules())


@pytest.mark.parametrize(("shape", "published"), [((3, 32, 10), 8.9e6), ((1, 28, 10), 7.3e6), ((3, 32, 100), 9.0e6)])
@pytest.mark.parametrize("name", ["vgg8b", "vgg_like"])
def test_the_vggs_have_the_published_parameters(name: str, shape: tuple[int, int, int], published: float) -> None:
    channels, size, classes = shape
    with torch.device("meta"):
        model = model_of(name, channels=channels, size=size, classes=classes)
    assert count(model) == pytest.approx(published, abs=0.05e6)


@pytest.mark.parametrize(("name", "activation"), [("vgg8b", nn.ReLU), ("vgg_like", nn.LeakyReLU)])
def test_the_vggs_maps_are_those_of_the_published_programs(name: str, activation: type[nn.Module]) -> None:
    model = abstract(name)
    found = shapes(model, (nn.Conv2d, nn.MaxPool2d, nn.Linear), torch.empty(2, 3, 32, 32, device="meta"))
    assert found == [
        (128, 32, 32), (256, 32, 32), (256, 16, 16), (256, 16, 16), (512, 16, 16), (512, 8, 8),
        (512, 8, 8), (512, 4, 4), (512, 4, 4), (512, 2, 2), (1024,), (10,),
    ]  # fmt: skip
    assert sum(isinstance(m, activation) for m in model.modules()) == 7
    assert not any(isinstance(m, nn.Dropout | nn.Dropout2d) for m in model.modules())


@pytest.mark.parametrize("size", [1, 8, 12, 28, 64])
def test_the_vggs_take_any_image_size(size: int) -> None:
    model = model_of("vgg8b", size=size, width=2, hidden=3, channels=1)
    assert model(torch.randn(2, 1, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet10", "resnet18"])
def test_without_shortcuts_nothing_is_projected_or_added(name: str) -> None:
    plain, full = abstract(f"{name}_nsc"), abstract(name)
    kernels = [m.kernel_size for m in plain.modules() if isinstance(m, nn.Conv2d)]
    assert set(kernels) == {(3, 3)}
    projections = sum(p.numel() for key, p in full.named_parameters() if "projection" in key)
    assert projections > 0
    assert count(plain) == count(full) - projections
    graph = torch.fx.symbolic_trace(plain).graph
    assert not [node for node in graph.nodes if node.op == "call_function"]
    assert [node for node in torch.fx.symbolic_trace(full).graph.nodes if node.op == "call_function"]


def test_the_title_of_mlp_names_no_size_which_the_data_and_options_change() -> None:
    assert not any(map(str.isdigit, MODELS["mlp"].title))


def test_mlp_is_784_10_10_10_on_mnist() -> None:
    model = model_of("mlp", size=28, channels=1)
    assert [m.weight.shape for m in model.modules() if isinstance(m, nn.Linear)] == [(10, 784), (10, 10), (10, 10)]
    linear = model_of("mlp", size=28, channels=1, nonlinear=False)
    assert not [m for m in linear.modules() if isinstance(m, nn.ReLU | nn.BatchNorm1d)]
    x = torch.randn(3, 1, 28, 28)
    assert torch.allclose(linear(2 * x) - linear(x), linear(x) - linear(torch.zeros_like(x)), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mlp"])
def test_width_scales_every_convolution(name: str) -> None:
    normal, narrow = (
        [m.out_channels for m in abstract(name, width=w).modules() if isinstance(m, nn.Conv2d)] for w in (64, 16)
    )
    assert normal == [4 * c for c in narrow]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mlp"])
def test_the_first_convolution_has_the_published_width(name: str) -> None:
    first = next(m for m in abstract(name).modules() if isinstance(m, nn.Conv2d))
    assert first.out_channels == MODELS[name].option("width").default == PUBLISHED_WIDTH.get(name, 64)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("classes", [7, 200])
def test_logits_have_one_column_a_class_and_a_batchnorm(name: str, classes: int) -> None:
    model = abstract(name, classes=classes, logits_batchnorm=True)
    assert model(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, classes)
    assert isinstance(list(model.modules())[-1], nn.BatchNorm1d)
    bare = abstract(name, classes=classes, logits_batchnorm=False)
    assert not isinstance(list(bare.modules())[-1], nn.BatchNorm1d)


def test_no_two_activations_are_one_module() -> None:
    """Each has a name of its own, which DFA's taps and the metrics take."""
    for name in MODELS:
        graph = torch.fx.symbolic_trace(abstract(name)).graph
        called = [node.target for node in graph.nodes if node.op == "call_module"]
        assert len(called) == len(set(called))


SMALL: dict[str, dict[str, Value]] = {"alexnet": {"width": 4, "hidden": 8, "conv_bias": True}, "mlp": {}}


class TestInitialisation:
    def of(self, name: str, seed: int) -> nn.Module:
        model = model_of(name, size=16, **SMALL.get(name, {"width": 4}))
        initialise(model, seed)
        return model

    @pytest.mark.parametrize("name", MODELS)
    def test_released_draws_fully_connected_layers_as_kaiming_uniform_with_a_0_and_no_bias(self, name: str) -> None:
        default, released = (model_of(name, size=16, **SMALL.get(name, {"width": 4})) for _ in range(2))
        initialise(default, 3)
        initialise(released, 3, linear="released")
        for (key, ours), theirs in zip(default.named_modules(), released.modules(), strict=True):
            if isinstance(ours, nn.Linear):
                bound = math.sqrt(6 / ours.in_features)
                assert 0.7 * bound < theirs.weight.abs().max() <= bound, key
                assert not theirs.bias.any(), key
            elif isinstance(ours, nn.Conv2d):
                assert torch.equal(ours.weight, theirs.weight), key

    @pytest.mark.parametrize("name", MODELS)
    def test_it_depends_on_the_seed_alone(self, name: str) -> None:
        torch.manual_seed(1)
        one = self.of(name, 3).state_dict()
        torch.manual_seed(2)
        state = torch.get_rng_state()
        dirty = model_of(name, size=16, **SMALL.get(name, {"width": 4}))
        constructed = torch.get_rng_state()
        assert not torch.equal(state, constructed)
        with torch.no_grad():
            for p in dirty.parameters():
                p.fill_(7.0)
        initialise(dirty, 3)
        assert torch.equal(constructed, torch.get_rng_state())
        again, other = dirty.state_dict(), self.of(name, 4).state_dict()
        assert all(torch.equal(one[key], again[key]) for key in one)
        drawn = [key for key, value in one.items() if value.dim() > 1]
        assert drawn
        assert not any(torch.equal(one[key], other[key]) for key in drawn)

    def test_it_does_not_depend_on_the_order_of_construction(self) -> None:
        class Forwards(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        class Backwards(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.Linear(4, 2)
                self.extra = nn.Linear(2, 2)
                self.a = nn.Conv2d(3, 4, 3)

        one, other = Forwards(), Backwards()
        initialise(one, 1)
        initialise(other, 1)
        for key, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[key])

    def test_weights_are_kaiming_uniform_with_a_the_root_of_five(self) -> None:
        for module in self.of("alexnet", 1).modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = module.weight[0].numel() ** -0.5
                assert 0.9 * bound < module.weight.abs().max() <= bound
                assert module.bias is not None
                assert module.bias.abs().max() <= bound
                assert module.bias.abs().max() > 0.2 * bound

    def test_normalisation_starts_at_one_and_zero(self) -> None:
        for module in self.of("resnet10", 1).modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                assert (module.weight == 1).all()
                assert (module.bias == 0).all()
                assert module.num_batches_tracked == 0

    def test_shortcuts_do_not_move_the_other_weights(self) -> None:
        full, plain = self.of("resnet10", 1).state_dict(), self.of("resnet10_nsc", 1).state_dict()
        assert all(torch.equal(full[key], value) for key, value in plain.items())

    def test_an_undeclared_layer_is_an_error(self) -> None:
        with pytest.raises(TypeError, match="0, of type PReLU"):
            initialise(nn.Sequential(nn.PReLU()), 1)


class TestCatalog:
    def test_every_model_of_the_catalog_can_be_built(self) -> None:
        for name, entry in MODELS.items():
            assert entry.name == name
            assert isinstance(abstract(name), nn.Module)

    @pytest.mark.parametrize(
        ("name", "option"), [(n, o) for n, e in MODELS.items() for o in e.options if o.name != "linear_init"]
    )
    def test_every_option_of_a_model_changes_it(self, name: str, option: Option) -> None:
        """`linear_init` alone is `initialise`'s."""
        other = other_value(option)
        assert str(abstract(name)) != str(abstract(name, **{option.name: other}))

    def test_every_rule_of_the_catalog_has_its_class(self) -> None:
        for name, entry in RULES.items():
            assert entry.name == name
            assert resolve(name).entry is entry

    @pytest.mark.parametrize(
        ("name", "option"),
        [(n, o) for n, e in RULES.items() for o in e.options if o.name not in ("form", "checkpointing")],
    )
    def test_every_option_of_a_rule_changes_what_it_does(self, name: str, option: Option) -> None:
        """`form` alone is the trainer's: whether it calls `bind`, and `checkpointing` keeps the bits.

        AugLocal can be cut anywhere without shortcuts. A batch of 4 has parts of more than one example.
        """
        draw = torch.Generator().manual_seed(1)
        x, y = torch.randn(4, 3, 12, 12, generator=draw), torch.randint(10, (4,), generator=draw)
        start = (
            model_of("mlp", size=12) if RULES[name].needs == "linear" else model_of("resnet10_nsc", size=12, width=3)
        )
        initialise(start, 1)
        for norm in (m for m in start.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
            nn.init.uniform_(norm.weight, 0.5, 1.5, generator=draw)
        found = []
        for value in (option.default, other_value(option)):
            chosen = WITH.get((name, option.name), {}) | {option.name: value}
            learner = attach(copy.deepcopy(start), RULES[name].choose(chosen), x, seed=1)
            learner.backward(x, y)
            found.append({key: p.grad for key, p in learner.trained_parameters() if p.grad is not None})
        same = set(found[0]) == set(found[1]) and all(torch.equal(found[0][key], found[1][key]) for key in found[0])
        assert not same


WITH: dict[tuple[str, str], dict[str, Value]] = {("phsic", "sigma"): {"kernel": "gaussian"}}
"""The options without which another option of a rule has no meaning."""


def other_value(option: Option) -> Value:
    """A value of `option` that is not its default."""
    if option.choices:
        return next(choice for choice in option.choices if choice != option.default)
    if isinstance(option.default, bool):
        return not option.default
    other = option.default + 1
    return other if option.below is None or other < option.below else option.default / 2
