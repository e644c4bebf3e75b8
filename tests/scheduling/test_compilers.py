"""`--compile` and `--cuda-graphs`: refused where they cannot work, and nothing of a compiler is left behind."""

from __future__ import annotations

import os
import queue
from pathlib import Path

import pytest

from asapbench.errors import SuiteError
from asapbench.scheduling import compilers
from asapbench.scheduling.process import WorkerProcess
from asapbench.scheduling.slots import Slot

CPU, GPU = Slot(0, "cpu"), Slot(0, "cuda", 1, "GPU-aaaa")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs of a machine that has all that is needed, but no program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(compilers.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(compilers.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(compilers.sys, "platform", "linux")
    return tmp_path


def program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_gpu_is_needed_for_cuda_graphs() -> None:
    compilers.check([GPU], compiled=False, cuda_graphs=True)
    with pytest.raises(SuiteError, match=r"--cuda-graphs: only an NVIDIA GPU has them, .* on cpu"):
        compilers.check([CPU], compiled=False, cuda_graphs=True)


@pytest.mark.parametrize(("slot", "name", "variable"), [(CPU, "g++", "CXX"), (GPU, "gcc", "CC"), (GPU, "clang", "CC")])
def test_a_compiler_is_needed(machine: Path, monkeypatch, slot: Slot, name: str, variable: str) -> None:
    compilers.check([slot], compiled=False, cuda_graphs=False)
    with pytest.raises(SuiteError, match=f"--compile: .* needs .*which is not here: .* in {variable}$"):
        compilers.check([slot], compiled=True, cuda_graphs=False)
    program(machine / name)
    compilers.check([slot], compiled=True, cuda_graphs=False)
    monkeypatch.setenv(variable, "icx")
    with pytest.raises(SuiteError, match="needs icx, which is not here"):
        compilers.check([slot], compiled=True, cuda_graphs=False)


def test_triton_is_needed_for_a_gpu(machine: Path, monkeypatch) -> None:
    program(machine / "gcc")
    monkeypatch.setattr(compilers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SuiteError, match="pip install triton"):
        compilers.check([GPU], compiled=True, cuda_graphs=False)


def test_pythons_headers_are_needed(machine: Path) -> None:
    program(machine / "g++")
    (machine / "Python.h").unlink()
    with pytest.raises(SuiteError, match=r"Python's headers: .*python3\.\d+-dev"):
        compilers.check([CPU], compiled=True, cuda_graphs=False)


def test_compiled_code_goes_with_its_worker(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(compilers.CACHE, raising=False)
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    worker = WorkerProcess(CPU, log=tmp_path / "log", inbox=inbox)
    lines = Path(f"/proc/{worker.pid}/environ")
    if not lines.exists():
        pytest.skip("no /proc here")
    inbox.get()  # it is ready: its environment is its own
    folder = Path(dict(one.split("=", 1) for one in lines.read_text().split("\0") if "=" in one)[compilers.CACHE])
    (folder / "kernel.so").touch()
    worker.kill()
    while inbox.get().event is not None:
        pass
    worker.close()
    assert not folder.exists()


def test_a_users_own_folder_for_compiled_code_is_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(compilers.CACHE, "mine")
    assert (os.environ | compilers.cache(str(tmp_path)))[compilers.CACHE] == "mine"
