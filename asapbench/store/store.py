"""`Store`: the results database as the rest of the package sees it. Each method is one transaction."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from asapbench.durable import sync_directories
from asapbench.errors import AttemptLostError, NoDatabaseError, StoreError
from asapbench.metrics import Alignment, EpochMetrics, Measurement
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.store import alignment as angles
from asapbench.store import attempts, claims, epochs, export, measurements, migrate, quick
from asapbench.store import cells as cell_rows
from asapbench.store import merge as merging
from asapbench.store.connect import Database, connect
from asapbench.store.owner_process import OwnerProcess
from asapbench.store.quarantine import require_whole
from asapbench.store.records import (
    DEFAULT_URL,
    Attempt,
    Claim,
    EndState,
    Measured,
    Merged,
    Provenance,
    Result,
    SuiteRecord,
    Timing,
)
from asapbench.suite.cell import Cell


class Store:
    """An open results database. `open` or `read_only` make it; every method may raise StoreError, which names it.

    If a PostgreSQL server goes away, a method waits for it and repeats its transaction; nothing is written twice.
    """

    def __init__(self, database: Database):
        self._database = database

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
    def existing(cls, url: str = DEFAULT_URL) -> Store:
        """As `open`, but raises NoDatabaseError if there is no database."""
        database = connect(url, writable=True)
        if database.path is not None:
            _require_file(database.path, name=database.name)
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
    def _checked(cls, database: Database, check: Callable[[Database], None]) -> Store:
        try:
            check(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection. What was written is already durable."""
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

    def record_suite(self, name: str, source: str, cells: Sequence[Cell], *, text: str | None = None) -> None:
        """Records the suite and its new cells. Writes nothing if nothing has changed.

        `text` is the content of the suite's file `source`.
        """
        self._database.write(cell_rows.record_suite, name, source=source, wanted=cells, text=text)

    def extend_suite(self, name: str, source: str, cells: Sequence[Cell], *, text: str | None = None) -> None:
        """Adds the missing cells to the suite; the others stay, so that `resume` forgets nothing."""
        self._database.write(cell_rows.extend_suite, name, source=source, wanted=cells, database=self.name, text=text)

    def suites(self) -> list[SuiteRecord]:
        """Every suite ever recorded, by name."""
        return self._database.read(cell_rows.all_suites)

    def suite_cells(self, name: str) -> list[Cell]:
        """The cells of a suite in its order. Raises StoreError for an unknown one, with the nearest name."""
        return self._database.read(cell_rows.suite_cells, name, database=self.name)

    def outdated_cells(self, name: str) -> int:
        """How many cells of the suite were trained under an earlier revision of an entry or of the recipe."""
        return self._database.read(cell_rows.outdated, name)

    def find_cell_id(self, prefix: str) -> str:
        """The identity that starts with these digits. Raises StoreError if there is none, or more than one."""
        return self._database.read(cell_rows.find_id, prefix, database=self.name)

    def find_cell(self, prefix: str) -> Cell:
        """The cell whose identity starts with these digits. Raises StoreError as `find_cell_id` does.

        A cell recorded under an earlier revision has another identity now: its attempts are under `find_cell_id`.
        """
        return self._database.read(cell_rows.find, prefix, database=self.name)

    # Claims, and the writes that need one

    def claim(
        self,
        cell: Cell,
        *,
        holder: OwnerProcess,
        provenance: Provenance,
        device: str,
        from_scratch: bool = False,
        lineage: str | None = None,
    ) -> Claim | None:
        """The right to train `cell`; None if another process trains it, or if it is done or diverged.

        A cell that was interrupted, failed or ran out of memory continues the lineage of its current attempt, or
        `lineage` if that is not superseded. `from_scratch` starts a new lineage, for when no checkpoint is left.
        """
        return self._database.write(
            claims.claim,
            cell,
            attempt_id=uuid.uuid4().hex,
            holder=holder,
            provenance=provenance,
            device=device,
            from_scratch=from_scratch,
            lineage=lineage,
        )

    def heartbeat(self, held: Sequence[Claim]) -> list[Claim]:
        """Advances the lease of each claim, all in one commit. Returns the lost claims, unchanged."""
        kept = self._database.write(claims.advance, held)
        for claim in kept:  # only now is it durable
            claim.lease += 1
        current = {claim.attempt_id for claim in kept}
        return [claim for claim in held if claim.attempt_id not in current]

    def record_epochs(self, claim: Claim, rows: Sequence[EpochMetrics], alignment: Sequence[Alignment] = ()) -> None:
        """Adds the missing epochs and angles; repeating it is harmless.

        Raises AttemptLostError for a claim that is no longer current, StoreError for an epoch or angle that differs
        from the one stored. Then nothing was written.
        """
        measured = Measured(claim, rows, alignment)
        if not self._recorded_quickly([measured]):
            self._database.write(claims.record, measured)

    def record_many(self, measured: Sequence[Measured]) -> None:
        """`record_epochs` for several claims in one commit.

        A refused claim does not affect the others: they are written, then its error is raised
        (AttemptLostError before StoreError). `record_epochs` for each shows which one it was.
        """
        if self._recorded_quickly(measured):
            return
        refused = self._database.write(claims.record_many, measured)
        if refused:
            raise next((error for error in refused if isinstance(error, AttemptLostError)), refused[0])

    def _recorded_quickly(self, measured: Sequence[Measured]) -> bool:
        return self._database.path is not None and self._database.write_bare(quick.record, measured)

    def finish(
        self,
        claim: Claim,
        state: EndState,
        *,
        error: str | None = None,
        log_tail: str | None = None,
        bit_exact: bool = True,
        weights_path: str | None = None,
        weights_digest: str | None = None,
    ) -> None:
        """Ends the attempt and computes its accuracies from the epochs of the lineage. Raises AttemptLostError.

        An attempt that resumes one that was not bit-exact is not bit-exact either, whatever `bit_exact` is.
        """
        self._database.write(
            claims.finish,
            claim,
            state,
            ended_at=cell_rows.now(),
            error=error,
            log_tail=log_tail,
            bit_exact=bit_exact,
            weights_path=weights_path,
            weights_digest=weights_digest,
        )

    def running(self) -> list[Attempt]:
        """Every running attempt of every process, oldest first."""
        return self._database.read(attempts.running)

    def take_over(self, attempt: Attempt) -> bool:
        """Marks a running attempt as interrupted. False if its lease has advanced since it was read, or it ended."""
        return self._database.write(claims.take_over, attempt)

    def release_dead(self, *, stale: Callable[[Attempt], bool] = lambda _: False) -> list[Attempt]:
        """Takes over each running attempt whose owner is dead or whose lease is `stale`. Returns them."""
        dead = [attempt for attempt in self.running() if attempt.holder.is_dead() or stale(attempt)]
        return [attempt for attempt in dead if self.take_over(attempt)]

    def supersede(self, cell_ids: Sequence[str]) -> int:
        """Marks every attempt of these cells as superseded, so that they are pending again; nothing is deleted.

        Returns the number of attempts. Raises StoreError, and marks none, if one is running.
        """
        return self._database.write(claims.supersede, cell_ids)

    def record_measurements(
        self, analysis: str, attempt_id: str, rows: Sequence[Measurement], provenance: Provenance
    ) -> None:
        """Appends an analysis of a trained cell; an earlier analysis stays, and no longer counts."""
        self._database.write(
            measurements.add, analysis, attempt_id, rows, provenance=provenance, measured_at=cell_rows.now()
        )

    # Sharing

    def chosen(self, *, suites: Sequence[str] = (), filters: Sequence[str] = ()) -> list[str]:
        """The cells of these suites (default: all) that match the filters.

        Raises StoreError for an unknown suite, SuiteError for a filter that no cell matches.
        """
        return self._database.read(export.chosen, suites, filters, database=self.name)

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
        with export.written(path, database=self._database, force=force) as file:
            return self._database.read(
                export.fill, file, suites=suites, filters=filters, anonymous=anonymous, database=self.name
            )

    def merge(self, others: Sequence[Database]) -> list[Merged]:
        """Adds the content of the databases (see `untrusted_import.opened`) to this one, in one transaction.

        A running attempt whose owner is dead is taken over first; cells that a live run trains are left out.
        """
        self.release_dead()
        return self._database.write(merging.merge_all, others)

    # Reading

    def states(self, cell_ids: Sequence[str]) -> dict[str, Attempt | None]:
        """For each cell its current attempt, the newest that is not superseded; None: pending."""
        return self._database.read(attempts.states, cell_ids)

    def attempts(self, cell_id: str) -> list[Attempt]:
        """Every attempt of a cell, oldest first, superseded ones too."""
        return self._database.read(attempts.of_cell, cell_id)

    def epochs(self, lineage: str) -> list[EpochMetrics]:
        """The epochs of a lineage, in order."""
        return self._database.read(epochs.of_lineage, lineage)

    def alignment(self, lineage: str) -> list[Alignment]:
        """The angles of a lineage by epoch, layers in forward order; empty if they were not measured."""
        return self._database.read(angles.of_lineage, lineage)

    def measurements(self, analysis: str, attempt_ids: Sequence[str]) -> dict[str, list[Measurement]]:
        """The newest rows of an analysis, for each of these attempts that has any."""
        return self._database.read(measurements.newest, analysis, attempt_ids)

    def provenance(self, provenance_id: str) -> Provenance:
        """What an attempt ran on. Raises StoreError for an unknown id."""
        return self._database.read(attempts.provenance, provenance_id, database=self.name)

    def results(self, *, suite: str | None = None, cell_ids: Sequence[str] | None = None) -> list[Result]:
        """The current attempt of each cell that has one, in any state: of a suite in its order, of `cell_ids` in
        theirs, of both, or of all. Raises StoreError for an unknown suite, SuiteError for a cell that cannot be read.
        """
        if suite is None and cell_ids is None:
            return self.all_results()
        if suite is None:
            return self._database.read(attempts.results_of, cell_ids or ())
        found = self._database.read(attempts.suite_results, suite, database=self.name)
        wanted = None if cell_ids is None else set(cell_ids)
        return [result for result in found if wanted is None or result.attempt.cell_id in wanted]

    def all_results(self) -> list[Result]:
        """The current attempt of every cell, except those of `unreadable_cells`."""
        return self._database.read(attempts.all_results)[0]

    def unreadable_cells(self) -> list[str]:
        """Cells with attempts that this version cannot read: their rule, model or data set is not installed."""
        return self._database.read(attempts.all_results)[1]

    def measured_seconds_per_epoch(self) -> list[Timing]:
        """For each configuration (without the seed) and device, the median epoch time of its newest timed attempt."""
        return self._database.read(attempts.timings)

    def measured_peak_bytes(self, kind: str) -> dict[str, int]:
        """For each configuration (its `Cell.group`), the largest peak memory of an epoch on such devices, in bytes."""
        return self._database.read(attempts.peaks, kind)


def _prepare(database: Database) -> None:
    require_whole(database)
    migrate.prepare(database)


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
