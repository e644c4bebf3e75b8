"""Certificates: what a rule does and does not do on a model, measured without an oracle.

`check` takes any rule and any module. Each property is judged by one function; they ask what the rule declares and the
interface of `Learner`, in float64 on the CPU, on small random batches.
"""

from __future__ import annotations

import copy
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.certificate import Certificate, Finding
from asapbench.errors import GraphError, SuiteError
from asapbench.rules import Rule, resolve
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.cell import name as named
from asapbench.suite.options import Choice, Value
from asapbench.suite.plugins import load_installed, unknown
from asapbench.suite.spelled import spelled

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

DEFAULT_MODELS = ("resnet10", "alexnet", "mlp")
"""A network with shortcuts, one with max-pools and several fully connected layers, one without convolutions."""

_NARROW = {"width": 4, "hidden": 8}
"""Sizes of catalog models where none are given: a certificate needs no more."""
_LONGEST = 200
"""Characters of a rule's error that a finding shows."""
_SAMPLE = (6, 3, 16, 16)
_CLASSES = 10


def check(
    rule: str | Choice | Rule, model: str | Choice | nn.Module, sample: Tensor | None = None, *, seed: int = 0
) -> Certificate:
    """The certificate of `rule` on `model`.

    `model`: a name of the catalog, built narrow; a choice of it; or a module of your own, which stays as it is: a copy
    in float64 on the CPU is checked. `sample`: a batch (N, ...) whose shape is that of the data, 2 examples or more;
    of catalog models 6 images of 3x16x16 unless given. `seed` draws weights of catalog models, feedback and inputs.
    Raises SuiteError for an unknown name and for options that cannot be judged, GraphError where the rule cannot be
    attached to an own module, and ValueError for an own module without a sample.

    >>> from asapbench import check
    >>> found = check("fa", "mlp")
    >>> found.holds, found.finding("transport").verdict
    (True, 'holds')
    >>> check("bp", "mlp").finding("transport").verdict
    'declared'
    """
    import torch
    from torch import nn

    chosen = resolve(rule)
    label = named("rule", chosen.choice) if chosen.choice.name in RULES else chosen.choice.name
    if (why := chosen.not_certified) is not None:
        raise SuiteError(f"check {label}: {why}")
    if isinstance(model, nn.Module):
        if sample is None:
            raise ValueError("a module of your own needs a sample: a batch whose shape is that of its data")
        module, title, shape = copy.deepcopy(model), type(model).__name__, sample.shape
        revision = None
    else:
        choice = narrow(model) if isinstance(model, str) else model
        title, shape = named("model", choice), torch.Size(_SAMPLE) if sample is None else sample.shape
        revision = MODELS[choice.name].revision
        if (why := chosen.entry.unsuited(MODELS[choice.name])) is not None:
            return Certificate(label, title, unsuited=why)
        module = _built(choice, shape, seed)
    if shape[0] < 2:
        raise ValueError(f"the sample has {shape[0]} example: BatchNorm needs two or more")
    try:
        findings = _findings(chosen, module.to("cpu", torch.float64), shape, seed=seed)
    except GraphError as error:
        if isinstance(model, nn.Module):
            raise
        return Certificate(label, title, unsuited=str(error))
    return Certificate(label, title, findings, None, chosen.entry.revision, revision)


def choices(
    rules: Sequence[str], *, every: bool = False, models: Sequence[str] | None = None
) -> list[tuple[Choice, Choice]]:
    """Each of `rules`, or `every` one of the catalog, with each of `models`, as the command line spells them.

    Raises SuiteError for an unknown name or option, and where there is no rule.
    """
    load_installed()
    if bool(rules) == every:
        both = "check: name rules, or --all for every rule, not both"
        neither = "check: name a rule, or --all for every rule; `asapbench catalog rule` lists them"
        raise SuiteError(both if every else neither)
    chosen = [RULES[name].choose() for name in RULES] if every else [_chosen_rule(text) for text in rules]
    networks = []
    for text in models or DEFAULT_MODELS:
        name, given = spelled("model", text)
        networks.append(narrow(name, **given))
    return [(rule, model) for rule in dict.fromkeys(chosen) for model in dict.fromkeys(networks)]


def certificates(chosen: Sequence[tuple[Choice, Choice]], *, seed: int = 0) -> Iterator[Certificate]:
    """The certificate of each rule on each model, as they are made."""
    for rule, model in chosen:
        yield check(rule, model, seed=seed)


