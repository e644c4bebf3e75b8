"""Faults at random moments, as many as `--faults` says, cost no epoch, no bit and no process."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path

import pytest
from campaign import Campaign, Undisturbed, kinds_of

pytestmark = pytest.mark.faults
EACH = 5
"""Faults a test: so that several processes can share many."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = metafunc.config.getoption("--faults")
    metafunc.parametrize(("seed", "count"), [(n, min(EACH, count - n * EACH)) for n in range(-(-count // EACH))])


def test_no_fault_costs_an_epoch_or_a_bit(
    seed: int,
    count: int,
    undisturbed: Undisturbed,
    small_disk: Path | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    chance = random.Random(seed)
    root = small_disk or tmp_path
    campaign = Campaign(root, tmp_path, chance, undisturbed)
    try:
        campaign.inflict(kinds_of(count, root, chance))
    finally:
        campaign.end_everything()
        campaign.keep_what_is_left()
        for kind, damage in campaign.damage.items():
            request.node.user_properties.append((f"fault {kind}", asdict(damage)))
    assert {kind: damage for kind, damage in campaign.damage.items() if damage.total()} == {}
