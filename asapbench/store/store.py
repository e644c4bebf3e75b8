"""`Store`: the results database as the rest of the package sees it. Each method is one transaction."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from sqlalchemy import Connection

from asapbench.durable import sync_directories
from asapbench.errors import AttemptLostError, NoDatabaseError, StoreError
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.store import attempts as attempt_rows
from asapbench.store import cells as cell_rows
from asapbench.store import certificates as certificate_rows
from asapbench.store import changes as change_rows
from asapbench.store import claims, migrate
from asapbench.store import discards as discard_rows
from asapbench.store import epochs as epoch_rows
from asapbench.store import export as export_rows
from asapbench.store import listing as listing_rows
from asapbench.store import measurements as measurement_rows
from asapbench.store import merge as merging
from asapbench.store import overview as overview_rows
from asapbench.store.connect import Database, connect
from asapbench.store.quarantine import require_whole
from asapbench.store.records import DEFAULT_URL, Attempt, Claim, Measured, Merged

P = ParamSpec("P")
T = TypeVar("T")


def _reading(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Store, P], T]:
    """A method of `Store` that is `work` in one transaction; signature and documentation are those of `work`."""

    @wraps(work)
    def method(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return store._database.read(work, *args, **kwargs)

    return method


def _writing(
    work: Callable[Concatenate[Connection, P], T], **made: Callable[[], str]
) -> Callable[Concatenate[Store, P], T]:
    """`_reading` for a transaction that writes.

    `made` are arguments made once per call: by them a repeated transaction finds what it has written already.
    """

    @wraps(work)
    def method(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        once: Callable[Concatenate[Connection, P], T] = partial(
            cast("Any", work), **{n: make() for n, make in made.items()}
        )
        return store._database.write(once, *args, **kwargs)

    return method


class Store:
    """An open results database. `open` or `read_only` make it; every method may raise StoreError, which names it.

    If a PostgreSQL server goes away, a method waits for it and repeats its transaction; nothing is written twice.
    """

    def __init__(self, database: Database, *, upgraded_from: str | None = None):
        self._database = database
        self.upgraded_from = upgraded_from
        """The revision of which the database was when `open` upgraded it; None if it was not."""

    @classmethod
    def open(cls, url: str = DEFAULT_URL) -> Store:
        """The database at `url` for reading and writing; created if it is missing, upgraded if it is old.

        The directory of the default database is created too; that of another one must exist. Raises StoreError, also
        if the file is damaged: then nothing is written to it.
        """
        database = connect(url, writable=True)
        if database.path is not None:
            _check_place(database.path, name=database.name, make_directory=url == DEFAULT_URL)
        return cls._checked(database, _prepare)

    @classmethod
    def existing(cls, url: str = DEFAULT_URL, *, cells: Sequence[str] = ()) -> Store:
        """As `open`, but raises NoDatabaseError if there is no database, or an empty one.

        Raises StoreError, before anything is changed, unless each of `cells` is the beginning of one cell's identity.
        """
        with closing(connect(url, writable=False)) as database:
            if database.path is not None:
                _require_file(database.path, name=database.name)
                _check_file(database.path, name=database.name)
            migrate.require_results(database)
            for prefix in cells:
                database.read(cell_rows.find_id, prefix)
        return cls.open(url)

    @classmethod
    def read_only(cls, url: str = DEFAULT_URL) -> Store:
        """The database at `url` for reading, also during writes. Raises StoreError, also if there is none."""
        database = connect(url, writable=False)
        if database.path is not None:
            _require_file(database.path, name=database.name)
            _check_file(database.path, name=database.name)
        return cls._checked(database, migrate.check)

    @classmethod
    def _checked(cls, database: Database, check: Callable[[Database], str | None]) -> Store:
        try:
            upgraded_from = check(database)
        except BaseException:
            database.close()
            raise
        return cls(database, upgraded_from=upgraded_from)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection. What was written is already durable."""
        self._database.empty_log()
        self._database.close()

    @property
    def url(self) -> str:
        """The URL given to `open` or `read_only`; it contains PostgreSQL's password."""
        return self._database.url

    @property
    def name(self) -> str:
        """The database's name in messages: the file, or the URL without its password."""
        return self._database.name

    @property
    def path(self) -> Path | None:
        """The file, absolute; None for PostgreSQL."""
        return self._database.path

    def require_whole(self) -> None:
        """Raises StoreError if the file is damaged. Reads all of it."""
        require_whole(self._database)

    def enable_retries(self, say: Callable[[str], None]) -> None:
        """From now on, methods wait for a lock, a full disk and a server that is away, and tell `say` about it."""
        self._database.retry_policy = RetryPolicy(RETRY_SECONDS, say=say)

    def give_up(self) -> None:
        """From now on, methods fail instead of waiting. Safe to call from a signal handler."""
        self._database.retry_policy.seconds = 0.0

    # Suites and cells

    record_suite = _writing(cell_rows.record_suite)
    suites = _reading(cell_rows.all_suites)
    suites_of = _reading(cell_rows.suites_of)
    readable_cells = _reading(cell_rows.readable_cells)
    group_cells = _reading(cell_rows.group_cells)
    suite_plugins = _reading(cell_rows.suite_plugins)
    data_sets = _reading(cell_rows.data_sets)
    configuration = _reading(cell_rows.configuration)
    discards = _reading(discard_rows.current)
    discarded_cells = _reading(listing_rows.discarded_cells)
    outdated_cells = _reading(cell_rows.outdated)
    find_cell_id = _reading(cell_rows.find_id)

    # Claims, and the writes that need one

    claim = _writing(claims.claim, attempt_id=lambda: uuid.uuid4().hex)
    finish = _writing(claims.finish, ended_at=cell_rows.now)
    running = _reading(attempt_rows.running)
    take_over = _writing(claims.take_over)
    supersede = _writing(claims.supersede, decided_at=cell_rows.now)
    discard = _writing(discard_rows.discard, decided_at=cell_rows.now)
    restore = _writing(discard_rows.restore, decided_at=cell_rows.now)
    record_measurements = _writing(measurement_rows.add, measured_at=cell_rows.now)
    record_certificates = _writing(certificate_rows.add, checked_at=cell_rows.now)

    def heartbeat(self, held: Sequence[Claim]) -> list[Claim]:
        """Advances the lease of each claim, all in one commit. Returns the lost claims, unchanged."""
        kept = self._database.write(claims.advance, held)
        for claim in kept:  # only now is it durable
            claim.lease += 1
        current = {claim.attempt_id for claim in kept}
        return [claim for claim in held if claim.attempt_id not in current]

    def record_epochs(self, claim: Claim, rows: Sequence[EpochMetrics], layers: Sequence[LayerRow] = ()) -> None:
        """Adds the missing epochs and rows of layers; repeating it is harmless.

        Raises AttemptLostError for a claim that is no longer current, StoreError for a row that differs from
        the one stored. Then nothing was written.
        """
        self.record_many([Measured(claim, rows, layers)])

    def record_many(self, measured: Sequence[Measured]) -> None:
        """`record_epochs` for several claims in one commit.

        A refused claim does not affect the others: they are written, then its error is raised
        (AttemptLostError before StoreError). `record_epochs` for each shows which one it was.
        """
        refused = self._database.write(claims.record_many, measured)
        if refused:
            raise next((error for error in refused if isinstance(error, AttemptLostError)), refused[0])

    def release_dead(self, *, stale: Callable[[Attempt], bool] = lambda _: False) -> list[Attempt]:
        """Takes over each running attempt whose owner is dead or whose lease is `stale`. Returns them."""
        dead = [attempt for attempt in self.running() if attempt.owner.is_dead() or stale(attempt)]
        return [attempt for attempt in dead if self.take_over(attempt)]

    # Sharing

    chosen = _reading(export_rows.chosen)

    def export(
        self,
        path: Path,
        *,
        suites: Sequence[str] = (),
        filters: Sequence[str] = (),
        anonymous: bool = False,
        force: bool = False,
    ) -> Merged:
        """Writes the cells of these suites (default: all) that match the filters to a new database.

        Returns the counts of its content. The file is written whole or not at all, and overwrites only with `force`.
        Raises StoreError, SuiteError for a filter that no cell matches.
        """
        with export_rows.written(path, database=self._database, force=force) as file:
            return self._database.read(export_rows.fill, file, suites=suites, filters=filters, anonymous=anonymous)

    def merge(self, others: Sequence[Database]) -> list[Merged]:
        """Adds the content of the databases (see `untrusted_import.opened`) to this one, in one transaction.

        A running attempt whose owner is dead is taken over first; cells that a live run trains are left out.
        """
        self.release_dead()
        return self._database.write(merging.merge_all, others)

    # Reading

    listed = _reading(listing_rows.listed)
    trained = _reading(listing_rows.trained)
    labels = _reading(cell_rows.labels)
    change_mark = _reading(change_rows.mark)
    kind_counts = _reading(overview_rows.kind_counts)
    recorded_cells = _reading(overview_rows.recorded_cells)
    running_attempts = _reading(overview_rows.running_attempts)
    problems = _reading(overview_rows.problems)
    ended_since = _reading(overview_rows.ended_since)
    require_suite = _reading(cell_rows.require_suite)
    results = _reading(attempt_rows.results)
    outcomes = _reading(attempt_rows.outcomes)
    suite_outcomes = _reading(attempt_rows.suite_outcomes)
    progress = _reading(attempt_rows.progress)
    has_plugins = _reading(attempt_rows.has_plugins)
    results_of = _reading(attempt_rows.results_of)
    unreadable_cells = _reading(attempt_rows.unreadable_cells)
    states = _reading(attempt_rows.states)
    ended_cells = _reading(attempt_rows.ended_cells)
    attempts = _reading(attempt_rows.of_cell)
    epochs = _reading(epoch_rows.of_lineage)
    validation_accuracies = _reading(epoch_rows.validation_accuracies)
    times_to = _reading(epoch_rows.times_to)
    alignment = _reading(epoch_rows.angles_of_lineage)
    gradient_quality = _reading(epoch_rows.gradient_quality_of_lineage)
    measurements = _reading(measurement_rows.newest)
    certificates = _reading(certificate_rows.newest)
    provenance = _reading(attempt_rows.provenance)
    provenances_of = _reading(attempt_rows.provenances_of)
    devices_of = _reading(attempt_rows.devices_of)
    measured_seconds_per_epoch = _reading(attempt_rows.timings)
    measured_peak_bytes = _reading(attempt_rows.peaks)


def _prepare(database: Database) -> str | None:
    require_whole(database)
    return migrate.prepare(database)


def _check_place(path: Path, *, name: str, make_directory: bool) -> None:
    try:
        if make_directory:
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_directories(path.parent)  # SQLite syncs what is in it
    except OSError as error:
        raise StoreError(f"the directory of {name} cannot be made: {error.strerror}; name another with --db") from error
    if not os.path.isdir(path.parent):
        raise StoreError(f"{name} cannot be made: there is no directory {Path(name).parent}; make it, or change --db")
    _check_file(path, name=name)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise StoreError(f"{name} is read-only: make it writable, or name another with --db")


def _require_file(path: Path, *, name: str) -> None:
    try:
        path.stat()
    except PermissionError as error:
        raise StoreError(
            f"{name}: this user may not enter its folder: change its rights, or use another --db"
        ) from error
    except (OSError, ValueError) as error:
        raise NoDatabaseError(f"no database at {name}: run a suite first, or name another with --db") from error


def _check_file(path: Path, *, name: str) -> None:
    if os.path.isdir(path):
        raise StoreError(f"{name} is a directory: name a file with --db")
