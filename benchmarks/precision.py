"""Whether bf16 may be a default: its accuracy beside float32's, seeds pooled, from a results database.

asapbench run cifar10 --only model=resnet18 --seeds 0-2
asapbench run cifar10 --only model=resnet18 --seeds 0-2 --set precision=bf16
python benchmarks/precision.py sqlite:///results/asapbench.sqlite

The difference of the means at the last epoch, in percentage points, with its 95 % interval by Welch's t (the seeds are
the samples; pairs by seed are not used, since rounding soon parts them). Within: at least 3 seeds each, and the whole
interval inside -0.3 to 0.3.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from scipy.stats import ttest_ind
from tabulate import tabulate

from asapbench.errors import AsapbenchError
from asapbench.store import DEFAULT_URL, Store

BOUND, SEEDS = 0.3, 3


def interval(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """The 95 % interval of mean(ours) - mean(theirs)."""
    found = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return float(found.low), float(found.high)


def accuracies(store: Store) -> dict[str, dict[str, list[float]]]:
    """Percent at the last epoch of what is done: by configuration, precision aside, then by precision."""
    found: dict[str, dict[str, list[float]]] = {}
    for result in store.results():
        value = result.attempt.last_test_accuracy
        if result.attempt.state == "done" and value is not None and not result.outdated:
            plain = replace(result.cell, precision="float32", seed=0)
            key = f"{plain.label.removesuffix(' seed 0')} ({plain.short}, {plain.epochs} epochs)"
            found.setdefault(key, {}).setdefault(result.cell.precision, []).append(100 * value)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("db", nargs="?", default=DEFAULT_URL)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "tf32"])
    given = parser.parse_args()
    try:
        with Store.read_only(given.db) as store:
            found = accuracies(store)
    except AsapbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = []
    for name, by_precision in found.items():
        ours, theirs = by_precision.get(given.precision, []), by_precision.get("float32", [])
        if min(len(ours), len(theirs)) < 2:
            continue
        low, high = interval(ours, theirs)
        few = min(len(ours), len(theirs)) < SEEDS
        verdict = "too few seeds" if few else "within" if -BOUND <= low <= high <= BOUND else "not shown"
        rows.append(
            [name, len(ours), len(theirs), sum(ours) / len(ours) - sum(theirs) / len(theirs), low, high, verdict]
        )
    if not rows:
        print(f"error: no configuration has two seeds or more in {given.precision} and in float32", file=sys.stderr)
        return 2
    head = ["configuration", f"n {given.precision}", "n float32", "difference", "from", "to", f"within {BOUND}"]
    print(tabulate(rows, head, floatfmt="+.2f", tablefmt="github"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
