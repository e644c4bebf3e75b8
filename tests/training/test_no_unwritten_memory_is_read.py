"""No rule reads memory that nothing has written: filling new tensors with NaN changes no bit of a training.

So deterministic mode need not fill them, which costs a GPU a fifth of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, bits, cell, in_precisions, same_bits, trainer

from asapbench.suite.catalog import RULES
from asapbench.suite.options import Choice

CHOICES = [
    *(RULES[name].choose() for name in RULES),
    RULES["asap"].choose({"form": "explicit"}),
    RULES["asap"].choose({"matching": "random"}),
    RULES["kp"].choose({"classifier": "kp"}),
    RULES["predsim"].choose({"bpf": True}),
    RULES["asfp_lc"].choose({"loss": "added"}),
]


@pytest.fixture
def filled() -> Iterator[None]:
    """From where a test calls for it, torch fills each new tensor with NaN."""
    yield
    torch.set_deterministic_debug_mode("default")
    torch.utils.deterministic.fill_uninitialized_memory = False


def fill() -> None:
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.empty(1000).isnan().all()


@pytest.mark.parametrize(
    ("choice", "precision"),
    [(c, p) for c in CHOICES for p in ("float32", "bf16") if (c.name, p) in in_precisions("float32", "bf16")],
    ids=lambda c: f"{c.name}-{'-'.join(str(v) for _, v in c.options)}" if isinstance(c, Choice) else c,
)
def test_filling_new_tensors_changes_no_bit(
    choice: Choice, precision: str, images, tmp_path: Path, filled: None
) -> None:
    which = replace(cell(choice.name, epochs=1), rule=choice, precision=precision)
    plain = trainer(which, images, tmp_path / "plain", Recorder())
    plain.fit()
    other = trainer(which, images, tmp_path / "filled", Recorder())
    fill()
    other.fit()
    assert same_bits(bits(plain), bits(other))
    assert plain.progress.history[0].same_result(other.progress.history[0])


def test_deterministic_mode_does_not_fill_new_tensors(images, tmp_path: Path, filled: None) -> None:
    fill()
    trainer(cell(), images, tmp_path, Recorder())  # sets torch up for the cell
    assert not torch.utils.deterministic.fill_uninitialized_memory
