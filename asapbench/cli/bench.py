"""`asapbench bench`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asapbench.cli.options import Form, Only, Out, Set
from asapbench.cli.settings import of, with_settings
from asapbench.cli.text import say
from asapbench.report.layout import Layout
from asapbench.training.settings import TrainingSettings

_LONGEST = 3600.0


@with_settings(only=("device", "threads", "deterministic", "compiled", "cuda_graphs", *of(Layout)))
def bench(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE", help="Suite files, or names of shipped suites.")],
    only: Only = None,
    set_: Set = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Measurements of each loop.")] = 9,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=_LONGEST, metavar="S", help="Seconds of a measurement, in whole steps.")
    ] = 1.0,
    batches: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps of a measurement, instead of --seconds.")
    ] = None,
    slots: Annotated[int, typer.Option(metavar="N", help="Also measure N cells at once on one device.")] = 1,
    eager: Annotated[
        bool, typer.Option("--eager/--no-eager", help="Also measure the network in plain PyTorch.")
    ] = True,
    loader_workers: Annotated[
        int | None,
        typer.Option(min=0, max=256, metavar="N", help="Its DataLoader's processes. [default: 2 on a GPU, else 0]"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Train on the data sets there. [default: on random images]"),
    ] = None,
    peak_tflops: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1e9, metavar="X", help="The device's peak at the cells' precision, in TFLOP/s."),
    ] = None,
    peak_bandwidth: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1e9, metavar="X", help="The peak of its memory, in GB/s."),
    ] = None,
    form: Form = None,
    out: Out = None,
    *,
    training: TrainingSettings,
    layout: Layout,
) -> None:
    """Measure how fast cells train here.

    Prints seconds per epoch, samples/s, memory and the share of the hardware's peaks, with an eager loop in plain
    PyTorch and several cells at once for comparison. Needs no data and no database; of cells that cost the same, one
    is measured.

    Example: asapbench bench quickstart --only rule=bp,asap
    """
    from asapbench.analysis.speed.bench import Bench, chosen
    from asapbench.analysis.speed.bench import bench as measured
    from asapbench.report.out import check, deliver
    from asapbench.report.speed import speed_table

    check(form, out, has_picture=False, layout=layout)
    cells = chosen(suites, only or (), set_ or ())
    wanted = Bench(
        training=training,
        slots=slots,
        rounds=rounds,
        seconds=seconds,
        steps=batches,
        eager=eager,
        loader_workers=loader_workers,
        data=data,
    )
    found = measured(cells, wanted, say=lambda text: say(text, err=True))
    deliver(speed_table(found, teraflops=peak_tflops, gigabytes=peak_bandwidth), form=form, out=out, layout=layout)
    if found.stopped or found.failed:
        raise typer.Exit(3 if found.stopped else 1)
