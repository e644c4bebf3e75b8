"""The command line in this process: fast, for what does not train. Its streams are as strict as a terminal's."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

from asapbench.cli import main


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


def asapbench(*arguments: str, encoding: str = "utf-8") -> Said:
    """What `asapbench ARGUMENTS` prints and its exit status; an error that it does not expect is raised."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", write_through=True)
    status: object = 0
    with (
        patch.object(sys, "argv", ["asapbench", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    assert isinstance(status, int), status
    return Said(status, *(stream.buffer.getvalue().decode(encoding) for stream in (out, err)))
