"""A table as HTML: marked up for readers and for screen readers, and nothing of its text runs."""

from __future__ import annotations

from html.parser import HTMLParser

from asapbench.report.render import Format, render
from asapbench.report.render.html import table_part
from asapbench.report.table import Column, Field, Group, Note, Row, Table

NASTY = "</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
VOID = ("meta", "img", "br", "hr", "input", "link")


class Outline(HTMLParser):
    """The elements in order; fails where one ends that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def table(text: str = "A") -> Table:
    best, other = Field("94.10 ± 0.20", emphasis="strong"), Field("-1.20", ("a",), emphasis="faint")
    return Table(
        title=text,
        caption=text,
        columns=(Column(text, "left"), Column("BP"), Column("ASAP")),
        groups=(Group(text, (Row((Field(text), best, other)), Row((Field("published", indent=1), other, other)))),),
        notes=(Note(text, mark="a"), Note(text, commands=(f"asapbench run {text}",))),
        numbers=(),
        summary=text,
    )


def test_it_is_well_formed_and_names_rows_and_columns() -> None:
    outline = Outline(render(table(), Format.HTML))
    assert [one["scope"] for one in outline.named("th")] == ["col", "col", "col", "rowgroup", "row", "row"]
    ids = {attributes["id"] for _, attributes in outline.found if "id" in attributes}
    assert {one["href"].removeprefix("#") for one in outline.named("a")} <= ids
    assert {one["aria-labelledby"] for one in outline.named("table")} <= ids


def test_the_best_of_a_row_is_bold_and_nothing_else_is() -> None:
    assert [text for text in render(table(), Format.HTML).split("<strong>")[1:] if text[:5] != "94.10"] == []
    assert "<strong>94.10 ± 0.20</strong>" in render(table(), Format.HTML)


def test_a_negative_number_has_a_minus_sign() -> None:
    assert "\N{MINUS SIGN}1.20" in render(table(), Format.HTML)


def test_no_text_is_markup() -> None:
    outline = Outline(render(table(NASTY), Format.HTML))
    assert outline.named("img") == []
    assert outline.named("script") == []
    assert outline.texts.count(NASTY) == 8
    assert f"asapbench run {NASTY}" in outline.texts


def test_the_parts_of_a_page_have_ids_of_their_own() -> None:
    parts = [Outline(str(table_part(table(), id=id))) for id in ("one", "two")]
    first, second = ({attributes.get("id") for _, attributes in part.found} - {None} for part in parts)
    assert first
    assert not first & second


def test_a_document_names_no_other_file() -> None:
    text = render(table(), Format.HTML)
    assert "http" not in text.replace("http-equiv", "")
    assert Outline(text).named("link") == []
