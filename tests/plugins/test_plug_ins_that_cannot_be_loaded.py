"""A plug-in that does not exist, fails, or takes a name that is taken is one error with its line; nothing is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.catalog import CATALOG
from asapbench.suite.load import load
from asapbench.suite.plugins import load as load_plugin

HEAD = "from asapbench.suite.entries import ModelEntry\n\n\n"
RULE = "from asapbench.rules.base import Rule\nfrom asapbench.suite.entries import RuleEntry\n\n\n"
FAILS = r"the plug-in cannot be loaded"
BAD = {
    "x = (\n": rf"mine\.py:1: {FAILS}: SyntaxError: '\(' was never closed",
    "import json\n\n\ndef f():\n    json.loads('x')\n\n\nf()\n": rf"mine\.py:5: {FAILS}: JSONDecodeError",
    "import no_such_module_at_all\n": rf"mine\.py:1: {FAILS}: ModuleNotFoundError: No module named",
    HEAD + 'own = ModelEntry("q", "Q", "")\n': rf"mine\.py:4: {FAILS}: TypeError: .* argument: 'build'",
    HEAD + 'own = ModelEntry("mlp", "M", "", build=print)\n': r'mine\.py:4: asapbench already has the model "mlp": use',
    HEAD + 'a = ModelEntry("q", "A", "", build=print)\nb = ModelEntry("q", "B", "", build=print)\n': (
        r'mine\.py:5: this plug-in already has the model "q"'
    ),
    RULE + 'class Mine(Rule):\n    entry = RuleEntry("mine", "M", "")\n': r"mine\.py:6: the rule Mine lacks declares",
    RULE + 'class Mine:\n    entry = RuleEntry("mine", "M", "")\n': r"mine\.py:6: the rule 'mine' has no class",
    RULE + 'entry = RuleEntry("mine", "M", "")\n': r"mine\.py:5: the rule 'mine' has no class: make it `entry` of a",
    HEAD + 'class Mine:\n    entry = ModelEntry("q", "Q", "", build=print)\n': r"mine\.py:5: the model 'q' is in a cl",
    "import sys\nsys.exit(3)\n": rf"mine\.py:2: {FAILS}: SystemExit: 3: correct it there",
    "x = 1\n": r"mine\.py: it provides nothing",
}
SUITE = """\
[suite]
name = "s"
plugins = ["mine.py"]

[[grid]]
dataset = "digits"
model = "mlp"
rule = "bp"
lr = 1
"""


@pytest.fixture
def before() -> dict[str, list[str]]:
    return {kind: list(entries) for kind, entries in CATALOG.items()}


@pytest.mark.parametrize("text", BAD)
def test_it_is_one_line_at_its_place(tmp_path: Path, before: dict[str, list[str]], text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "s.toml").write_text(SUITE)
    with pytest.raises(SuiteError) as caught:
        load(str(tmp_path / "s.toml"))
    assert re.search(rf"s\.toml:3:12: \S*{BAD[text]}", str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert {kind: list(entries) for kind, entries in CATALOG.items()} == before


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nix.py", r"nix\.py: there is no such plug-in file: correct the path"),
        ("no.such.module", r"no\.such\.module: there is no such plug-in module: install"),
    ],
)
def test_a_plug_in_that_is_not_there(named: str, says: str) -> None:
    with pytest.raises(SuiteError, match=says):
        load_plugin(named)


def test_the_names_of_plug_ins_are_strings(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SUITE.replace('["mine.py"]', "[1]"))
    with pytest.raises(SuiteError, match=r"s\.toml:3:11: plugins must be a list of files or modules, as in"):
        load(str(tmp_path / "s.toml"))


def test_the_text_of_a_database_loads_nothing(tmp_path: Path) -> None:
    from asapbench.suite.load import parse

    (tmp_path / "mine.py").write_text("raise SystemExit('the plug-in was run')")
    assert len(parse(SUITE, source=str(tmp_path / "s.toml")).cells) == 1
