"""`asapbench analyze`: parse, call, print."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from asapbench.cli.options import (
    CatalogCommand,
    Db,
    Form,
    Only,
    Out,
    SetPlace,
    joined,
    names,
    whole_numbers,
    with_plugins,
)
from asapbench.cli.settings import Data, FilesDir, with_settings
from asapbench.report.layout import Layout
from asapbench.store import DEFAULT_URL

_MODELS = ("alexnet", "resnet18", "resnet34")
"""Of Figure 11."""

app = typer.Typer(name="analyze", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _analyze() -> None:
    """Compute memory traffic or shortcut effects; check the theorem."""


@app.command(cls=CatalogCommand)
@with_plugins
@with_settings()
def memory(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME[,NAME]",
            help=f"Models of the catalog. Repeatable. [default: {joined(_MODELS)}]",
        ),
    ] = None,
    k: Annotated[
        list[str] | None,
        typer.Option(
            "--k",
            metavar="K[,K]",
            help="Block sizes of ASAP. Repeatable. [default: the paper's, 2 and 4; AlexNet 2]",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Examples in the step.")] = 128,
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="Data set that gives image size and classes.")
    ] = "cifar10",
    form: Form = None,
    out: Out = None,
    *,
    layout: Layout,
) -> None:
    """Count a training step's external memory accesses (Figure 11).

    Under BP and ASAP, for any model, block size and batch.

    Example: asapbench analyze memory --model resnet18 --k 2,4
    """
    from asapbench.report.figures.memory import memory_accesses
    from asapbench.report.out import deliver

    block_sizes = () if k is None else whole_numbers(joined(k), option="--k")
    models = names(joined(model or _MODELS), option="--model")
    made = memory_accesses(models, block_sizes=block_sizes, batch=batch, dataset=dataset)
    deliver(made, form=form, out=out, layout=layout)


@app.command(cls=CatalogCommand)
@with_plugins
@with_settings()
def shortcut(
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="CELL", help="The first digits of cells' identities.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="SUITE", help="Every cell of a recorded suite that kept its weights."),
    ] = None,
    only: Only = None,
    set_: SetPlace = None,
    batches: Annotated[
        int, typer.Option("--batches", metavar="N", min=1, help="Training batches to average over.")
    ] = 8,
    data: Data = None,
    files: FilesDir = None,
    form: Form = None,
    out: Out = None,
    db: Db = DEFAULT_URL,
    *,
    layout: Layout,
) -> None:
    """Measure the shortcut effect on kept weights (Figure 10).

    Appendix E's g1, g2 and the angle between BP's and ASAP's weight changes.

    Example: asapbench analyze shortcut 3f2a91
    """
    from asapbench.analysis.saved_weights import with_places
    from asapbench.analysis.shortcut import analyze_cell, chosen
    from asapbench.report.build import with_options
    from asapbench.report.figures.shortcut import figure10
    from asapbench.report.out import check, deliver
    from asapbench.report.recorded import naming_discarded
    from asapbench.store import Store

    check(form, out, has_picture=True, layout=layout)
    with Store.open(db) as store:
        with naming_discarded(store, only or (), suites=[suite] if suite else []):
            kept = chosen(store, cells or (), suite=suite, filters=only or (), files=files)
        for one in with_places(kept, set_ or ()):
            analyze_cell(store, one, batches=batches, data=data)
        made = figure10(store, store.results_of([one.cell_id for one in kept]))
    deliver(replace(made, table=with_options(made.table, db)), form=form, out=out, layout=layout)


@app.command(cls=CatalogCommand)
@with_plugins
@with_settings()
def theorem(
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="Random draws of each start.")] = 10,
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="N_H,N_X,N_Y", help="Hidden, input and output units.")
    ] = "12,8,4",
    form: Form = None,
    out: Out = None,
    *,
    layout: Layout,
) -> None:
    """Check the theorem of Forward Alignment (A.1).

    Integrates eq. 30-31 from random starts that meet its conditions, and from others.
    """
    from asapbench.report.figures.theorem import theorem_check
    from asapbench.report.out import check, deliver

    check(form, out, has_picture=True, layout=layout)
    deliver(theorem_check(whole_numbers(sizes, option="--sizes"), count=runs), form=form, out=out, layout=layout)
