"""The accuracies, correlations and p values in sentences of docs/reproduction.md are what the measured results give.

Tables are written from the results; sentences by hand, and a further seed changes a mean. Only numbers with two or
three digits behind the point are looked up, not differences, which are rounded to one.
"""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

from documentation import DOCS, ROOT, command_lines
from measured_results import made

from asapbench.report import published

REPRODUCTION = DOCS / "reproduction.md"
NUMBER = re.compile(r"(?<![\w.,])\d{1,2}\.\d{2,3}(?![\w.]|,\d)")
PAPER = Path(published.__file__).with_suffix(".toml").read_text(encoding="utf-8")
OTHERS = {"58.39"}
"""FA without shortcuts in the table of June 2021 in the repository of the paper's authors."""


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(text))


def commanded(document: Path) -> str:
    """What the document's commands print of the measured results, and of Figure 11."""
    whole = [words for words in command_lines(document) if "--measured" in words or words[:2] == ["report", "--figure"]]
    commands = dict.fromkeys(shlex.join(words) for words in whole if words[0] in ("report", "compare"))
    assert len(commands) > 5
    return "".join(made(f"asapbench {command}").decode() for command in commands)


def test_each_number_of_what_reproduces_is_printed_by_a_command_of_the_page() -> None:
    text = REPRODUCTION.read_text(encoding="utf-8")
    files = {ROOT / "results" / path for path in re.findall(r"\.\./results/(measured/\w+\.(?:md|csv))", text)}
    linked = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "README.md")
    unknown = numbers(text) - numbers(commanded(REPRODUCTION) + linked + PAPER) - numbers(decay(text)) - OTHERS
    assert not unknown


def decay(text: str) -> str:
    """The table of how much of W - B is left: annealed at each epoch, the rates of T epochs sum to lr (T + 1) / 2."""
    epochs = [int(found) for found in re.findall(r"after (\d+) epochs", text.split("| initial learning rate |")[1])[:2]]
    steps = [math.ceil(50_000 / 128) * (count + 1) / 2 for count in epochs]
    left = [math.exp(-lr * count * 5e-4 / (1 - 0.9)) for lr in (3e-2, 3e-3, 1e-4) for count in steps]
    return " ".join(f"{one:.2f} {one:.3f}" for one in left)
