"""What reports read from the database: all results, or a suite with the suite file of the run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asapbench.errors import AsapbenchError, NoDatabaseError, StoreError, SuiteError
from asapbench.report.configuration import counted, entries
from asapbench.report.table import Note
from asapbench.suite import plugins
from asapbench.suite.catalog import RULES
from asapbench.suite.grid import data_of_cells
from asapbench.suite.load import Suite, load, parse, shipped
from asapbench.suite.options import nearest, there_are
from asapbench.suite.select import matching, only
from asapbench.suite.target import Target

OutcomeT = TypeVar("OutcomeT", bound="Outcome")

if TYPE_CHECKING:
    from asapbench.certificate import Certificate
    from asapbench.store import Outcome, Store
    from asapbench.store.records import SuiteRecord
    from asapbench.suite.cell import Cell


def recorded_results(
    url: str, filters: Sequence[str] = (), *, of: Sequence[Cell] = ()
) -> tuple[list[Outcome], list[Note]]:
    """The results in the database at `url` that pass the filters, and notes that say which results these are.

    None if the default database does not exist yet. `of` are the cells that the report is about: discarded results are
    counted where they have the data set, model and rule of one of them. Raises StoreError for another database that
    does not exist, as its name is probably misspelled, and SuiteError for a filter that no cell passes.
    """
    from asapbench.store import DEFAULT_URL, Store

    try:
        with Store.read_only(url) as store, naming_discarded(store, filters):
            return passing(store.outcomes(), filters), chosen_notes(store, filters, of=of)
    except NoDatabaseError:
        if url == DEFAULT_URL:
            return [], []
        raise


def passing(results: Sequence[OutcomeT], filters: Sequence[str]) -> list[OutcomeT]:
    """The results whose cells pass the filters. Raises SuiteError for a filter that no cell passes."""
    if not filters or not results:
        return list(results)
    kept = {cell.stored_id for cell in only([result.cell for result in results], filters)}
    return [result for result in results if result.cell.stored_id in kept]


def chosen_notes(
    store: Store, filters: Sequence[str], *, suite: str | None = None, of: Sequence[Cell] = ()
) -> list[Note]:
    """For a report: which cells of a suite, or of all, it is about, and how many discarded ones it leaves out."""
    cells = matching(store.discarded_cells(suite=suite), filters)
    if of:
        wanted = {entries(cell) for cell in of}
        cells = [cell for cell in cells if entries(cell) in wanted]
    words = shlex.join([word for text in filters for word in ("--only", text)])
    shown = [Note(f"Only cells that match {words}.")] if filters else []
    return [*shown, *discarded_note(len(cells), suites=[suite] if suite else [])]


def recorded_certificates(url: str) -> list[Certificate]:
    """As `current_certificates`, of the database at `url`; none if there is no database."""
    from asapbench.store import Store

    try:
        with Store.read_only(url) as store:
            return current_certificates(store)
    except NoDatabaseError:
        return []


def current_certificates(store: Store) -> list[Certificate]:
    """The newest certificates of the rules and plug-ins as they are now: of their revision and digest."""
    loaded, found = plugins.versions(), []
    for issued in store.certificates():
        one = issued.certificate
        entry, key = RULES.get(one.rule_name), f"rule {one.rule_name}"
        is_same = store.provenance(issued.provenance_id).versions.get(key) == loaded.get(key)
        if is_same and entry is not None and entry.revision == one.rule_revision:
            found.append(one)
    return found


@dataclass(frozen=True)
class RecordedSuite:
    """A suite of the database and the title to show. `file` is the suite file of the run, where it is known.

    `target` is that of the file that the user names, else of the run's, where one of them has one. `notes`
    explain where this file differs from what the user may expect.
    """

    name: str
    title: str
    file: Suite | None
    notes: tuple[Note, ...] = ()
    target: Target | None = None


def suites_there(url: str) -> str:
    """` (there are: quickstart)`: the suites of the database at `url`; nothing if there is no database."""
    from asapbench.store import Store

    try:
        with Store.read_only(url) as store:
            return there_are(record.name for record in store.suites())
    except NoDatabaseError:
        return ""


def to_run(known: RecordedSuite, suite: str) -> str:
    """What `asapbench run` takes for the suite that the user calls `suite`: this, or the file of the run."""
    file = None if os.path.isfile(suite) or suite in shipped() else known.file
    return file.source if file else suite


def recorded_suite(store: Store, suite: str, *, option: str = "--suite ", command: str = "run") -> RecordedSuite:
    """The suite that `suite` names: a file, a shipped suite, or a suite of the database.

    The title is that of the file that the user names. A shipped suite whose cells differ from those of the run has the
    title of the run: the results may belong to another file of that name.
    Raises AsapbenchError, with the `command` that trains the suite, if the database holds nothing of it; its text
    starts with the `option` that names the suite.
    """
    from asapbench.store import db_option, to_paste

    named = load(suite, all_seeds=False) if os.path.isfile(suite) or suite in shipped() else None
    name = named.name if named else suite
    known = {record.name: record for record in store.suites()}
    if name not in known:
        words = f"asapbench {command} {shlex.quote(suite) if named else 'FILE'}"
        run = " && ".join(to_paste([words], f"{plugins.options()}{db_option(store.url)}"))
        near = "" if named else nearest(suite, {*known, *shipped()})
        raise AsapbenchError(
            f'{option}{suite}: the database holds nothing of suite "{name}"{near}{there_are(known)}. To train it: {run}'
        )
    record = known[name]
    if record.text is None:
        return RecordedSuite(name, named.title if named else name, named, target=named.target if named else None)
    try:
        complete = data_of_cells(partial(store.group_cells, name))
        file = parse(record.text, source=record.source, complete=complete, all_seeds=False)
    except SuiteError as error:
        reason = str(error).splitlines()[0].removeprefix(f"{record.source}:")
        text = f"The suite file of the run cannot be read here ({reason}): deviations from the file are not marked."
        target = named.target if named else None
        return RecordedSuite(name, named.title if named else name, None, (Note(text),), target)
    if file.name != name:  # a list of trials has the text of the suite whose search asked for them
        return RecordedSuite(name, name, None)
    notes = _differing(suite, named, file, record)
    shown = named if named and (os.path.isfile(suite) or not notes) else file
    return RecordedSuite(name, shown.title, file, notes, shown.target or file.target)


def left_out_note(unreadable: Sequence[str]) -> list[Note]:
    """Which cells a report leaves out, as this version cannot read them."""
    return [Note(plugins.lacking(unreadable))] if unreadable else []


def discarded_note(number: int, *, suites: Sequence[str] = ()) -> Iterator[Note]:
    """How many discarded cells a report leaves out, and the command that lists them with the reasons."""
    if number:
        text = f"{number} discarded cell{'' if number == 1 else 's'} left out. To list, with the reasons:"
        yield Note(text, (shlex.join(["asapbench", "list", *suites, "--state", "discarded"]),))


def why_left_out(
    store: Store, filters: Sequence[str] = (), *, suites: Sequence[str] = (), rules: Collection[str] = ()
) -> str:
    """How many cells of these suites, or of all, that match the filters are discarded, why, and how to restore them.

    `rules` are the names of those that count, by default all. Empty where no cell is discarded.
    """
    from asapbench.store import db_option, to_paste

    chosen: Sequence[str | None] = suites or (None,)
    found = {cell.stored_id: cell for suite in chosen for cell in store.discarded_cells(suite=suite)}
    number = sum(not rules or cell.rule.name in rules for cell in matching(found.values(), filters))
    option = db_option(store.url)
    words = ["asapbench", "list", *suites, *(word for text in filters for word in ("--only", text))]
    are = f"{counted(number, 'cell')} {'is' if number == 1 else 'are'} discarded"
    listing = f"{shlex.join([*words, '--state', 'discarded'])}{option}"
    restoring = " && ".join(to_paste(["asapbench restore CELL"], option))
    return f"{are}; `{listing}` shows why, `{restoring}` restores one" if number else ""


@contextmanager
def naming_discarded(
    store: Store, filters: Sequence[str], *, suites: Sequence[str] = (), rules: Collection[str] = ()
) -> Iterator[None]:
    """Adds to an error, which may be for lack of discarded cells, what `why_left_out` says."""
    try:
        yield
    except StoreError:
        raise
    except AsapbenchError as error:
        if discarded := why_left_out(store, filters, suites=suites, rules=rules):
            raise type(error)(f"{error} ({discarded})") from error
        raise


def differing_plugins(store: Store, results: Sequence[Outcome]) -> Iterator[Note]:
    """A warning for each entry whose results for one configuration come from several versions of its plug-in.

    Also if they come from another version than the one that this process has loaded.
    """
    if not store.has_plugins():
        return
    ran = store.provenances_of([result.attempt.lineage for result in results])
    loaded = plugins.versions()
    found: dict[tuple[str, str], set[str]] = {}
    for result in results:
        for provenance in ran[result.attempt.lineage]:
            for key, plugin in result.cell.plugins_in(provenance.versions).items():
                found.setdefault((result.cell.group, key), set()).add(plugin)
    texts: set[str] = set()
    for (_, key), versions in found.items():
        shown = " and ".join(sorted(map(plugins.shortened, versions)))
        now = loaded.get(key, "")
        if len(versions) > 1:
            texts.add(f"{key} come from different versions of its plug-in ({shown})")
        elif now and now not in versions:
            than = plugins.shortened(now)
            texts.add(f"{key} come from another version of its plug-in ({shown}) than is loaded ({than})")
    fix = "train them again with one version, by rerun, or raise the revision of the entry"
    for text in sorted(texts):
        yield Note(f"Results of the {text}: {fix}.")


def _differing(suite: str, named: Suite | None, file: Suite, record: SuiteRecord) -> tuple[Note, ...]:
    """A note if the file that the user names has other cells than the file of the run."""
    if named is None or {cell.group for cell in named.cells} == {cell.group for cell in file.cells}:
        return ()
    which = f"The shipped suite {suite}" if suite in shipped() and not os.path.isfile(suite) else suite
    ran = re.split(r"[/\\]", record.source)[-1]
    text = f"{which} has other cells than the file of the run ({ran}): rows are compared with the file of the run."
    return (Note(f"{text} To run its current cells:", (f"asapbench run {shlex.quote(suite)}",)),)
