"""Devices that are known by name without being here: their peaks, from data sheets. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Peak:
    """A device's peaks: dense floating-point operations a second by precision, and bytes a second of its memory.

    Unknown peaks are left out, or None.
    """

    operations: Mapping[str, float] = field(default_factory=dict)
    bandwidth: float | None = None


@dataclass(frozen=True)
class KnownDevice:
    """A device with the `name` that torch has for it, and a `short` one for the command line."""

    short: str
    name: str
    peak: Peak


def _device(short: str, name: str, *peaks: float) -> KnownDevice:
    """From teraFLOP/s in float32, TF32 and bf16, and GB/s."""
    float32, tf32, bf16, bandwidth = peaks
    operations = {"float32": float32 * 1e12, "tf32": tf32 * 1e12, "bf16": bf16 * 1e12}
    return KnownDevice(short, name, Peak(operations, bandwidth * 1e9))


DEVICES = (
    _device("h100", "NVIDIA H100 80GB HBM3", 67, 495, 989, 3_350),
    _device("h100-pcie", "NVIDIA H100 PCIe", 51, 378, 756, 2_000),
    _device("h200", "NVIDIA H200", 67, 495, 989, 4_800),
    _device("a100", "NVIDIA A100-SXM4-80GB", 19.5, 156, 312, 2_039),
    _device("a100-40gb", "NVIDIA A100-SXM4-40GB", 19.5, 156, 312, 1_555),
    _device("a100-pcie", "NVIDIA A100 80GB PCIe", 19.5, 156, 312, 1_935),
)
"""NVIDIA's data sheets "H100 Tensor Core GPU", "H200 Tensor Core GPU" and "A100 80GB / 40GB Tensor Core GPU"; where
those print figures with sparsity, half of them.
"""
PEAKS = {device.name: device.peak for device in DEVICES}
"""By the name that torch has for the device."""


def known_device(name: str) -> KnownDevice | None:
    """The device of this short name or of torch's name, in any case; None if it is not known.

    >>> known_device("H100").name
    'NVIDIA H100 80GB HBM3'
    """
    wanted = name.lower()
    return next((device for device in DEVICES if wanted in (device.short, device.name.lower())), None)
