"""What a training step of each configuration costs: as its epochs recorded it, or counted from its shapes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.analysis.memory import accesses_of_step
from asapbench.errors import AsapbenchError
from asapbench.metrics import EpochMetrics
from asapbench.report.configuration import counted
from asapbench.report.hardware import ran_on
from asapbench.report.quantity import Cost
from asapbench.report.table import Note
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell, title

if TYPE_CHECKING:
    from asapbench.store import Provenance, Result, Store


@dataclass(frozen=True)
class Costs:
    """By group, the cost of a step in `Cost.unit`; no entry where it is not known. `notes` say where it comes from.

    `hardware`: what recorded costs ran on, empty for those that are counted.
    """

    kind: Cost
    of_groups: Mapping[str, float]
    notes: tuple[Note, ...] = ()
    hardware: str = ""


def costs(kind: Cost, results: Sequence[Result], store: Store) -> Costs:
    """The costs of the configurations of `results`, which the store holds; outdated ones are left out."""
    current = [one for one in results if not one.outdated]
    if kind in (Cost.TIME, Cost.MEMORY):
        return _recorded(kind, current, store)
    return _computed(kind, {one.cell.group: one.cell for one in current})


def gpu_peaks(results: Sequence[Result], store: Store) -> Costs:
    """The peak memory of those configurations of `results` that a GPU trained: a CPU's are of a whole process."""
    on_gpu = [one for one in results if not one.outdated and one.attempt.device.startswith("cuda")]
    return _recorded(Cost.MEMORY, on_gpu, store)


def counted_peak(cell: Cell) -> int:
    """Bytes at the peak of a step, counted on shapes. Raises as `step_peak`, which imports torch."""
    from asapbench.analysis.peak import step_peak

    return step_peak(cell)


def _recorded(kind: Cost, results: Sequence[Result], store: Store) -> Costs:
    """From the epochs of the one kind of hardware that trained most of the cells: others are never mixed with it."""
    ran = store.provenances_of([one.attempt.lineage for one in results])
    hardware = {one.cell.id: _hardware(ran[one.attempt.lineage], device=one.attempt.device) for one in results}
    counts = Counter(text for text in hardware.values() if text is not None)
    if not counts:
        return Costs(kind, {})
    chosen = max(counts, key=lambda text: counts[text])
    found: dict[str, list[EpochMetrics]] = {}
    for one in results:
        if hardware[one.cell.id] == chosen:
            epochs = store.epochs(one.attempt.lineage)
            found.setdefault(one.cell.group, []).extend(epochs[1:] if kind is Cost.TIME and epochs[1:] else epochs)
    cell_of = {one.cell.group: one.cell for one in results}
    measured = {group: _measured(kind, cell_of[group], epochs) for group, epochs in found.items()}
    known = {group: value for group, value in measured.items() if value is not None}
    counted_ones = [one.attempt for one in results if hardware[one.cell.id] == chosen]
    notes = list(_notes(kind, hardware, counts, chosen))
    if kind is Cost.MEMORY:
        unknown = any("options" not in each.hardware for one in counted_ones for each in ran[one.lineage])
        notes += _notes_on_memory(is_cpu=all(one.device.startswith("cpu") for one in counted_ones), unknown=unknown)
    return Costs(kind, known, tuple(notes), chosen)


def _hardware(ran: Sequence[Provenance], *, device: str) -> str | None:
    """What all attempts of a cell `ran` on; None if it changed, or if that is not known."""
    texts = {ran_on(one, device=device) for one in ran}
    return texts.pop() if len(texts) == 1 else None


def _measured(kind: Cost, cell: Cell, epochs: Sequence[EpochMetrics]) -> float | None:
    if kind is Cost.MEMORY:
        return max((one.peak_memory_bytes for one in epochs if one.peak_memory_bytes is not None), default=None)
    steps = -(-(dataset_shape(cell.dataset).train - cell.validation) // cell.batch_size)
    return statistics.median(one.seconds / steps for one in epochs) if epochs else None


def _notes(kind: Cost, hardware: Mapping[str, str | None], counts: Counter[str], chosen: str) -> Iterator[Note]:
    yield Note(f"Recorded on {chosen}.")
    others = [f"{counted(count, 'cell')} on {text}" for text, count in counts.items() if text != chosen]
    if changed := sum(text is None for text in hardware.values()):
        others.append(f"{counted(changed, 'cell')} whose hardware changed or is not known")
    if others:
        yield Note(f"Costs left out, since hardware is never mixed: {'; '.join(others)}.")
    if kind is Cost.TIME:
        yield Note("Other work on the machine, and other numbers of threads or slots, change times.")


def _notes_on_memory(*, is_cpu: bool, unknown: bool) -> Iterator[Note]:
    """What a recorded peak is; `unknown`: for some trainings their options are not recorded."""
    if is_cpu:
        yield Note(
            "On a CPU, memory is the peak of the worker's process: its libraries and the data set are part of it, some "
            "hundred MiB that hide differences between small networks. On a GPU it is what training allocates."
        )
    else:
        old = (
            " Some of these trainings, of an earlier asapbench, do not record the option: compare only those that had "
            "it alike."
        )
        yield Note(
            "Memory that training allocated; with --cuda-graphs, what torch reserved, which is more."
            + (old if unknown else "")
        )


def _computed(kind: Cost, cells: Mapping[str, Cell]) -> Costs:
    count = _arithmetic() if kind is Cost.ARITHMETIC else _accesses
    found, unknown, faults = dict[str, float](), dict[str, None](), dict[str, None]()
    for group, cell in cells.items():
        rule = title("rule", cell.rule)
        try:
            value = count(cell)
        except AsapbenchError as error:
            faults[f"Not counted: {rule} on {title('model', cell.model)}: {error}."] = None
            continue
        if value is None:
            unknown[rule] = None
        else:
            found[group] = value
    text = f"Not counted by App. F, which describes BP, FA, KP and activation sharing: {', '.join(unknown)}."
    return Costs(kind, found, tuple(map(Note, [*([text] if unknown else []), *faults])))


def _arithmetic() -> Callable[[Cell], float | None]:
    from asapbench.analysis.arithmetic import step_multiplications  # imports torch, which no other report needs

    return step_multiplications


def _accesses(cell: Cell) -> float | None:
    found = accesses_of_step(cell)
    return None if found is None else found.total
