"""The kinds of device that cells train on, and the numbers by which they differ. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceKind:
    """One kind of device, by the type that torch has for it.

    `rate`: multiply-adds a second of one slot, and `layer_seconds`: the time of one layer of one step beside its
    arithmetic; both estimate cells that were never measured here. `evaluated_together`: the examples in one batch of
    an evaluation, part of what decides its last bits.
    """

    rate: float
    layer_seconds: float
    evaluated_together: int
    has_float64: bool = True


KINDS = {
    "cpu": DeviceKind(rate=3e10, layer_seconds=1e-3, evaluated_together=250),
    "cuda": DeviceKind(rate=1.5e13, layer_seconds=1e-4, evaluated_together=2000),
    "mps": DeviceKind(rate=1.5e12, layer_seconds=2e-4, evaluated_together=1000, has_float64=False),
}


def kind_of(device_type: str) -> DeviceKind:
    """The kind of a device by torch's type of it; a type that is not listed, such as `meta`, counts as a CPU."""
    return KINDS.get(device_type, KINDS["cpu"])
