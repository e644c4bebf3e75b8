"""Sphinx extension: parts of pages that are made from the code, documents of the repository as pages, and formulas.

Formulas become MathML, by docutils, so that the site needs no script and no network for them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from generated import PARTS, write_example
from sphinx.util.logging import getLogger

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "results/measured": "results.md",
    "results/measured/README.md": "results.md",
    "docs/decisions": "decisions.md",
}
"""The page of the site that stands for a document or a folder of the repository."""

_log = getLogger(__name__)
_PART = re.compile(rf"^```\{{({'|'.join(PARTS)})\}}(?: (.+))?\n```$", re.MULTILINE)
_DOCUMENT = re.compile(r"^```\{document\} (\S+)(?: between \"(.+)\" and \"(.+)\")?\n```$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)#\s]*)(#[\w-]+)?\)")


def read(_app: Sphinx, name: str, source: list[str]) -> None:
    """Puts in what the page `name` asks for. A link leads to a page, or to a copy of a file."""
    page = DOCS / f"{name}.md"
    text = _with_links(source[0], page, page)
    text = _DOCUMENT.sub(lambda found: _document(page, *found.groups()), text)
    source[0] = _PART.sub(lambda found: PARTS[found[1]](found[2] or ""), text)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Puts the example of a results page beside the pages."""
    if error is None and app.builder.format == "html":
        write_example(Path(app.outdir))


def _document(page: Path, path: str, start: str | None, end: str | None) -> str:
    """A document of the repository, or what lies between two comments of it, with the links that `page` needs."""
    place = (page.parent / path).resolve()
    text = place.read_text(encoding="utf-8")
    if start and end:
        text = text.split(f"<!-- {start} -->", 1)[1].split(f"<!-- {end} -->", 1)[0]
    return _with_links(text, place, page)


def _with_links(text: str, document: Path, page: Path) -> str:
    """`text` of `document` with its links as seen from `page`.

    A document or folder without a page loses its link; of other files the site has a copy.
    """

    def link(found: re.Match[str]) -> str:
        image, words, path, anchor = found.groups(default="")
        if not path:
            return found[0]
        target = (document.parent / path).resolve()
        name = target.relative_to(ROOT).as_posix()
        if name not in PAGES and (target.is_dir() or (target.suffix == ".md" and DOCS not in target.parents)):
            return words
        target = DOCS / PAGES[name] if name in PAGES else target
        return f"{image}[{words}]({Path(os.path.relpath(target, page.parent)).as_posix()}{anchor})"

    return _LINK.sub(link, text)


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node))
    raise SkipNode


def _display(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise SkipNode


def _mathml(node: nodes.Element, *, as_block: bool = False) -> str:
    """A formula; a warning with its place if docutils cannot read it."""
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        _log.warning("%s: %s", node.astext(), error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("source-read", read)
    app.connect("build-finished", finish)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
