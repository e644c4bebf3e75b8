"""The table of rules on other people's networks, made by attaching each rule to each: about a minute.

`python tests/docs/library_table.py` writes it into docs/library.md, after a rule was added or attaches to more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from documentation import LIBRARY
from library_networks import NETWORKS, Network
from tables import table

from asapbench.errors import GraphError
from asapbench.rules import attach
from asapbench.suite.catalog import RULES
from asapbench.suite.options import Choice

TABLE = re.compile(r"(<!-- library table -->)(?:(?!<!-- ).)*(<!-- end of library table -->)", re.DOTALL)


def library_table() -> str:
    """A row for each rule, and below the reasons that it names by number."""
    numbers: dict[str, int] = {}
    rows: list[tuple[object, ...]] = []
    for rule in RULES:
        row: list[object] = [f"`{rule}`"]
        for network in NETWORKS.values():
            works, reasons = _outcome(rule, network)
            found = sorted({numbers.setdefault(_general(reason, rule), len(numbers) + 1) for reason in reasons})
            row.append(" ".join([*([works] if works else []), *(f"({number})" for number in found)]))
        rows.append(tuple(row))
    made = table(("rule", *(network.title for network in NETWORKS.values())), rows)
    listed = "\n".join(f"{number}. {reason}" for reason, number in numbers.items())
    return f"{made}\n\nReasons, as the error gives them behind the name of the place:\n\n{listed}"


def _outcome(rule: str, network: Network) -> tuple[str, list[str]]:
    """`yes`, or `unit = ...` for the first choice of that option that works, and why those before it are refused."""
    reasons: list[str] = []
    for choice in _choices(rule):
        images, labels = network.batch()
        try:
            learner = attach(network(), choice, images)
        except GraphError as error:
            reasons.append(str(error))
            continue
        learner.backward(images, labels)
        for name, parameter in learner.trained_parameters():
            if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any():
                raise AssertionError(f"{rule} on {network.title}: {name} has no gradient")
        return (f'`unit = "{dict(choice.options)["unit"]}"`' if reasons else "yes"), reasons
    return "", reasons


def _choices(rule: str) -> Iterator[Choice]:
    yield RULES[rule].choose()
    for option in RULES[rule].options:
        if option.name == "unit":
            yield from (RULES[rule].choose({"unit": value}) for value in option.choices if value != option.default)


def _general(reason: str, rule: str) -> str:
    """A reason without the names and shapes of one network and one rule."""
    text = re.sub(r"^[\w.]+: ", "", reason.replace(f"so {rule} would", "so the rule would").removeprefix(f"{rule}: "))
    text = re.sub(r"\b\w+(\.\w+)+\b", "a layer", text)
    return re.sub(r"\(\d[\d, ]*\)", "(N, ...)", text)


if __name__ == "__main__":
    made = library_table()
    text = LIBRARY.read_text(encoding="utf-8")
    LIBRARY.write_text(TABLE.sub(lambda match: f"{match[1]}\n\n{made}\n\n{match[2]}", text), encoding="utf-8")
