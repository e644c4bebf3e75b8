"""A wrong declaration is one error that names the plug-in's line, the entry and the fix; shipped entries have none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asapbench.errors import PluginError
from asapbench.suite import plugins
from asapbench.suite.catalog import CATALOG
from asapbench.suite.validation import fault

IMPORTS = """\
from asapbench.data.published import PublishedFiles
from asapbench.suite.entries import ModelEntry, OptimizerEntry
from asapbench.suite.options import Option
from asapbench.suite.entries import ScheduleEntry

"""
NAMES = "a lower-case letter, then at most 63 lower-case letters, digits and underscores: a suite writes it"
MODEL = {
    '"q", "Q", "", build=3': "the model 'q': its build must be a function, not 3",
    '"q", "Q", "", build=print, layers="l"': "its layers must be a function or None, not 'l'",
    '"q", "Q", "", build=print, has_shortcuts=1': "its has_shortcuts must be True or False, not 1",
    '"q", "Q", None, build=print': "its source must be a string, not None",
    '"q", "", "", build=print': "its title must be printable text, not ''",
    '"q", "Q", "", 0, build=print': "its revision must be at least 1, not 0",
    '3, "Q", "", build=print': "the model 3: its name must be a string, not 3",
    '"", "Q", "", build=print': f"its name must be {NAMES}",
    '"my model", "Q", "", build=print': f"the model 'my model': its name must be {NAMES}",
    '"Tower", "Q", "", build=print': f"its name must be {NAMES}",
    '"q", "Q", "", build=print, options=Option("k", 1, "")': "its options must be a tuple, not Option(",
    '"q", "Q", "", build=print, options=("k",)': "its options must be a tuple of Option, and one is 'k'",
}
OPTION = {
    '"k", 1, "", choices=(2, 3)': "its option 'k': its default is not allowed: k must be one of 2, 3, not 1",
    '"k", 0, "", minimum=1': "its default is not allowed: k must be at least 1, not 0",
    '"k", 2, "", choices=(2, 2.5)': "a choice is not allowed: k must be a whole number, not 2.5",
    '"k", [1], ""': "its option 'k': its default must be a string, a number, True or False, not a list",
    '"k", "a", "", choices="ab"': "its choices must be a tuple, not 'ab'",
    '"k", 1, "", role="other"': "its role must be 'setting' or",
    '"k", 1, "", minimum="0"': "its minimum must be a number or None, not '0'",
    '"my k", 1, ""': f"its option 'my k': its name must be {NAMES}",
    '"name", 1, ""': "its option 'name': a suite means something else by this word: rename it",
    '"epochs", 1, ""': "its option 'epochs': a suite means something else by this word: rename it",
    '"lr", 1.0, ""': "its option 'lr': a suite means something else by this word: rename it",
    '"k", 1, ""), Option("k", 2, ""': "it has 2 options called 'k': rename or remove one",
}
OTHERS = {
    'OptimizerEntry("q", "Q", "", build=print, moments=1.5)': "the optimizer 'q': its moments must be a whole number",
    'OptimizerEntry("q", "Q", "", build=print, fault=None)': "its fault must be a function, not None",
    'ScheduleEntry("q", "Q", "", factor=0.5)': "the schedule 'q': its factor must be a function, not 0.5",
    'PublishedFiles("q", "Q", "", read=print)': "the dataset 'q': it lacks the option train_size: add",
    'PublishedFiles("q", "Q", "", read=print, augment="flip")': "its augment must be 'none' or 'crop_flip', not 'flip'",
    'PublishedFiles("q", "Q", "", read=print, classes="10")': "its classes must be a whole number, not '10'",
    'PublishedFiles("q", "Q", "", read="me")': "its read must be a function, not 'me'",
}
CASES = {f"ModelEntry({text})": says for text, says in MODEL.items()}
CASES |= {f'ModelEntry("q", "Q", "", build=print, options=(Option({text}),))': says for text, says in OPTION.items()}


@pytest.mark.parametrize(("text", "says"), [*CASES.items(), *OTHERS.items()])
def test_it_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "wrong.py").write_text(f"{IMPORTS}\nown = {text}\n")
    before = {kind: list(entries) for kind, entries in CATALOG.items()}
    with pytest.raises(PluginError, match=rf"^\S*wrong\.py:7: .*{re.escape(says)}") as caught:
        plugins.load(str(tmp_path / "wrong.py"))
    assert "\n" not in str(caught.value)
    assert {kind: list(entries) for kind, entries in CATALOG.items()} == before


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in CATALOG.items() for name in table])
def test_shipped_entries_pass_the_same_checks(kind: str, name: str) -> None:
    assert fault(CATALOG[kind][name]) is None
