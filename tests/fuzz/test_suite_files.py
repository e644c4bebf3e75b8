"""A suite file may hold anything: it is a suite, or every problem has its place in a line of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from fuzzing import CONTROL, check_refusal, fuzz, nasty_text
from hypothesis import example, given
from hypothesis import strategies as st
from in_process import asapbench

from asapbench.errors import SuiteError
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse

LINES = (
    "[suite]",
    'name = "mine"',
    'title = "Mine"',
    "tables = [1, 2]",
    "[defaults]",
    'dataset = { name = "mnist", train_size = 1000 }',
    "epochs = 2",
    "batch_size = 32",
    'optimizer = { name = "sgd", momentum = 0.9, weight_decay = 5e-4, nesterov = true }',
    'schedule = "cosine"',
    "seeds = [0, 1]",
    "[[grid]]",
    'model = [{ name = "resnet10", width = [4, 8] }, "alexnet"]',
    "lr = { bp = 3e-2, asap = [3e-2, 1e-2] }",
    "[[grid]]",
    'model = "mlp"',
    'rule = "forward_alignment"',
    "lr = 1",
    'augment = "none"',
    'normalization = "channel"',
    'precision = "float32"',
    "validation = 100",
)
KEYS = tuple(line.partition(" =")[0] for line in LINES if "=" in line)
A_PROBLEM = re.compile(r"s\.toml:\d+:\d+: \S.*")


def quoted(text: str) -> str:
    """A TOML string; surrogates become an escape that TOML forbids."""
    escaped = (f"\\u{ord(c):04x}" if c in '"\\' or (not c.isprintable() and ord(c) < 0x10000) else c for c in text)
    return f'"{"".join(escaped)}"'


ATOMS = st.one_of(
    st.sampled_from(("nan", "-nan", "inf", "-inf", "1e400", "-0.0", "5e-324", "0x" + "f" * 5000, "9" * 5000, "00", "")),
    st.sampled_from(("2020-01-01", "07:32:00", "2020-13-45", "true", "True", "null", '"""\n"""', "[]", "{}", "''")),
    st.integers().map(str),
    st.sampled_from((2**31, 2**63, 2**64, 10**400, -1, 0, 1)).map(str),
    st.floats().map(repr),
    nasty_text().map(quoted),
    st.text(max_size=10),
)
KEY = st.one_of(st.sampled_from((*KEYS, "name", "bp", "k", "width")), nasty_text().map(quoted))
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEY, inner), max_size=3).map(
            lambda pairs: "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"
        ),
    ),
    max_leaves=8,
)


@st.composite
def suites(draw: st.DrawFn) -> str:
    """A suite that is right except for a few lines."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(("value", "key", "twice", "away", "anything", "moved")))
        if kind == "value" and "=" in lines[place]:
            lines[place] = f"{lines[place].partition(' =')[0]} = {draw(VALUES)}"
        elif kind == "key":
            lines.insert(place, f"{draw(KEY)} = {draw(VALUES)}")
        elif kind == "twice":
            lines.insert(draw(st.integers(0, len(lines))), lines[place])
        elif kind == "away":
            del lines[place]
        elif kind == "moved":
            lines.append(lines.pop(place))
        else:
            lines.insert(place, draw(st.text(max_size=30)))
    return draw(st.sampled_from(("\n", "\r\n"))).join(lines)


def with_line(key: str, value: str) -> str:
    """A suite that is right except for one value."""
    return "\n".join(f"{key} = {value}" if line.startswith(f"{key} =") else line for line in LINES)


def problems(text: str) -> list[str]:
    """The lines of the error, none for a suite."""
    try:
        cells = parse(text, source="s.toml").cells
    except SuiteError as error:
        return str(error).split("\n")
    assert cells
    assert all(Cell.from_json(cell.to_json()) == cell for cell in cells)
    return []


def check(text: str) -> None:
    for line in problems(text):
        assert A_PROBLEM.fullmatch(line), line
        assert not CONTROL.search(line)


@fuzz(150)
@given(st.one_of(st.text(), st.text(alphabet="[]{}=\"'\n#.,\\ \tabcx019-_:"), VALUES.map("x = {}".format)))
@example("")
@example("x = " + "[" * 5000)
@example("x = " + "{a=" * 3000)
@example("x = " + "9" * 5000)
def test_any_text_is_a_suite_or_has_problems_with_places(text: str) -> None:
    check(text)


@fuzz(150)
@given(suites())
@example(with_line("lr", "1" + "0" * 400))
@example(with_line("epochs", "0x" + "f" * 5000))
@example(with_line("batch_size", str(10**30)))
@example(with_line("augment", '"\\u001b[31m\\n\\u202e"'))
@example(with_line("model", '"\\u001b[31m\\n\\u202e"'))
@example(with_line("seeds", str(list(range(200_000)))))
def test_a_suite_with_a_few_wrong_lines_has_problems_with_places(text: str) -> None:
    check(text)


def test_a_mark_that_windows_editors_put_in_front_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(LINES).encode())
    assert len(load(str(tmp_path / "s.toml")).cells) == len(parse("\n".join(LINES), source="s.toml").cells)


@pytest.mark.parametrize("kind", ["directory", "pipe", "device", "loop", "dangling", "binary", "latin1"])
def test_what_is_no_text_file_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.toml"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(tmp_path / "none")
        case "binary":
            path.write_bytes(bytes(range(256)))
        case "latin1":
            path.write_bytes('[suite]\nname = "é"'.encode("latin-1"))
    said = asapbench("run", "s.toml", "--dry-run")
    check_refusal(said)
    assert "s.toml" in said.err
