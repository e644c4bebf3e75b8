"""What the documents show of the measured results that come with asapbench: `just results` writes it.

A document asks for a table by a comment with the command that prints it, and has it between this comment and
`<!-- end of the table -->`. A comment with a command that has `--out FILE` asks for a figure; FILE is seen from the
root of the repository. A suite of which docs/results.md has no table gets a section. What a person wrote stays.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from asapbench.cli import app
from asapbench.errors import AsapbenchError
from asapbench.report.recorded import recorded_suite
from asapbench.store import MEASURED_URL, Store
from asapbench.suite.tuning import finals_name, trials_name

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results.md"
DOCUMENTS = (ROOT / "README.md", RESULTS)

_TABLE = re.compile(r"<!-- (asapbench (?:(?!--out |-->).)*) -->\n.*?<!-- end of the table -->", re.DOTALL)
_FIGURE = re.compile(r"<!-- (asapbench .*--out (\S+)) -->")
_FURTHER = "<!-- Sections of further suites are added above this line. -->"


def made(command: str, *, ending: str = ".md") -> bytes:
    """What the command of a comment writes, in the format that `ending` names."""
    words = re.sub(r" --out \S+$", "", command)
    with TemporaryDirectory() as folder:
        out = Path(folder) / f"made{ending}"
        app([*shlex.split(words)[1:], "--out", str(out)], standalone_mode=False)
        return out.read_bytes()


def with_results(text: str) -> str:
    """`text` with every table that it asks for."""

    def table(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n\n{made(found[1]).decode()}\n<!-- end of the table -->"

    return _TABLE.sub(table, text)


def with_every_suite(text: str) -> str:
    """`text` of docs/results.md with a section for each suite of which it has no table, still without that table."""
    shown = {name for command in _TABLE.findall(text) for name in re.findall(r" --(?:suite|tuned) (\S+)", command)}
    with Store.read_only(MEASURED_URL) as store:
        names = [record.name for record in store.suites()]
        searched = {named(name) for name in names for named in (trials_name, finals_name)}
        titles = {name: recorded_suite(store, name).title for name in names if name not in shown | searched}
    for name, title in titles.items():
        text = text.replace(_FURTHER, f"{_section(name, title)}\n\n{_FURTHER}")
    return text


def _section(name: str, title: str) -> str:
    table = f"<!-- asapbench report --suite {name} --measured -->\n<!-- end of the table -->"
    file = f"static/measured/{name}.svg"
    curves = f"asapbench report --curves accuracy --suite {name} --measured --out docs/{file}"
    try:
        made(curves, ending=".svg")
    except AsapbenchError:  # more curves than a picture takes
        return f"## {title}\n\n{table}"
    return f"## {title}\n\n{table}\n\n<!-- {curves} -->\n![Learning curves of {title}]({file})"


def figures(text: str) -> Iterator[tuple[Path, str]]:
    """The file and the command of each figure that `text` asks for."""
    for command, file in _FIGURE.findall(text):
        yield ROOT / file, command


def write() -> None:
    """Writes every table and every figure again."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        text = with_results(with_every_suite(text) if document == RESULTS else text)
        document.write_text(text, encoding="utf-8")
        for file, command in figures(text):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(made(command, ending=file.suffix))


if __name__ == "__main__":
    write()
