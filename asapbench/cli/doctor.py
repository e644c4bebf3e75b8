"""`doctor`: what is wrong with this installation, and how to fix it."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db
from asapbench.cli.settings import Data, FilesDir
from asapbench.cli.text import say, say_wrapped
from asapbench.store import DEFAULT_URL

_SUBJECT = 11
"""Columns of what a finding is about."""


def doctor(
    db: Db = DEFAULT_URL,
    data: Data = None,
    files: FilesDir = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Rename a damaged database; nothing is deleted.")
    ] = False,
) -> None:
    """Say what is wrong with this installation and how to fix it.

    Checks Python, torch, devices, data sets, the database and the free disk space.
    """
    from asapbench.doctor import diagnose
    from asapbench.store.quarantine import quarantine as rename_damaged

    if quarantine:
        say(f"The damaged database is now {rename_damaged(db)}")
    marks = {"ok": "ok     ", "note": "note   ", "fault": "FAULT  "}
    faults = 0
    for finding in diagnose(db=db, data=data, files=files):
        say_wrapped(f"{marks[finding.grade]}{finding.subject:<{_SUBJECT}}", finding.text)
        if finding.fix:
            say_wrapped(" " * (7 + _SUBJECT), f"fix: {finding.fix}")
        faults += finding.grade == "fault"
    say("\nEverything asapbench needs is here." if not faults else f"\n{faults} to fix.")
    raise typer.Exit(1 if faults else 0)
