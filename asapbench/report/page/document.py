"""The document: everything in one file, which reaches for nothing else and runs no script but its own.

The Content-Security-Policy names each script by its digest. So text of a database that became markup by a fault could
run nothing, and no network is reached.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from asapbench.report.render.html import environment, table_part


def document(values: Mapping[str, Any], *, data: Mapping[str, Any], script: str = "") -> str:
    """The page of these values of the template, and `data` for its script.

    `script` is a further one, of a server that shows the page: with it the page may reach the server it comes from.
    """
    scripts = [own_script(), *([script] if script else [])]
    template = environment().get_template("page.html")
    return template.render(
        **values,
        data=data,
        plotly=plotly(),
        scripts=scripts,
        policy=_policy([plotly(), *scripts], connect="'self'" if script else "'none'"),
        table_part=table_part,
    )


@cache
def plotly() -> str:
    """plotly.js, whole, from its package."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text


@cache
def own_script() -> str:
    """The script of the page."""
    return files("asapbench.report").joinpath("templates/page.js").read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], *, connect: str) -> str:
    """Plotly writes style rules, and makes pictures to save from `data:` and `blob:`."""
    digests = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


@cache
def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
