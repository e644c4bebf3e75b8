"""The most memory that an epoch took, by configuration and kind of device."""

from dataclasses import replace

from store_examples import TERMS, a_cell, an_epoch


def test_the_greatest_peak_of_all_seeds_counts_and_each_kind_of_device_by_itself(store):
    first, second, other = a_cell(0), a_cell(1), a_cell(0, rule="bp")
    for cell, device, peaks in (
        (first, "cpu", (300, 500, None)),
        (second, "cpu", (400, 200)),
        (other, "cuda GPU-1", (7_000_000_000,)),
    ):
        claim = store.claim(cell, **(TERMS | {"device": device}))
        store.record_epochs(claim, [replace(an_epoch(n), peak_memory_bytes=p) for n, p in enumerate(peaks, start=1)])
        store.finish(claim, "interrupted")
    assert store.measured_peak_bytes("cpu") == {first.group: 500}
    assert store.measured_peak_bytes("cuda") == {other.group: 7_000_000_000}
    assert store.measured_peak_bytes("mps") == {}
