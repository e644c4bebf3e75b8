"""`check`: the certificate of a rule: what it does and does not do, on small networks, in seconds."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from asapbench.certificate import Certificate
from asapbench.cli.options import Db
from asapbench.cli.text import say
from asapbench.report.certificates import Form
from asapbench.store import DEFAULT_URL


def check(
    rules: Annotated[
        list[str] | None,
        typer.Argument(metavar="RULE", help="Rules, with options as in 'fa(linear_feedback=kaiming)'."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every rule of the catalog.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A model, with options as in 'resnet10(width=8)'; narrow by default. Repeatable. "
            "[default: resnet10, alexnet, mlp]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Draws weights, feedback and inputs.")] = 0,
    form: Annotated[Form | None, typer.Option("--format", help="[default: by the ending of --out, else text]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file: .txt, .md, .json; -: print.")
    ] = None,
    db: Db = DEFAULT_URL,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Do not keep the certificates in the results database.")
    ] = False,
) -> None:
    """Check what a rule does and does not do.

    Gradients as declared, no weight transport, no error across boundaries, and more: on small networks, in float64,
    in seconds. Exit status 1 if a property fails.

    Example: asapbench check asap
    """
    from asapbench.analysis.certificate import certificates, choices
    from asapbench.analysis.certificate.issuing import database, issue
    from asapbench.report.certificates import deliver, form_of, rendered, summary, text

    wanted = form_of(form, out)
    chosen = choices(rules or (), every=every, models=model)
    made: list[Certificate] = []
    with nullcontext() if no_store else database(db) as kept:
        for certificate in certificates(chosen, seed=seed):
            made.append(certificate)
            if wanted is Form.TEXT and out is None:
                say(text(certificate))
        if kept is not None:
            issue(kept, made)
    if wanted is Form.TEXT and out is None:
        say(summary(made))
    else:
        deliver(rendered(made, wanted), out)
    if any(one.verdict == "fails" for one in made):
        raise typer.Exit(1)
