"""The table of `bench`: measured speeds, beside the bounds of the device and an eager loop."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from asapbench.analysis.speed import Benched, LoopName, Speed, peak_of
from asapbench.machine.known_devices import Peak
from asapbench.report.configuration import MISSING, counted, names
from asapbench.report.statistics import Summary
from asapbench.report.table import Column, Field, Footnotes, Note, Number, Row, Table, grouped
from asapbench.suite.cell import Cell, title
from asapbench.suite.columns import field_text, varying

_TITLE = "Speed of training"
_MIB = 2**20
_NAMED = ("batch_size", "precision")
_COLUMNS = ("s/epoch", "samples/s", "min", "max", "/ eager", "arithmetic", "bandwidth", "peak MiB")


def speed_table(found: Benched, *, teraflops: float | None = None, gigabytes: float | None = None) -> Table:
    """The measurements as a table; peaks are those known of the devices, or those given, in TFLOP/s and GB/s."""
    known = [(speed, peak_of(speed.device, teraflops=teraflops, gigabytes=gigabytes)) for speed in found.speeds]
    footnotes = Footnotes()
    others = [name for name in varying([speed.cell for speed in found.speeds]) if name not in _NAMED]
    return Table(
        title=_TITLE,
        caption=_caption(found),
        columns=(Column("", "left"), *map(Column, _COLUMNS)),
        groups=grouped((_heading(speed.cell, others), _rows(speed, peak, footnotes)) for speed, peak in known),
        notes=(*footnotes.notes(), *_notes(found, known)),
        numbers=tuple(number for speed, peak in known for number in _numbers(speed, peak, others)),
        summary=_summary(found.speeds),
    )


def _caption(found: Benched) -> str:
    devices = ", ".join(sorted({speed.device for speed in found.speeds} - {""}))
    terms = "; ".join(filter(None, (devices, counted(found.threads, "thread"), f"torch {found.torch}", found.images)))
    return (
        f"Training steps by the wall clock, without evaluation: the median of n = {found.rounds} rounds, the slowest "
        f"and the fastest. {terms}."
    )


def _summary(speeds: Sequence[Speed]) -> str:
    """The time that the whole training of the measured cells takes, one after the other."""
    seconds = [speed.cell.epochs * epoch for speed in speeds if (epoch := speed.epoch_seconds("own")) is not None]
    cells = counted(len(seconds), "cell")
    return f"All epochs of {cells}: {sum(seconds) / 3600:,.2f} h on one slot, without evaluation" if seconds else ""


def _heading(cell: Cell, others: Sequence[str]) -> str:
    """The heading of a group; `others` are the fields that vary and are not always named."""
    named = ["optimizer", *(name for name in others if name != "optimizer")]
    return ", ".join((title("dataset", cell.dataset), title("model", cell.model), *_terms(cell, named)))


def _terms(cell: Cell, names: Sequence[str]) -> Iterator[str]:
    yield from (f"batch {cell.batch_size}", cell.precision)
    yield from (field_text(cell, name) for name in names)


def _label(speed: Speed, name: LoopName) -> str:
    return {"own": title("rule", speed.cell.rule), "together": f"{speed.slots} at once", "eager": "eager loop"}[name]


def _rows(speed: Speed, peak: Peak, footnotes: Footnotes) -> Iterator[Row]:
    for name, loop in speed.loops.items():
        marks = () if loop.error is None else (footnotes.mark(f"ended: {loop.error}"),)
        ratios = speed.against_eager(name)
        texts = (
            _whole(loop.rate),
            _whole(min(loop.rates, default=None)),
            _whole(max(loop.rates, default=None)),
            f"{statistics.median(ratios):.2f}" if ratios else MISSING,
            _percent(speed.share_of_arithmetic(name, peak)),
            _percent(speed.share_of_bandwidth(name, peak)),
            _whole(None if loop.peak_bytes is None else loop.peak_bytes / _MIB),
        )
        stub = Field(_label(speed, name), marks, indent=0 if name == "own" else 1)
        epoch = Field(_figures(speed.epoch_seconds(name)), emphasis="strong" if name == "own" else "plain")
        yield Row((stub, epoch, *map(Field, texts)))


def _notes(found: Benched, known: Sequence[tuple[Speed, Peak]]) -> Iterator[Note]:
    if found.stopped:
        yield Note("Stopped before the end: the last row has fewer rounds, and the rest was not measured.")
    if any("eager" in speed.loops for speed in found.speeds):
        yield Note(
            "eager loop: the same network under backpropagation in plain PyTorch, float32, with a DataLoader that "
            "transforms image by image. / eager: times its samples/s, the median of the rounds' ratios."
        )
    if any(speed.slots > 1 for speed in found.speeds):
        yield Note("at once: several processes on one device; samples/s and memory are summed.")
    if any(peak != Peak() for _, peak in known):
        text = "arithmetic, bandwidth: the least time that the device's peaks allow, in percent of what was measured."
        yield Note(text)
    if unknown := {speed.device for speed, peak in known if peak == Peak()} - {""}:
        yield Note(
            f"arithmetic, bandwidth: the peaks of {', '.join(sorted(unknown))} are unknown; set them with "
            "--peak-tflops and --peak-bandwidth."
        )


def _numbers(speed: Speed, peak: Peak, others: Sequence[str]) -> Iterator[Number]:
    dataset, model, rule = names(speed.cell)
    for name, loop in speed.loops.items():
        ratios = speed.against_eager(name)
        label = () if name == "own" else (_label(speed, name),)
        values: dict[str, tuple[float | None, float | None]] = {
            "seconds an epoch": (speed.epoch_seconds(name), None),
            "samples a second": (loop.rate, Summary(tuple(loop.rates)).sd),
            "times the eager loop": (statistics.median(ratios) if ratios else None, Summary(tuple(ratios)).sd),
            "fraction of the arithmetic floor": (speed.share_of_arithmetic(name, peak), None),
            "fraction of the bandwidth floor": (speed.share_of_bandwidth(name, peak), None),
            "bytes at the peak": (loop.peak_bytes, None),
        }
        for what, (value, sd) in values.items():
            yield Number(
                dataset=dataset,
                model=model,
                rule=rule,
                variant=", ".join((*label, *_terms(speed.cell, others), what)),
                measured=value,
                sd=sd,
                n=len(loop.rounds),
                metric="speed of training",
                unit="as the variant names it",
            )


def _figures(value: float | None) -> str:
    """Three significant figures."""
    return _whole(value) if value is None or value >= 100 else f"{value:.3g}"


def _whole(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}"


def _percent(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:.1f} %"
