"""`asapbench report`: parse, call, print."""

from __future__ import annotations

from dataclasses import replace

from asapbench.cli.options import Db, Form, Only, Out, with_measured
from asapbench.cli.settings import with_settings
from asapbench.report.layout import Layout
from asapbench.report.quantity import Wanted
from asapbench.store import DEFAULT_URL


@with_measured
@with_settings()
def report(
    wanted: Wanted, layout: Layout, only: Only = None, form: Form = None, out: Out = None, db: Db = DEFAULT_URL
) -> None:
    """Show tables and figures of measured and published results.

    Example: asapbench report --suite quickstart
    """
    from asapbench.report.build import report as made
    from asapbench.report.out import deliver

    deliver(made(replace(wanted, only=tuple(only or ())), url=db), form=form, out=out, layout=layout)
