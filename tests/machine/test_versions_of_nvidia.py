"""Provenance names CUDA, cuDNN and the driver if there is a GPU, and none of them otherwise."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from in_process import asapbench

from asapbench import doctor
from asapbench.machine import devices
from asapbench.machine.hardware import hardware, versions
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.load import load

NVIDIA = {"cuda": "13.0", "cudnn": "9.19.0", "nvidia_driver": "580.95.05"}


def fake_torch(*, gpus: int) -> SimpleNamespace:
    cuda = SimpleNamespace(is_available=lambda: gpus > 0, device_count=lambda: gpus, get_device_name=lambda _: "H100")
    cudnn = SimpleNamespace(version=lambda: 91900)
    return SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="13.0"), backends=SimpleNamespace(cudnn=cudnn))


def nvidia_smi(folder: Path, *lines: str) -> None:
    program = folder / "nvidia-smi"
    says = "".join(f"echo '{line}'\n" for line in lines)
    program.write_text(f'#!/bin/sh\n[ "$1" = --query-gpu=driver_version ] || exit 1\n{says}')
    program.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs of a machine whose torch, already loaded, sees two GPUs."""
    monkeypatch.setitem(sys.modules, "torch", fake_torch(gpus=2))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_versions_name_cuda_cudnn_and_the_driver(machine: Path) -> None:
    nvidia_smi(machine, "A warning of the driver", "580.95.05", "580.95.05")
    assert NVIDIA.items() <= versions().items()
    assert hardware()["gpus"] == ["H100", "H100"]


@pytest.mark.parametrize("says", [None, "Failed to initialize NVML: Driver/library version mismatch", "[N/A]"])
def test_without_an_answer_of_nvidia_smi_the_driver_is_left_out(machine: Path, says: str | None) -> None:
    if says is not None:
        nvidia_smi(machine, says)
    assert devices.nvidia_driver() is None
    assert versions()["cudnn"] == "9.19.0"
    assert "nvidia_driver" not in versions()


def test_without_a_gpu_nothing_of_nvidia_is_recorded(machine: Path, monkeypatch) -> None:
    nvidia_smi(machine, "580.95.05")
    monkeypatch.setitem(sys.modules, "torch", fake_torch(gpus=0))
    assert not NVIDIA.keys() & versions().keys()


def test_versions_and_hardware_do_not_load_torch() -> None:
    names = "import sys, asapbench.machine.hardware as found; found.versions(), found.hardware()"
    subprocess.run([sys.executable, "-c", f"{names}; sys.exit('torch' in sys.modules)"], check=True)


@pytest.mark.parametrize(
    ("torch_says", "grade", "text"),
    [
        ("True 2 AVX2 91900", "ok", "13.0, cuDNN 9.19.0, NVIDIA driver 580.95.05, 2 GPUs"),
        ("False 0 AVX2 0", "note", "this torch is built for CUDA 13.0 but sees no GPU (NVIDIA driver 580.95.05)"),
    ],
)
def test_doctor_names_them(machine: Path, monkeypatch, torch_says: str, grade: str, text: str) -> None:
    nvidia_smi(machine, "580.95.05")
    loaded = machine / "python"
    loaded.write_text(f"#!/bin/sh\necho 2.11.0 0.26.0 13.0 {torch_says}\n")
    loaded.chmod(0o755)
    monkeypatch.setattr(doctor.sys, "executable", str(loaded))
    found = {finding.subject: finding for finding in doctor._torch()}
    assert (found["CUDA"].grade, found["CUDA"].text) == (grade, text)


def test_show_and_export_have_them(tmp_path: Path) -> None:
    database, (cell, *_) = str(tmp_path / "x.sqlite"), load("quickstart").cells
    provenance = Provenance(None, None, {"torch": "2.11.0", **NVIDIA}, {"processor": "EPYC", "gpus": ["H100"]})
    with Store.open(database) as store:
        store.record_suite("quickstart", "shipped", [cell])
        claim = store.claim(cell, owner=OwnerProcess("h", "b", 4, 1.0), provenance=provenance, device="cuda GPU-1")
        store.finish(claim, "interrupted")
    said = asapbench("show", cell.short, "--db", database).out
    assert "versions       cuda 13.0, cudnn 9.19.0, nvidia_driver 580.95.05, torch 2.11.0\n" in said
    asapbench("export", str(tmp_path / "x.csv"), "--db", database)
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert {name: row[f"versions.{name}"] for name in NVIDIA} == NVIDIA
