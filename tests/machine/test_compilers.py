"""`--compile` and `--cuda-graphs`: refused where they cannot work, and nothing of a compiler is left behind."""

from __future__ import annotations

import io
import os
import queue
import tempfile
from pathlib import Path

import pytest

from asapbench.errors import SuiteError
from asapbench.machine import compilers
from asapbench.machine.slots import Slot
from asapbench.training.settings import TrainingSettings
from asapbench.worker.process import WorkerProcess
from asapbench.worker.protocol import COMMAND, Train

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
    compilers.check([CPU], compiled=False, cuda_graphs=None)
    with pytest.raises(SuiteError, match=r"--cuda-graphs: only an NVIDIA GPU has them, .* on cpu"):
        compilers.check([CPU], compiled=False, cuda_graphs=True)


@pytest.mark.parametrize(("slot", "name", "variable"), [(CPU, "g++", "CXX"), (GPU, "gcc", "CC"), (GPU, "clang", "CC")])
def test_a_compiler_is_needed(machine: Path, monkeypatch, slot: Slot, name: str, variable: str) -> None:
    compilers.check([slot], compiled=False, cuda_graphs=False)
    with pytest.raises(SuiteError, match=f"--compile: .* needs .*which is missing: .* in {variable}$"):
        compilers.check([slot], compiled=True, cuda_graphs=False)
    program(machine / name)
    compilers.check([slot], compiled=True, cuda_graphs=False)
    monkeypatch.setenv(variable, "icx")
    with pytest.raises(SuiteError, match="needs icx, which is missing"):
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


@pytest.mark.parametrize("variable", [compilers.CACHE, "TMPDIR"])
def test_folders_of_the_compiler_have_no_space(machine: Path, monkeypatch, variable: str) -> None:
    program(machine / "g++")
    folder = machine / "my code"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv(variable, str(folder))
    with pytest.raises(SuiteError, match=f"--compile: .* {variable}={folder}: name a folder without a space"):
        compilers.check([CPU], compiled=True, cuda_graphs=False)
    compilers.check([CPU], compiled=False, cuda_graphs=False)


def told(tmp_path: Path, monkeypatch, *, compiled: bool) -> tuple[str | None, list[str]]:
    """The folder for code that a worker gets, which it has written to, and what is left when it has ended."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    worker = WorkerProcess(CPU, log=tmp_path / "log", inbox=inbox)
    commands, pipe = io.StringIO(), worker._process.stdin
    monkeypatch.setattr(worker._process, "stdin", commands)
    command = Train(
        attempt="a", cell={}, directory="d", previous=[], data="data", weights=None,
        settings=TrainingSettings(device="cpu", compiled=compiled),
    )  # fmt: skip
    worker.send(command)
    worker.send(command)
    first, second = (COMMAND.validate_json(line) for line in commands.getvalue().splitlines())
    assert first == second
    assert isinstance(first, Train)
    if first.code is not None:
        Path(first.code, "kernel.so").touch()
    pipe.close()
    worker.kill()
    while inbox.get().event is not None:
        pass
    worker.close()
    return first.code, [path.name for path in temporary.iterdir()]


def test_compiled_code_goes_with_its_worker(tmp_path: Path, monkeypatch) -> None:
    folder, left = told(tmp_path, monkeypatch, compiled=True)
    assert folder is not None
    assert Path(folder).parent == tmp_path / "temporary"
    assert left == []


def test_a_worker_that_compiles_nothing_has_no_folder(tmp_path: Path, monkeypatch) -> None:
    assert told(tmp_path, monkeypatch, compiled=False) == (None, [])


def test_code_is_kept_where_the_user_says_or_in_the_workers_folder(monkeypatch) -> None:
    monkeypatch.setenv(compilers.CACHE, "mine")
    compilers.keep_code_in("of the worker")
    assert os.environ[compilers.CACHE] == "mine"
    monkeypatch.delenv(compilers.CACHE)
    with pytest.raises(FileNotFoundError, match=f"make room in /tmp, or name one in {compilers.CACHE}"):
        compilers.keep_code_in(None)
    compilers.keep_code_in("of the worker")
    assert os.environ[compilers.CACHE] == "of the worker"
