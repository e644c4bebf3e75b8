"""What reports show: the test accuracy at one epoch, a metric of every epoch, or a value of each layer; and which."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from asapbench.metrics import EpochMetrics
from asapbench.report.statistics import Spread
from asapbench.setting import Setting
from asapbench.store import Attempt, Progress


class Metric(StrEnum):
    """The epoch whose test accuracy a table shows."""

    LAST = "last"
    BEST = "best"
    BEST_VAL = "best-val"

    def of(self, attempt: Attempt | Progress) -> float | None:
        """The test accuracy in percent, or None where the attempt has none."""
        fraction: float | None = getattr(attempt, f"{self.replace('-', '_')}_test_accuracy")
        return None if fraction is None else 100 * fraction

    @property
    def described(self) -> str:
        """The epoch, in the words of a caption."""
        return {
            Metric.LAST: "at the last epoch (last)",
            Metric.BEST: "at the best test epoch (best: the paper's convention, the epoch is chosen on the test data)",
            Metric.BEST_VAL: "at the best validation epoch (best-val)",
        }[self]


class Quantity(StrEnum):
    """What learning curves show of each epoch.

    >>> Quantity.TRAIN_LOSS.words, Quantity.TRAIN_LOSS.unit
    ('train loss', 'nats')
    """

    ACCURACY = "accuracy"
    VALIDATION_ACCURACY = "validation-accuracy"
    LOSS = "loss"
    TRAIN_ACCURACY = "train-accuracy"
    TRAIN_LOSS = "train-loss"

    @property
    def field(self) -> str:
        """The field of EpochMetrics."""
        return self.replace("-", "_") if "-" in self else f"test_{self}"

    @property
    def words(self) -> str:
        """The name of its axis: `test accuracy`."""
        return self.field.replace("_", " ")

    @property
    def described(self) -> str:
        """The quantity and its unit, in the words of a caption."""
        what = "Accuracy in percent" if self.unit == "percent" else "Cross-entropy in nats"
        if self.startswith("train"):
            return f"{what} over each epoch's own training batches"
        data = "test data" if self.field.startswith("test") else "examples held out for validation"
        return f"{what} on the {data} after each epoch"

    @property
    def unit(self) -> str:
        """`percent` or `nats`."""
        return "percent" if self.endswith("accuracy") else "nats"

    def of(self, epoch: EpochMetrics) -> float | None:
        """The value at one epoch, in `unit`; None without validation data."""
        value: float | None = getattr(epoch, self.field)
        return 100 * value if value is not None and self.unit == "percent" else value


class Angle(StrEnum):
    """Which angle of each layer is shown; the database uses the same names."""

    WEIGHTS = "weights"
    UPDATE = "update"

    @property
    def described(self) -> str:
        """The angle, in the words of a caption."""
        if self is Angle.WEIGHTS:
            return "Angle between W and B (W and C under Forward Alignment)"
        return "Angle between the rule's weight gradient and backpropagation's, on one training batch"


class GradientMeasure(StrEnum):
    """Which comparison of each layer's gradient with backpropagation's is shown.

    >>> GradientMeasure.NORM_RATIO.field, GradientMeasure.NORM_RATIO.unit
    ('norm_ratio', 'ratio')
    """

    NORM_RATIO = "norm-ratio"
    EFFECTIVE_RANK = "effective-rank"
    DECREASE_SHARE = "decrease-share"

    @property
    def field(self) -> str:
        """The field of GradientQuality."""
        return self.replace("-", "_")

    @property
    def words(self) -> str:
        """The name of its axis: `norm ratio`."""
        return self.replace("-", " ")

    @property
    def unit(self) -> str:
        """`ratio` or, of ranks, `directions`."""
        return "directions" if self is GradientMeasure.EFFECTIVE_RANK else "ratio"

    @property
    def described(self) -> str:
        """The measure and its unit, in the words of a caption."""
        return {
            GradientMeasure.NORM_RATIO: "Norm of the rule's weight gradient as a multiple of backpropagation's, on one "
            "training batch (1: equal)",
            GradientMeasure.EFFECTIVE_RANK: "Effective rank of the error signals of one training batch at each layer's "
            "output, a matrix of examples by units (exp of the entropy of the shares of its singular values: how many "
            'directions the errors have; Roy and Vetterli 2007), under the rule and, as "of BP", under '
            "backpropagation with the same weights",
            GradientMeasure.DECREASE_SHARE: "Decrease of one training batch's loss by a step of gradient descent along "
            "the rule's gradient, as a fraction of that along backpropagation's, at the cell's learning rate (1: as "
            "much as backpropagation, 0: none, negative: the loss increases); only the layer's W moves, or all "
            "parameters of the whole network",
        }[self]


class TimeTo(StrEnum):
    """What a training's way to a target is measured in.

    >>> TimeTo.ACCESSES.unit, TimeTo.ACCESSES.scale
    ('numbers read or written', 1000000000.0)
    """

    EPOCHS = "epochs"
    SECONDS = "seconds"
    ACCESSES = "accesses"

    @property
    def unit(self) -> str:
        """Of the unscaled numbers in CSV and JSON."""
        return "numbers read or written" if self is TimeTo.ACCESSES else str(self)

    @property
    def scale(self) -> float:
        """What numbers are divided by in tables."""
        return 1e9 if self is TimeTo.ACCESSES else 1.0

    @property
    def described(self) -> str:
        """The quantity and its unit, in the words of a caption."""
        return {
            TimeTo.EPOCHS: "Epochs",
            TimeTo.SECONDS: "Seconds of training, as the epochs recorded them, without evaluation,",
            TimeTo.ACCESSES: "Memory accesses of the training steps, in billions of numbers read or written (Woo et "
            "al. 2021, App. F, eq. 48-49, without learned feedback),",
        }[self]


class Cost(StrEnum):
    """What accuracy is drawn against."""

    TIME = "time"
    MEMORY = "memory"
    ARITHMETIC = "arithmetic"
    ACCESSES = "accesses"

    @property
    def words(self) -> str:
        """The name of its axis, with the unit that it is shown in.

        >>> Cost.TIME.words
        'ms a step'
        """
        return {
            Cost.TIME: "ms a step",
            Cost.MEMORY: "peak memory in MiB",
            Cost.ARITHMETIC: "million multiply-adds a step",
            Cost.ACCESSES: "million memory accesses a step",
        }[self]

    @property
    def unit(self) -> str:
        """The unit of numbers in long form."""
        return {
            Cost.TIME: "seconds",
            Cost.MEMORY: "bytes",
            Cost.ARITHMETIC: "multiply-adds",
            Cost.ACCESSES: "numbers read or written",
        }[self]

    @property
    def scale(self) -> float:
        """One of the shown unit in `unit`."""
        return {Cost.TIME: 1e-3, Cost.MEMORY: 2.0**20}.get(self, 1e6)

    @property
    def described(self) -> str:
        """The cost, in the words of a caption."""
        return {
            Cost.TIME: "the median time of a training step: an epoch's seconds over its steps, of all epochs of all "
            "seeds but the first of each training",
            Cost.MEMORY: "the largest peak memory of any epoch",
            Cost.ARITHMETIC: "multiply-adds of convolutions and matrix products in one training step, counted on the "
            "rule's own program",
            Cost.ACCESSES: "external memory accesses of one training step by eq. 48-49 (Woo et al. 2021, App. F)",
        }[self]


class Sorting(StrEnum):
    """What a list of cells is sorted by; without it cells are in the order of their suites.

    Accuracies, epochs and times: the largest first. Ages: the newest first.
    """

    CELL = "cell"
    STATE = "state"
    ACCURACY = "accuracy"
    VALIDATION = "validation"
    EPOCHS = "epochs"
    TIME = "time"
    AGE = "age"


MetricOption = Annotated[
    Metric | None,
    Setting(
        help="Epoch whose test accuracy is shown: last, best test epoch (the paper's convention), or best "
        "validation epoch. Default: best for the paper's tables, last for suites."
    ),
]
SelectOption = Annotated[
    str | None,
    Setting(
        metavar="KEY[,KEY]",
        help="For each rule of a suite, choose what was swept by validation accuracy, as in lr or rule.k.",
    ),
]
SpreadOption = Annotated[
    Spread, Setting(help="Beside a mean: standard deviation, 95 % interval, standard error of the mean, or range.")
]


@dataclass(frozen=True)
class Numbers:
    """Which numbers of its cells a page shows, as the options of `asapbench report` have it."""

    metric: MetricOption = None
    select: SelectOption = None
    spread: SpreadOption = Spread.SD


USUAL = Numbers()


@dataclass(frozen=True)
class Wanted:
    """The options of `asapbench report`: one of `table`, `figure`, `suite` and `tuned`, or one of `curves`, `alignment`
    and `gradient_quality` of cells.

    The cells are those of `suite`, by default all, that pass the filters `only`.
    """

    table: Annotated[
        str | None, Setting(metavar="TABLE", help="A table of the paper, 1 to 5, or A.2: measured and published.")
    ] = None
    reduced: Annotated[
        str | None,
        Setting(metavar="SUITE", help="With --table 1, 2, 4 or 5: its order and gaps in a suite of smaller trainings."),
    ] = None
    figure: Annotated[
        int | None,
        Setting(metavar="N", help="A figure of the paper, 6, 9, 10 or 11: its numbers, or with --out its picture."),
    ] = None
    curves: Annotated[
        Quantity | None, Setting(help="Learning curves of a suite's cells, or of all, that match --only.")
    ] = None
    alignment: Annotated[
        Angle | None, Setting(help="Each layer's angle by epoch, of a suite's cells, or of all, that match --only.")
    ] = None
    lines: Annotated[
        bool, Setting(help="With --alignment: a picture of lines by epoch, not of a row of colours for each layer.")
    ] = False
    gradient_quality: Annotated[
        GradientMeasure | None,
        Setting(help="Each layer's gradient beside backpropagation's by epoch, of cells as for --alignment."),
    ] = None
    suite: Annotated[str | None, Setting(metavar="SUITE", help="A suite, by name or file: rules side by side.")] = None
    tuned: Annotated[
        str | None,
        Setting(metavar="SUITE", help="A suite with [tune]: each rule tuned with the same budget, and as published."),
    ] = None
    budget: Annotated[bool, Setting(help="With --tuned: best validation accuracy by the number of trials.")] = False
    ranks: Annotated[
        bool, Setting(help="With --suite: average ranks of the rules over its rows, with their critical difference.")
    ] = False
    time_to: Annotated[
        TimeTo | None,
        Setting(help="With --suite: what each rule needs until its validation accuracy reaches the target."),
    ] = None
    target: Annotated[
        float | None,
        Setting(metavar="FRACTION", help="With --time-to: the accuracy, as in 0.6. Default: the suite's target."),
    ] = None
    profile: Annotated[
        bool, Setting(help="With --time-to: how often each rule is within a factor of the fastest, over the rows.")
    ] = False
    pareto: Annotated[
        Cost | None,
        Setting(help="With --suite: accuracy against this cost of a step, by rule, and which rules none surpasses."),
    ] = None
    metric: MetricOption = None
    select: SelectOption = None
    spread: SpreadOption = Spread.SD
    allow_deviations: Annotated[
        bool, Setting(help="Also show cells that deviate from the shipped suites, with footnotes.")
    ] = False
    only: tuple[str, ...] = ()
