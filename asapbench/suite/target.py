"""The target of a suite: the validation accuracy, a fraction of 1, until which its trainings are timed.

It is one for all data sets, or one for each. It changes no cell and no training: reports read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asapbench.suite.grid import Report
from asapbench.suite.options import describe
from asapbench.suite.plugins import unknown

_PATH = ("suite", "target")


@dataclass(frozen=True)
class Target:
    """`every` applies to data sets that `of_datasets` does not name.

    >>> target = Target(of_datasets={"cifar10": 0.6})
    >>> target.of("cifar10"), target.of("mnist"), Target(0.9).of("mnist")
    (0.6, None, 0.9)
    """

    every: float | None = None
    of_datasets: Mapping[str, float] = field(default_factory=dict)

    def of(self, dataset: str) -> float | None:
        """The target of a data set, by its name; None where it has none."""
        return self.of_datasets.get(dataset, self.every)


def checked_target(value: object) -> float:
    """`value` as a target. Raises ValueError that says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise ValueError(f"a target must be a fraction above 0 and up to 1, as 0.6 for 60 %, not {describe(value)}")


def read(value: object, datasets: Mapping[str, object], report: Report) -> Target:
    """The `target` of a suite, where `datasets` are the known ones; problems go to `report`."""
    if not isinstance(value, dict):
        return Target(_taken(value, _PATH, report))
    for name in value:
        if name not in datasets:
            report((*_PATH, name), unknown("dataset", name))
    taken = {name: _taken(one, (*_PATH, name), report) for name, one in value.items()}
    return Target(of_datasets={name: one for name, one in taken.items() if one is not None})


def _taken(value: object, path: tuple[str, ...], report: Report) -> float | None:
    try:
        return checked_target(value)
    except ValueError as error:
        report(path, str(error))
        return None
