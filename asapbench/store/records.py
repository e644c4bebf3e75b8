"""What the store returns and accepts: plain values, no SQL. Accuracies are fractions 0..1, times UTC ISO strings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote

from asapbench.certificate import Certificate
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.store.owner_process import OwnerProcess

if TYPE_CHECKING:
    from asapbench.suite.cell import Cell

DEFAULT_URL = "sqlite:///results/asapbench.sqlite"

MEASURED_URL = "measured:"
"""The URL of the measured results that come with asapbench. They are only read."""

IS_MEASURED = "Measured results that come with asapbench."
"""For the head of what shows them."""

_MEASURED = " --measured"
_READERS = ("compare", "export", "html", "list", "report", "serve", "show")
"""The commands that have this option."""

_COPY = "mine.sqlite"
"""What a command to paste calls a copy of the measured results."""


def db_option(url: str) -> str:
    """` --db URL` for a command to paste, without a password; empty for the default database."""
    if url == DEFAULT_URL:
        return ""
    return _MEASURED if url == MEASURED_URL else f" --db {shlex.quote(without_password(url))}"


def to_paste(commands: Sequence[str], option: str) -> tuple[str, ...]:
    """These commands, to paste one after the other; each ends in `option`, which ends in a `db_option`.

    The measured results that come with asapbench are never written to: a command that does more than read gets a copy.

    >>> to_paste(["asapbench list"], " --measured")
    ('asapbench list --measured',)
    >>> to_paste(["asapbench resume"], " --measured")
    ('asapbench export mine.sqlite --measured', 'asapbench resume --db mine.sqlite')
    """
    if not option.endswith(_MEASURED) or all(command.split()[1] in _READERS for command in commands):
        return tuple(f"{command}{option}" for command in commands)
    of_copy = f"{option.removesuffix(_MEASURED)}{db_option(_COPY)}"
    return (f"asapbench export {_COPY}{option}", *(f"{command}{of_copy}" for command in commands))


_PASSWORDS = (r"(?<=://)([^:/?@]*:)(.*)(?=@)", r"([?&]password=)([^&]*)")
"""What stands before a password in a URL, and the password."""


def without_password(url: str) -> str:
    """The URL with `***` where a password stands, before the host or among the parameters."""
    for pattern in _PASSWORDS:
        url = re.sub(pattern, r"\1***", url)
    return url


def without_passwords_of(url: str, text: str) -> str:
    """`text`, such as an error of a library, with `***` in place of the passwords of `url`.

    >>> without_passwords_of("http://me:a%40b@host:5000", "no answer from http://me:a%40b@host:5000: me, a@b")
    'no answer from http://me:***@host:5000: me, ***'
    """
    text = text.replace(url, without_password(url))
    found = {match[2] for pattern in _PASSWORDS for match in re.finditer(pattern, url)}
    for secret in sorted(found | set(map(unquote, found)), key=len, reverse=True):
        text = text.replace(secret, "***") if secret else text
    return text


State = Literal["pending", "running", "done", "diverged", "failed", "out_of_memory", "interrupted"]
EndState = Literal["done", "diverged", "failed", "out_of_memory", "interrupted"]
FINAL: tuple[EndState, ...] = ("done", "diverged")
"""A cell in one of these has its result and is not claimed again until it is superseded."""
UNFINISHED: tuple[State, ...] = ("pending", "interrupted", "failed", "out_of_memory")
"""A cell in one of these states has to be trained, and no run has it."""


@dataclass(frozen=True)
class Provenance:
    """What an attempt ran on: the code's commit, the versions that matter, the hardware. JSON values only."""

    commit: str | None
    dirty: bool | None
    versions: dict[str, str]
    hardware: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One execution of a cell: a row of the attempt table.

    `lineage` is the id of the first attempt of a chain of resumed ones; their epochs are counted and stored together.
    `epochs_done` is the lineage's newest epoch. The accuracies are set when the attempt ends.
    """

    id: str
    cell_id: str
    number: int
    lineage: str
    resumed_from: str | None
    state: State
    superseded: bool
    lease: int
    host: str
    boot_id: str
    pid: int
    pid_started: float
    device: str
    provenance_id: str
    bit_exact: bool
    started_at: str
    ended_at: str | None
    epochs_done: int
    error: str | None
    log_tail: str | None
    last_test_accuracy: float | None
    best_test_accuracy: float | None
    best_test_epoch: int | None
    best_val_test_accuracy: float | None
    best_val_epoch: int | None
    weights_path: str | None
    weights_digest: str | None

    @property
    def owner(self) -> OwnerProcess:
        """The process that runs or ran the attempt."""
        return OwnerProcess(self.host, self.boot_id, self.pid, self.pid_started)


class Progress(NamedTuple):
    """What an attempt has come to: the columns of `Attempt` that reports and plans need, quick to read by thousands."""

    id: str
    cell_id: str
    lineage: str
    state: State
    epochs_done: int
    last_test_accuracy: float | None
    best_test_accuracy: float | None
    best_val_test_accuracy: float | None


class Reached(NamedTuple):
    """The first `epoch` at which a lineage reached an accuracy on held-out examples; None: it has not.

    `seconds` of training up to the end of that epoch, as recorded. `best` is the highest accuracy of all its epochs.
    """

    lineage: str
    best: float
    epoch: int | None
    seconds: float | None


@dataclass
class Claim:
    """The right to write for one running attempt, as long as its lease is current. `Store.heartbeat` advances it.

    `previous` are the earlier attempts of the lineage, newest first: where checkpoints may lie.
    """

    attempt_id: str
    cell_id: str
    lineage: str
    number: int
    resumed_from: str | None
    previous: list[str] = field(default_factory=list)
    lease: int = 0


@dataclass(frozen=True)
class Measured:
    """What the owner of a claim has measured, to be written."""

    claim: Claim
    epochs: Sequence[EpochMetrics] = ()
    layers: Sequence[LayerRow] = ()


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate with the provenance of the check and its time."""

    certificate: Certificate
    provenance_id: str
    checked_at: str


