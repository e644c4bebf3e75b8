"""The Triton kernels of ASAP's ReLUs, without a GPU: run by Triton's interpreter, and compiled for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asapbench.rules.engine import bitmask_relu

pytest.importorskip("triton", reason="Triton is not installed: there are no wheels of it for macOS and Windows")


@pytest.mark.slow
def test_the_kernels_give_the_bits_of_relu_and_of_its_gradient() -> None:
    run = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "relu_cases.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.splitlines() == ["relu_and_bits ran", "gradient_by_bits ran"], run.stdout + run.stderr


@pytest.mark.parametrize("count", ["i32", "i64"])
@pytest.mark.parametrize(("kind", "widest"), [("fp32", "v4.b32"), ("bf16", "v4.b32"), ("fp64", "v2.b64")])
def test_the_kernels_compile_for_a_gpu_and_move_16_bytes_at_a_time(
    kind: str, widest: str, count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from asapbench.rules.engine import relu_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    wide, bits = f"*{kind}", "*u8"
    for kernel, pointers in (
        (relu_kernels._forward, {"x_pointer": wide, "out_pointer": wide, "bits_pointer": bits}),
        (relu_kernels._backward, {"delta_pointer": wide, "bits_pointer": bits, "gradient_pointer": wide}),
    ):
        signature = pointers | {"count": count, "BYTES": "constexpr"}
        divisible = {(place,): [["tt.divisibility", 16]] for place in range(4)}
        source = ASTSource(kernel, signature, {(4,): 256}, divisible)
        ptx = triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
        moved = set(re.findall(r"(?:ld|st)\.global\.(v\S+)", ptx))
        assert moved == {widest}, moved


def test_triton_is_not_imported_where_there_is_no_gpu() -> None:
    code = (
        "import sys, torch; from asapbench.rules.engine.bitmask_relu import LeanReLU; "
        "LeanReLU()(torch.randn(9, requires_grad=True)).sum().backward(); sys.exit('triton' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_triton_fails_torchs_kernels_run_and_a_warning_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("Failed to find C compiler")

    from asapbench.rules.engine import relu_kernels

    monkeypatch.setattr(relu_kernels, "relu_and_bits", fail)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: torch.ones(8))
    bitmask_relu._working_kernels.cache_clear()
    with pytest.warns(UserWarning, match="ReLUs take several kernels each: Failed to find C compiler"):
        assert bitmask_relu._working_kernels() is None
    bitmask_relu._working_kernels.cache_clear()
