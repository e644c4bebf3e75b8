"""The oracle's networks, written down by hand from App. C and the reading of the released code."""

from __future__ import annotations

from oracle import Network


def alexnet(*, kernel: int = 3) -> Network:
    """Three convolutions of padding 2, each with BatchNorm, ReLU and a max-pool; three fully connected layers."""
    net = Network()
    value = 0
    for i in range(3):
        value = net.conv(value, f"features.{4 * i}", padding=2)
        value = net.relu(net.batchnorm(value, f"features.{4 * i + 1}"))
        value = net.tap(net.add("maxpool", value, ceil=kernel == 5))
        net.unit(f"features.{4 * i}", value, "conv", "block")
    return _classifier(net, net.add("flatten", value))


def resnet(blocks: tuple[int, ...], *, shortcut: bool = True, zeros: tuple[tuple[int, int], ...] = ()) -> Network:
    """Stages of basic blocks; the first block of every later stage halves the maps and projects its shortcut.

    `zeros`: for each later stage the channels of zeros before and behind a shortcut that is not projected.
    """
    net = Network()
    value = net.tap(net.relu(net.batchnorm(net.conv(0, "stem"), "stem_bn")))
    net.unit("stem", value, "conv", "block")
    for stage, count in enumerate(blocks):
        for block in range(count):
            prefix, halves = f"stages.{stage}.{block}", stage > 0 and block == 0
            padded = zeros[stage - 1] if zeros and halves else None
            value = _block(
                net, value, prefix, stride=2 if halves else 1, shortcut=shortcut, project=halves, padded=padded
            )
    value = net.add("globalpool", value)
    net.batchnorm(net.add("linear", value, name="fc"), "logits_bn")
    return net


def _block(
    net: Network,
    x: int,
    prefix: str,
    *,
    stride: int,
    shortcut: bool,
    project: bool,
    padded: tuple[int, int] | None = None,
) -> int:
    value = net.conv(x, f"{prefix}.conv1", stride=stride)
    value = net.tap(net.relu(net.batchnorm(value, f"{prefix}.bn1")))
    net.unit(f"{prefix}.conv1", value, "conv")
    value = net.batchnorm(net.conv(value, f"{prefix}.conv2"), f"{prefix}.bn2")
    if shortcut:
        beside = x
        if padded is not None:
            beside = net.add("padchannels", net.add("subsample", x, step=stride), zeros=padded)
        elif project:
            name = f"{prefix}.projection"
            beside = net.conv(x, f"{name}.0", stride=stride, padding=0, beside=f"{prefix}.conv1")
            beside = net.batchnorm(beside, f"{name}.1")
        value = net.add("add", value, beside)
    return net.unit(f"{prefix}.conv2", net.tap(net.relu(value)), "conv", "block")


def vgg(*, size: int, groups: int = 0) -> Network:
    """Six convolutions, a max-pool behind four of them where there is more than a pixel, and a hidden layer.

    With `groups`, divisive normalisation follows each hidden layer, behind its unit's end.
    """
    net = Network()
    value, place = 0, 0
    for pools in (False, True, False, True, True, True):
        value = net.conv(value, f"features.{place}")
        value = net.relu(net.batchnorm(value, f"features.{place + 1}"))
        halves = pools and size > 1
        value = net.tap(net.add("maxpool", value, ceil=False) if halves else value)
        net.unit(f"features.{place}", value, "conv", "block")
        size, place = (size // 2, place + 4) if halves else (size, place + 3)
        if groups:
            value, place = net.add("divisive", value, groups=groups), place + 1
    return _classifier(net, net.add("flatten", value), 1, groups)


def mlp(depth: int = 2) -> Network:
    """Hidden layers with BatchNorm and ReLU, BatchNorm on the logits."""
    net = Network()
    return _classifier(net, net.add("flatten", 0), depth)


def _classifier(net: Network, value: int, depth: int = 2, groups: int = 0) -> Network:
    for i in range(0, 3 * depth, 3):
        value = net.add("linear", value, name=f"hidden.{i}")
        value = net.tap(net.relu(net.batchnorm(value, f"hidden.{i + 1}")))
        net.unit(f"hidden.{i}", value, "conv", "block")
        if groups:
            value = net.add("divisive", value, groups=groups)
    net.batchnorm(net.add("linear", value, name="fc"), "logits_bn")
    return net


def linear(depth: int = 2) -> Network:
    """Nothing but fully connected layers."""
    net = Network()
    value = net.add("flatten", 0)
    for i in range(depth):
        value = net.unit(f"hidden.{i}", net.add("linear", value, name=f"hidden.{i}"), "conv", "block")
    net.add("linear", value, name="fc")
    return net


def grouped() -> Network:
    """Convolutions in two groups, each reading more channels than its shared activation has; the last without norm."""
    net = Network()
    value = net.unit("c0", net.tap(net.relu(net.batchnorm(net.conv(0, "c0"), "b0"))), "conv")
    value = net.unit("c1", net.tap(net.relu(net.batchnorm(net.conv(value, "c1", groups=2), "b1"))), "conv")
    value = net.unit("c2", net.tap(net.relu(net.batchnorm(net.conv(value, "c2", stride=2, groups=2), "b2"))), "conv")
    value = net.unit("c3", net.tap(net.relu(net.conv(value, "c3", groups=2))), "conv")
    net.add("linear", net.add("globalpool", value), name="fc")
    return net
