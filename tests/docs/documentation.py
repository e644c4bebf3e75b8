"""The project's documents as tests see them: code blocks, command lines, and the tables made from the catalog.

`python tests/docs/documentation.py` writes those tables into their pages, after an option was added.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "ext"))

from tables import code, table, values

from asapbench.suite.catalog import DATASETS, MODELS, OPTIMIZERS, RULES, SCHEDULES
from asapbench.suite.options import Entry, Option
from asapbench.suite.recipe import RECIPE

ROOT = Path(__file__).resolve().parent.parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
ADDING, DATABASE, LIBRARY, MEASURE = (DOCS / f"{name}.md" for name in ("adding", "database", "library", "measure"))
SUITES, OPTIONS = DOCS / "suites.md", DOCS / "options.md"
PAGES = tuple(path for path in sorted(DOCS.glob("*.md")) if path.name != "certificates.md")
"""The pages that are written by hand."""
DOCUMENTS = (
    README,
    ROOT / "CONTRIBUTING.md",
    *PAGES,
    *sorted((DOCS / "rules").glob("*.md")),
    ROOT / "examples" / "plugin" / "README.md",
    ROOT / "results" / "README.md",
    ROOT / "results" / "measured" / "README.md",
    *sorted((DOCS / "decisions").glob("*.md")),
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_TABLE = re.compile(r"(<!-- table: (\w+) -->)(?:(?!<!-- ).)*(<!-- end of table -->)", re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [text for found, text in _BLOCK.findall(path.read_text(encoding="utf-8")) if found == language]


def command_lines(path: Path) -> Iterator[list[str]]:
    """The arguments of every `asapbench ...` in shell blocks, and of every one in running text that is whole."""
    text = path.read_text(encoding="utf-8")
    shell = [line for block in blocks(path, "sh") for line in block.splitlines()]
    inline = [code for code in _INLINE.findall(_BLOCK.sub("", text)) if "..." not in code]
    for line in (*shell, *inline):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in (*lexer, ";"):
            if word.strip(";&|<>()"):
                command.append(word)
                continue
            if command and Path(command[0]).name == "asapbench" and len(command) > 1:
                yield command[1:]
            command = []


def tables() -> dict[str, str]:
    """The tables, by the name that stands in their markers."""
    found = {
        "recipe": table(
            ("key", "default", "values", "meaning"),
            [(f"`{o.name}`", code(o.default), values(o), o.help) for o in RECIPE.values()],
        ),
        "datasets": table(
            ("name", "images", "training + test", "classes", "augment = auto"),
            [
                (f"`{d.name}`", f"{d.channels}x{d.size}x{d.size}", f"{d.train:,} + {d.test:,}", d.classes, d.augment)
                if d.train
                else (f"`{d.name}`", *("the data's own",) * 3, d.augment)
                for d in DATASETS.values()
            ],
        ),
    }
    kinds = {"rule": RULES, "model": MODELS, "dataset": DATASETS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    for kind, entries in kinds.items():
        found[f"{kind}_options"] = table(("option", "of", "default", "values", "meaning"), _options(entries))
    return found


def with_tables(text: str) -> str:
    """`text` with every table between its markers as the catalog has it."""
    made = tables()
    return _TABLE.sub(lambda match: f"{match[1]}\n\n{made[match[2]]}\n\n{match[3]}", text)


def _options(entries: Mapping[str, Entry]) -> list[tuple[object, ...]]:
    """A row for each option; entries that have the very same one share it."""
    owners: dict[Option, list[str]] = {}
    for entry in entries.values():
        for option in (option for option in entry.options if option.is_given):
            owners.setdefault(option, []).append(f"`{entry.name}`")
    rows: list[tuple[object, ...]] = [
        (f"`{o.name}`", ", ".join(names), code(o.default), values(o), o.help) for o, names in owners.items()
    ]
    without = [f"`{entry.name}`" for entry in entries.values() if not entry.options]
    return [*rows, ("none", ", ".join(without), "", "", "")] if without else rows


if __name__ == "__main__":
    for page in (SUITES, OPTIONS):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
