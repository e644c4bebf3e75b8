"""What a suite may name: rules, models, data sets and optimizers, as torch-free data.

The classes that implement an entry stand in `rules/`, `models/`, `data/` and `training/`; a test keeps both equal.
An option keeps its name and default for ever; a change that alters results raises the entry's `revision`.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from functools import lru_cache

from asapbench.suite.datasets import DatasetEntry, DatasetShape
from asapbench.suite.options import Choice, Entry, Option
from asapbench.suite.schedules import ScheduleEntry

_PAPER = "Woo et al. 2021"

_LINEAR_FEEDBACK = Option(
    "linear_feedback",
    "uniform",
    "feedback weights of fully connected layers: uniform(-1, 1) as released, or scaled as the forward weights",
    choices=("uniform", "kaiming"),
)
_FEEDBACK_INIT = Option(
    "feedback_init",
    "random",
    "convolutional feedback weights start as an independent draw, or equal to the forward weights",
    choices=("random", "forward"),
)
_CLASSIFIER = Option(
    "classifier",
    "fa",
    "fully connected layers: fixed feedback (fa) or learned feedback (kp)",
    choices=("fa", "kp"),
)
_CLASSIFIER_OF_AS = Option(
    "classifier",
    "bp",
    "fully connected layers: backpropagation (bp), or fixed uniform(-1, 1) feedback as under the released --wt (fa)",
    choices=("bp", "fa"),
)
_FORM = Option(
    "form",
    "recursion",
    "learned feedback held as W - s D0 with a scalar s where that is exact, or as an explicit parameter",
    choices=("recursion", "explicit"),
)
_K = Option("k", 2, "block size: how many convolutions share one activation", minimum=1)
_MATCHING = Option(
    "matching",
    "max",
    "dimension matching of the shared activation: channels repeated then max- or average-pooled, or a random 1x1",
    choices=("max", "average", "random"),
)
_SOURCE = Option(
    "source",
    "activation",
    "what C of a layer is applied to: the activation before the layer, or the approximation of that activation",
    choices=("activation", "approximation"),
)
_APPROXIMATE = Option(
    "approximate",
    "linear",
    "what follows C h in a nonlinear network: BatchNorm without scale and shift, then the activation (normalised); "
    "BatchNorm with the layer's scale and shift (affine); the layer's own BatchNorm, statistics of the real W h + b "
    "included (own); BatchNorm without scale and shift, no activation (linear); nothing (none)",
    choices=("normalised", "affine", "own", "linear", "none"),
)
_STEM = Option("stem", "fixed", "the first convolution stays random, or is trained too", choices=("fixed", "trained"))


def _unit(default: str) -> Option:
    return Option(
        "unit",
        default,
        "what a local loss trains: each convolution, or each residual block (stage of AlexNet) and the stem before",
        choices=("conv", "block"),
    )


RULES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("bp", "BP", "backpropagation, the control"),
        Entry(
            "kp",
            "KP",
            "Kolen and Pollack 1994; Akrout et al. 2019",
            options=(_CLASSIFIER, _LINEAR_FEEDBACK, _FEEDBACK_INIT, _FORM),
        ),
        Entry("fa", "FA", "Lillicrap et al. 2016", options=(_LINEAR_FEEDBACK, _FEEDBACK_INIT)),
        Entry("dfa", "DFA", "Nøkland 2016"),
        Entry(
            "asap",
            "ASAP",
            f"{_PAPER}, Algorithm 1, eq. 47",
            options=(_K, _MATCHING, _STEM, _CLASSIFIER, _LINEAR_FEEDBACK, _FEEDBACK_INIT, _FORM),
        ),
        Entry(
            "as",
            "AS",
            f"{_PAPER}: activation sharing with weight transport",
            options=(_K, _MATCHING, _STEM, _CLASSIFIER_OF_AS),
        ),
        Entry("forward_alignment", "Forward Alignment", f"{_PAPER}, A.1, A.2", options=(_SOURCE, _APPROXIMATE)),
        Entry(
            "asfp",
            "ASFP",
            f"{_PAPER}, App. B, eq. 39-42",
            options=(_K, _MATCHING, _STEM, _CLASSIFIER, _LINEAR_FEEDBACK, _FEEDBACK_INIT),
        ),
        Entry(
            "asfp_lc",
            "ASFP+LC",
            f"{_PAPER}, App. B: ASFP with local classifiers",
            options=(
                *(_K, _MATCHING, _STEM, _CLASSIFIER, _LINEAR_FEEDBACK, _FEEDBACK_INIT),
                Option(
                    "unit",
                    "block",
                    "what has a local classifier behind it: each block, or each group of k convolutions that share an "
                    "activation",
                    choices=("block", "group"),
                ),
                Option(
                    "loss",
                    "local",
                    "the losses of the local classifiers alone, units detached; or added to that of the output",
                    choices=("local", "added"),
                ),
            ),
        ),
        Entry(
            "local_errors",
            "Local errors",
            "Mostafa, Ramesh, Cauwenberghs 2018",
            options=(
                _unit("conv"),
                Option(
                    "feedback",
                    "transpose",
                    "what the error comes back through from a fixed classifier: its transpose, its signs with random "
                    "sizes, or an independent random matrix",
                    choices=("transpose", "sign", "random"),
                ),
            ),
        ),
        Entry(
            "predsim",
            "predsim",
            "Nøkland and Eidnes 2019",
            revision=2,
            options=(
                _unit("conv"),
                Option(
                    "loss",
                    "predsim",
                    "similarity matching and prediction, or one of them",
                    choices=("predsim", "pred", "sim"),
                ),
                Option(
                    "beta",
                    0.99,
                    "the share of similarity matching in predsim; the output's own loss counts the rest",
                    minimum=0,
                    below=1,
                ),
                Option("bpf", False, "the backprop-free variant: projected targets, no learned weight for errors"),
            ),
        ),
        Entry(
            "dgl",
            "DGL",
            "Belilovsky et al. 2019, 2020: decoupled greedy learning, standing in for the unidentified [48]",
            revision=2,
            options=(
                _unit("block"),
                Option(
                    "hidden_layers",
                    3,
                    "hidden fully connected layers of the auxiliary network: three in the authors' program, two by one "
                    "reading of the work's text",
                    minimum=1,
                ),
            ),
        ),
    )
}

SHARING = ("asap", "as", "asfp", "asfp_lc")
"""Rules that share activations among convolutions."""

LEARNED_BESIDE = {"asfp": 1.0, "asfp_lc": 0.6, "predsim": 1.2, "dgl": 2.6}
"""What rules learn beside the network (feedback weights, heads), in multiples of its weights: counted on ResNet-18 at
the default options."""

FULLY_CONNECTED = ("forward_alignment",)
"""Rules for networks without convolutions."""

_LOGITS = Option("logits_batchnorm", True, "BatchNorm on the logits, as in the released code")
_LINEAR_INIT = Option(
    "linear_init",
    "default",
    "fully connected layers start as torch's do, weights and biases U(+-1/sqrt(fan_in)), or as the released FA layer "
    "does, weights U(+-sqrt(6/fan_in)) and zero biases",
    choices=("default", "released"),
)
_WIDTH = Option("width", 64, "channels of the first convolution; the others scale with it", minimum=1)
_RESNET = (_WIDTH, _LOGITS, _LINEAR_INIT)

MODELS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "alexnet",
            "AlexNet",
            f"{_PAPER}, App. C",
            options=(
                Option(
                    "kernel",
                    3,
                    "3x3 with floor pooling as printed, or 5x5 with ceil pooling as released",
                    (3, 5),
                ),
                _WIDTH,
                Option("hidden", 1024, "units of the two hidden fully connected layers", minimum=1),
                _LOGITS,
                Option(
                    "conv_bias",
                    False,
                    "biases in front of BatchNorm, as in the released AlexNet",
                ),
                _LINEAR_INIT,
            ),
        ),
        Entry("resnet10", "ResNet-10", "one block a stage of He et al. 2016", options=_RESNET),
        Entry("resnet10_nsc", "ResNet-10 (nsc)", "resnet10 without shortcuts", options=_RESNET),
        Entry("resnet18", "ResNet-18", "He et al. 2016; released code for 32x32 images", options=_RESNET),
        Entry("resnet18_nsc", "ResNet-18 (nsc)", f"{_PAPER}, App. C: no shortcuts", options=_RESNET),
        Entry("resnet34", "ResNet-34", "He et al. 2016; released code for 32x32 images", options=_RESNET),
        Entry(
            "mlp",
            "784-10-10-10",
            f"{_PAPER}, A.2",
            options=(
                Option("hidden", 10, "units of each hidden layer", minimum=1),
                Option("depth", 2, "hidden layers", minimum=1),
                Option("nonlinear", True, "BatchNorm and ReLU after each hidden layer; false: a linear network"),
                Option("logits_batchnorm", True, "BatchNorm on the logits of the nonlinear network"),
                _LINEAR_INIT,
            ),
        ),
    )
}


def _collected() -> dict[str, DatasetEntry]:
    """The data sets: the `entry` of each module of `asapbench.data.sets`."""
    package = importlib.import_module("asapbench.data.sets")
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return {module.entry.name: module.entry for module in modules}


DATASETS: dict[str, DatasetEntry] = _collected()

OPTIMIZERS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "sgd",
            "SGD",
            "torch.optim.SGD, weight decay coupled",
            options=(
                Option("momentum", 0.9, "momentum", minimum=0),
                Option("weight_decay", 5e-4, "coupled weight decay on every trained parameter", minimum=0),
                Option("nesterov", False, "Nesterov momentum"),
                Option("dampening", 0.0, "dampening of the momentum", minimum=0),
            ),
        ),
        Entry(
            "adam",
            "Adam",
            "Kingma and Ba 2015",
            options=(
                Option("beta1", 0.9, "decay of the first moment", minimum=0, below=1),
                Option("beta2", 0.999, "decay of the second moment", minimum=0, below=1),
                Option("eps", 1e-8, "added to the denominator", minimum=0),
                Option("weight_decay", 0.0, "coupled weight decay", minimum=0),
            ),
        ),
        Entry(
            "adamw",
            "AdamW",
            "Loshchilov and Hutter 2019",
            options=(
                Option("beta1", 0.9, "decay of the first moment", minimum=0, below=1),
                Option("beta2", 0.999, "decay of the second moment", minimum=0, below=1),
                Option("eps", 1e-8, "added to the denominator", minimum=0),
                Option("weight_decay", 0.01, "decoupled weight decay", minimum=0),
            ),
        ),
    )
}


def _schedules() -> dict[str, ScheduleEntry]:
    """The entries of `asapbench.training.schedules`."""
    module = importlib.import_module("asapbench.training.schedules")
    return {entry.name: entry for entry in vars(module).values() if isinstance(entry, ScheduleEntry)}


SCHEDULES: dict[str, ScheduleEntry] = _schedules()

CATALOG: dict[str, dict[str, Entry]] = {
    "dataset": dict(DATASETS),
    "model": dict(MODELS),
    "rule": dict(RULES),
    "optimizer": dict(OPTIMIZERS),
    "schedule": dict(SCHEDULES),
}

DEFAULTS: dict[str, Choice] = {"optimizer": OPTIMIZERS["sgd"].choose(), "schedule": SCHEDULES["cosine"].choose()}
"""What a suite need not name: the paper's."""


WITHOUT_CONVOLUTIONS = ("mlp",)
"""Fully connected models: they train on feature vectors too."""


@lru_cache(maxsize=1_000)
def dataset_shape(dataset: Choice) -> DatasetShape:
    """The shape of a chosen data set, its subset options taken into account."""
    entry = DATASETS[dataset.name]
    whole = entry.whole(dataset)
    wanted = dataset.integer("train_size")
    return whole if wanted == 0 or entry.beyond(dataset) else replace(whole, train=wanted)