def _chosen_rule(text: str) -> Choice:
    name, given = spelled("rule", text)
    try:
        return RULES[name].choose(given)
    except ValueError as error:
        raise SuiteError(f"rule {text}: {error}") from error


def narrow(model: str, **given: Value) -> Choice:
    """The catalog model called `model`, narrow except for what is given. Raises SuiteError."""
    load_installed()
    if model not in MODELS:
        raise SuiteError(unknown("model", model))
    has = {option.name for option in MODELS[model].options}
    try:
        return MODELS[model].choose({name: size for name, size in _NARROW.items() if name in has} | given)
    except ValueError as error:
        raise SuiteError(f"model {model}: {error}") from error


def _findings(rule: Rule, module: nn.Module, shape: torch.Size, *, seed: int) -> tuple[Finding, ...]:
    """One finding for each property, in their order."""
    import torch

    from asapbench.analysis.certificate.boundaries import no_error_crosses
    from asapbench.analysis.certificate.clean import attaching_and_computing_is_clean
    from asapbench.analysis.certificate.gradients import gradients_as_declared
    from asapbench.analysis.certificate.learning import every_layer_learns, fixed_stays_fixed
    from asapbench.analysis.certificate.repeat import resume_repeats_the_bits, the_seed_determines_the_bits
    from asapbench.analysis.certificate.subject import Subject
    from asapbench.analysis.certificate.transport import no_weight_transport

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: more threads only wait for each other
    try:
        subject = Subject(rule, module, shape, seed)
        subject.attached()  # a refusal is no finding
        boundaries = _judged("boundaries", partial(no_error_crosses, subject))
        crossing = boundaries.verdict == "fails"
        return (
            _judged("gradients", partial(gradients_as_declared, subject, crossing=crossing)),
            _judged("transport", partial(no_weight_transport, subject)),
            boundaries,
            _judged("learning", partial(every_layer_learns, subject)),
            _judged("fixed", partial(fixed_stays_fixed, subject)),
            _judged("clean", partial(attaching_and_computing_is_clean, subject)),
            _judged("resume", partial(resume_repeats_the_bits, subject)),
            _judged("seed", partial(the_seed_determines_the_bits, subject)),
        )
    finally:
        torch.set_num_threads(threads)


def _judged(name: str, judge: Callable[[], Finding]) -> Finding:
    """The finding of `judge`; a failure, with its place but no path, where the rule's or model's code raises an error.

    An error of the certificate's own code is none of the rule's: it is raised.
    """
    from asapbench.analysis.certificate.subject import RuleError

    try:
        return judge()
    except Exception as raised:
        error = raised.__cause__ if isinstance(raised, RuleError) and raised.__cause__ is not None else raised
        frames = traceback.extract_tb(error.__traceback__)
        if error is raised and not _in_other_code([Path(frame.filename) for frame in frames]):
            raise
        last = frames[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        message = re.sub(r"\S*[/\\](?=[^\s/\\])", "", " ".join(str(error).split()))
        text = f"raises {type(error).__name__} at {place}: {message[:_LONGEST]}"
        return Finding(name, "fails", text, None, None, "let the rule train in a loop of its own first")


def _in_other_code(files: Sequence[Path]) -> bool:
    """Whether, of the files of an error's traceback, a rule's or a model's come behind the last one of this package.

    Not such are Python's and torch's, and what of asapbench is no rule, model or plug-in.
    """
    import torch

    own = max((number for number, file in enumerate(files) if file.parent == Path(__file__).parent), default=-1)
    package = Path(__file__).parents[2]
    library = Path(torch.__file__).parent
    python = Path(traceback.__file__).parent

    def is_other(file: Path) -> bool:
        if file.is_relative_to(package):
            return file.is_relative_to(package / "rules") or file.is_relative_to(package / "models")
        is_python = file.is_relative_to(python) and "site-packages" not in file.parts
        return not file.is_relative_to(library) and not is_python and not str(file).startswith("<")

    return any(is_other(file) for file in files[own + 1 :])


def _built(choice: Choice, shape: torch.Size, seed: int) -> nn.Module:
    """A catalog model for images of `shape`, drawn from `seed`."""
    import torch

    from asapbench.models import build, initialise
    from asapbench.models.options import linear_init

    with torch.random.fork_rng(devices=[]):
        model = build(choice, channels=int(shape[1]), size=int(shape[-1]), classes=_CLASSES)
        initialise(model, seed, linear=linear_init(choice))
    return model
