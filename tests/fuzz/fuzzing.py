"""What the fuzz tests share: how many examples they try, what a refusal is, and text that makes trouble.

`ASAPBENCH_FUZZ=20000 pytest tests/fuzz` tries that many examples a test, other ones each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from in_process import Said

EXAMPLES = int(os.environ.get("ASAPBENCH_FUZZ", "0"))

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What must not reach a terminal from a user's text: control codes, and marks that reverse what is read."""

NASTY = (
    "",
    " ",
    "-",
    "--",
    "..",
    "../../x",
    "/",
    "~",
    "~nobody-of-this-name/x",
    "'; DROP TABLE cell; --",
    "$(touch x)",
    "=cmd|' /C calc'!A1",
    "[red]bold[/red]",
    r"\input{/etc/passwd}",
    "$x_1$",
    "\x1b[31mred\x1b]0;title\x07",
    "two\nlines\r\nor three",
    "\u202egnp.exe",
    "\udcff\udc80",
    "\ufeffbp",
    "ｂｐ",
    "аsap",
    "٣",
    "9" * 5000,
    "a" * 5000,
    "nan",
    "inf",
    "-1",
    "1e999",
    "0x10",
    "true",
    "[" * 2000,
    "{a={a={a={}}}}",
)


def fuzz(examples: int, **more: Any) -> Callable[[Any], Any]:
    """Settings of a fuzz test: `examples` of them, always the same, unless the environment asks for more."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def nasty_text() -> st.SearchStrategy[str]:
    """Anything a command line can hold: bytes that are no UTF-8 too (as surrogates), but no null byte."""
    letters = st.characters(codec="utf-8", exclude_characters="\0")
    bytes_ = st.integers(0xDC80, 0xDCFF).map(chr)
    return st.one_of(st.sampled_from(NASTY), st.text(st.one_of(letters, bytes_), max_size=40))


def listing() -> list[str]:
    """The content of the working folder, except what a reader of a database leaves there."""
    return sorted(name for name in os.listdir() if not name.endswith(("-shm", "-wal")))


def check_refusal(said: Said) -> None:
    """One error, exit status 2, no traceback, nothing that moves a cursor."""
    assert said.status == 2, said
    assert "Traceback (most recent call last)" not in said.out + said.err
    assert said.err.startswith(("error:", "Usage:")), said.err
    assert not CONTROL.search(said.out + said.err), said