@dataclass(frozen=True)
class Discard:
    """Why and when the results of a cell were discarded: kept, but left out of every report."""

    cell_id: str
    reason: str | None
    decided_at: str


@dataclass(frozen=True)
class SuiteRecord:
    """A recorded suite. `source` is the file that it was last read from, `text` the file's content (None if an earlier
    version recorded it), `cells` the number of its cells.
    """

    name: str
    source: str
    text: str | None
    updated_at: str
    cells: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell and what its current attempt has come to, in any state."""

    cell: Cell
    attempt: Attempt | Progress

    @property
    def outdated(self) -> bool:
        """Whether it was measured under an earlier revision of rule, model, data set or recipe."""
        return self.cell.id != self.attempt.cell_id


@dataclass(frozen=True, slots=True)
class Result(Outcome):
    """A cell and its current attempt, with all that is known of it."""

    attempt: Attempt


@dataclass(frozen=True)
class SuiteOutcomes:
    """The cells of a suite, in its order, and the outcomes of those that have an attempt; without discarded cells.

    `unreadable` are the labels of cells whose rule, model or data set is not installed, by identity.
    """

    cells: list[Cell]
    outcomes: list[Outcome]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class Conflict:
    """Two databases that contradict each other about an attempt, or about a cell if `attempt_id` is None.

    `what` has two values. Nothing of that attempt's lineage, or of that cell, was added.
    """

    cell_id: str
    label: str
    attempt_id: str | None
    what: str
    ours: object
    theirs: object


@dataclass(frozen=True)
class Disagreement:
    """Two trainings of a cell, on the same code, versions and hardware, that should have the same bits.

    Both are kept. `values` are those of `what`, one for each of `attempt_ids`.
    """

    cell_id: str
    label: str
    attempt_ids: tuple[str, str]
    what: str
    values: tuple[object, object]


@dataclass
class Merged:
    """What a merge has added so far. `further` counts attempts that had more epochs in the other database.

    `discards` counts decisions; `discarded` and `restored` count the cells that are discarded, or no longer, by them.
    `in_training` are cells that a run trains here: nothing of their attempts was added.
    """

    cells: int = 0
    attempts: int = 0
    further: int = 0
    epochs: int = 0
    angles: int = 0
    gradient_qualities: int = 0
    measurements: int = 0
    certificates: int = 0
    discards: int = 0
    discarded: int = 0
    restored: int = 0
    suites: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    in_training: list[str] = field(default_factory=list)
