"""Options that several models have."""

from __future__ import annotations

from asapbench.suite.entries import LayerShape
from asapbench.suite.options import Choice, Option

LOGITS = Option("logits_batchnorm", True, "BatchNorm on the logits, as in the released code")
PLAIN_LOGITS = Option(LOGITS.name, False, "BatchNorm on the logits; the published network has none")
LINEAR_INIT = Option(
    "linear_init",
    "default",
    "fully connected layers start as torch's do, weights and biases U(+-1/sqrt(fan_in)), or as the released FA layer "
    "does, weights U(+-sqrt(6/fan_in)) and zero biases",
    choices=("default", "released"),
)
WIDTH = Option("width", 64, "channels of the first convolution; the others scale with it", minimum=1)


def linear_init(model: Choice) -> str:
    """How fully connected layers of a model start: by its option `linear_init`, if it has one."""
    return str(dict(model.options).get(LINEAR_INIT.name, LINEAR_INIT.default))


def classifier(model: Choice, inputs: int, classes: int, *, linear: bool = False) -> LayerShape:
    """The last layer; a linear network has no BatchNorm, not on its logits either."""
    batchnorm = model.flag("logits_batchnorm") and not linear
    return LayerShape("fc", "linear", inputs, classes, bias=True, batchnorm=batchnorm)
