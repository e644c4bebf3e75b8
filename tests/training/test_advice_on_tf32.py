"""Inductor's advice to enable TensorFloat32 is no warning where a cell's precision says float32; others stay."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asapbench.training.environment import configure

ADVICE = "TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled. "
INDUCTOR = "torch._inductor.compile_fx"


def warn(text: str = ADVICE, module: str = INDUCTOR) -> None:
    """As `warnings.warn(text)` in `module` does."""
    warnings.warn_explicit(text, UserWarning, f"{module}.py", 323, module=module)


@pytest.fixture(params=["pytest's filters", "a cell's"])
def filtered(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "pytest's filters":
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        configure(torch.device("cpu"), threads=1, deterministic=True, precision="float32")
        yield


def test_the_advice_is_silent_and_every_other_warning_is_not(filtered) -> None:
    warn()
    with pytest.raises(UserWarning, match="Online softmax"):
        warn("Online softmax is disabled on the fly")
    with pytest.raises(UserWarning, match="TensorFloat32"):
        warn(module="somewhere.else")


def test_the_text_is_torchs() -> None:
    folder = Path(importlib.util.find_spec("torch").origin).parent
    assert f'"{ADVICE}"' in (folder / "_inductor" / "compile_fx.py").read_text(encoding="utf-8")
