"""Entries with options as one text, as `suite.cell.name` writes them: `fa(linear_feedback=kaiming)`."""

from __future__ import annotations

import re

from asapbench.errors import SuiteError
from asapbench.suite.catalog import CATALOG
from asapbench.suite.options import Value
from asapbench.suite.plugins import unknown


def spelled(kind: str, text: str) -> tuple[str, dict[str, Value]]:
    """The name and the options that `text` gives an entry of `kind`: `NAME` or `NAME(OPTION=VALUE, ...)`.

    Raises SuiteError for another form, or an unknown name; options are checked when the entry is chosen.

    >>> spelled("rule", "asap(k=4, matching=average)")
    ('asap', {'k': 4, 'matching': 'average'})
    """
    match = re.fullmatch(r"\s*([^\s(]+?)\s*(?:\((.*)\)\s*)?", text, flags=re.DOTALL)
    if match is None:
        raise SuiteError(f"{kind} {text}: write NAME or 'NAME(OPTION=VALUE, ...)'")
    name, inner = match[1], match[2] or ""
    if name not in CATALOG[kind]:
        raise SuiteError(f"{kind} {text}: {unknown(kind, name)}")
    kinds = {option.name: type(option.default) for option in CATALOG[kind][name].options}
    given: dict[str, Value] = {}
    for part in filter(None, (each.strip() for each in inner.split(","))):
        option, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not option or not value:
            raise SuiteError(f"{kind} {text}: {part}: write OPTION=VALUE")
        if option in given:
            raise SuiteError(f"{kind} {text}: {option} is given twice")
        given[option] = _value(value, kinds.get(option, str))
    return name, given


def _value(text: str, kind: type) -> Value:
    """`text` in the type of an option's default where it reads so; else as it is, which the option refuses."""
    if kind is bool and text in ("true", "false"):
        return text == "true"
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        return text
