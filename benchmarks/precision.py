"""Whether bf16 keeps a rule's accuracy: the difference to float32, paired by seed, from a results database.

asapbench run benchmarks/precision.toml --db sqlite:///precision.sqlite
python benchmarks/precision.py sqlite:///precision.sqlite

The mean difference at the last epoch, in percentage points, over the seeds that both precisions have, with its 95 %
interval by the paired t-test: equal seeds start from the same weights and see the same batches. Within: at least
5 seeds, and the whole interval inside -0.3 to 0.3. Lost: the whole interval is below 0.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from statistics import mean

from scipy.stats import ttest_rel
from tabulate import tabulate

from asapbench.errors import AsapbenchError
from asapbench.store import DEFAULT_URL, Store

BOUND, SEEDS = 0.3, 5


def interval(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of the paired differences ours - theirs."""
    found = ttest_rel(ours, theirs).confidence_interval(0.95)
    return float(found.low), float(found.high)


def verdict(low: float, high: float, seeds: int) -> str:
    """The verdict on the loss by its interval."""
    if seeds < SEEDS:
        return "too few seeds"
    if -BOUND <= low <= high <= BOUND:
        return "within"
    return "lost" if high < 0 else "not shown"


def accuracies(store: Store) -> dict[str, dict[str, dict[int, float]]]:
    """Last test accuracies in percent, by configuration without its precision, then by precision and seed."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for result in store.results():
        value = result.attempt.last_test_accuracy
        if result.attempt.state == "done" and value is not None and not result.outdated:
            plain = replace(result.cell, precision="float32", seed=0)
            key = f"{plain.label.removesuffix(' seed 0')} ({plain.short}, {plain.epochs} epochs)"
            found.setdefault(key, {}).setdefault(result.cell.precision, {})[result.cell.seed] = 100 * value
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
        ours, theirs = by_precision.get(given.precision, {}), by_precision.get("float32", {})
        seeds = sorted(ours.keys() & theirs.keys())
        if len(seeds) < 2:
            continue
        pair = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
        low, high = interval(*pair)
        means = [mean(values) for values in pair]
        rows.append([name, len(seeds), *means, means[0] - means[1], low, high, verdict(low, high, len(seeds))])
    if not rows:
        print(f"error: no configuration has two seeds in both {given.precision} and float32", file=sys.stderr)
        return 2
    head = ["configuration", "n", f"{given.precision} %", "float32 %", "difference", "from", "to", f"within {BOUND}"]
    formats = ("", "", ".2f", ".2f", "+.2f", "+.2f", "+.2f", "")
    print(tabulate(rows, head, floatfmt=formats, tablefmt="github"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
