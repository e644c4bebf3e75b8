"""`asapbench html` writes the page to a file, and replaces one only where it is told to."""

from __future__ import annotations

from pathlib import Path

from commands import Commands

from asapbench.store import Store
from asapbench.suite.load import load


def test_it_writes_the_page_and_replaces_a_file_only_with_force(asapbench: Commands, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    with Store.open(url) as store:
        store.record_suite("quickstart", "quickstart.toml", load("quickstart").cells)
    out = tmp_path / "page.html"
    said = asapbench("html", "quickstart", "--only", "rule=bp", "--out", str(out), "--db", url)
    assert (said.status, said.out) == (0, f"{out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser\n")
    assert "<dt>Cells</dt><dd>6</dd>" in out.read_text(encoding="utf-8")
    again = asapbench("html", "--out", str(out), "--db", url)
    assert (again.status, "exists already: name another file, or replace it with --force" in again.err) == (2, True)
    assert asapbench("html", "--out", str(out), "--force", "--db", url).status == 0


def test_without_a_database_it_says_so_and_writes_nothing(asapbench: Commands, tmp_path: Path) -> None:
    said = asapbench("html", "--out", str(tmp_path / "page.html"), "--db", f"sqlite:///{tmp_path}/none.sqlite")
    assert said.status == 2
    assert "no database at" in said.err
    assert list(tmp_path.iterdir()) == []


def test_it_takes_the_numbers_that_report_takes_and_refuses_what_report_refuses(
    asapbench: Commands, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    with Store.open(url) as store:
        store.record_suite("quickstart", "quickstart.toml", load("quickstart").cells)
    out = tmp_path / "page.html"
    made = asapbench("html", "--metric", "best-val", "--spread", "range", "--out", str(out), "--db", url)
    assert made.status == 0
    text = out.read_text(encoding="utf-8")
    assert "at the best validation epoch (best-val)" in text
    for wrong in (["--select", "lr"], ["--metric", "worst"], ["--spread", "wide"]):
        refused = asapbench("html", *wrong, "--out", str(out), "--force", "--db", url)
        alone = asapbench("report", "--suite", "quickstart", *wrong, "--db", url)
        assert (refused.status, refused.err.splitlines()[-1]) == (alone.status, alone.err.splitlines()[-1])
        assert refused.status == 2
    assert out.read_text(encoding="utf-8") == text
