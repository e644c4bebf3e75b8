"""Random numbers depend on their names alone: the same bits on every processor, for ever."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from asapbench import randomness
from asapbench.randomness import (
    fan_in_uniform,
    integers,
    normal,
    permutation,
    stream_seed,
    uniform,
    uniform_of_step,
)

EVERYTHING = """
import hashlib

import torch

from asapbench.data.batches import Batches
from asapbench.models import build, initialise
from asapbench.randomness import uniform_of_step
from asapbench.rules import attach
from asapbench.suite.catalog import RULES
from asapbench.suite.catalog import MODELS, RULES

digest = hashlib.sha256()
for name in sorted(RULES):
    which = MODELS["mlp" if RULES[name].needs == "linear" else "resnet10"]
    model = build(which.choose({} if RULES[name].needs == "linear" else {"width": 2}), channels=3, size=8, classes=10)
    initialise(model, 3)
    learner = attach(model, name, torch.zeros(2, 3, 8, 8), seed=3)
    print(name, hashlib.sha256(
        learner.fixed_digest().encode()
        + b"".join(p.detach().numpy().tobytes() for _, p in learner.trained_parameters())
    ).hexdigest()[:16])
images = torch.zeros(100, 1, 2, 2, dtype=torch.uint8)
batches = Batches(
    images, torch.zeros(100, dtype=torch.int64), mean=[0.5], std=[0.5], augment="crop_flip",
    device=torch.device("cpu"), seed=3,
)
noise = uniform_of_step(
    (1_001,), bound=0.3, seed=3, purpose="noise", name="conv", step=7, device=torch.device("cpu")
)
print("noise", hashlib.sha256(noise.numpy().tobytes()).hexdigest()[:16])
draws = batches.draws(1)
drawn = b"".join(part.numpy().tobytes() for part in (draws.order, draws.top, draws.left, draws.flipped))
print("batches", hashlib.sha256(drawn).hexdigest()[:16])
"""


def philox(counter: int, key: int) -> list[int]:
    """Philox 4x64 with 10 rounds, from Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers", section 3.3."""
    mask = 2**64 - 1
    c, k = [counter >> 64 * i & mask for i in range(4)], [key & mask, key >> 64]
    for _ in range(10):
        one, two = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [two >> 64 ^ c[1] ^ k[0], two & mask, one >> 64 ^ c[3] ^ k[1], one & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return c


def test_the_oracle_gives_the_published_numbers() -> None:
    # The known answers that the generator's authors publish with it (Random123, philox4x64 10).
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


def test_a_stream_is_philox_keyed_by_the_sha256_of_seed_purpose_and_key() -> None:
    key = int.from_bytes(hashlib.sha256(b"5/weight/conv.weight").digest()[:16], "big")
    expected = [number for block in (1, 2, 3) for number in philox(block, key)]
    assert integers(11, seed=5, purpose="weight", key="conv.weight").tolist() == expected[:11]


def test_streams_of_another_seed_purpose_or_key_differ() -> None:
    named: list[tuple[int, str, str | int]] = [
        (0, "order", 0),
        (1, "order", 0),
        (0, "augment", 0),
        (0, "order", 1),
        (0, "order", "layer.weight"),
    ]
    assert len({integers(1, seed=s, purpose=p, key=k).item() for s, p, k in named}) == len(named)
    assert len({stream_seed(*name) for name in named}) == len(named)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    short, long = (uniform((n,), bound=2, seed=1, purpose="w", name="a") for n in (5, 50))
    assert torch.equal(short, long[:5])


def test_a_permutation_has_every_index_once() -> None:
    drawn = permutation(1_000, seed=0, purpose="order", key=1)
    assert drawn.dtype == torch.int64
    assert drawn.sort().values.tolist() == list(range(1_000))
    assert drawn.tolist() != list(range(1_000))


@pytest.mark.parametrize("seed", range(3))
def test_draws_follow_their_distribution(seed: int) -> None:
    flat = uniform((200, 1_000), bound=3, seed=seed, purpose="w", name="a").double().flatten().numpy()
    bell = normal((200, 1_000), deviation=0.5, seed=seed, purpose="w", name="a").double().flatten().numpy()
    assert stats.kstest(flat / 3, "uniform", args=(-1, 2)).pvalue > 1e-3
    assert stats.kstest(bell / 0.5, "norm").pvalue > 1e-3
    assert np.abs(flat).max() <= 3


def test_fan_in_uniform_is_kaiming_uniform_with_a_of_sqrt_5() -> None:
    weight = torch.empty(64, 16, 3, 3)
    fan_in_uniform(weight, seed=0, purpose="weight", name="a")
    assert weight.abs().max().item() == pytest.approx(1 / math.sqrt(16 * 9), rel=1e-3)
    assert weight.abs().max().item() <= 1 / math.sqrt(16 * 9)


def splitmix(counter: int, start: int) -> int:
    """SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), its mixing step."""
    mask = 2**64 - 1
    z = (start + counter * 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def test_the_oracle_of_steps_gives_the_known_numbers() -> None:
    # The first numbers of java.util.SplittableRandom(0) and of Vigna's splitmix64.c from 0.
    assert [splitmix(counter, 0) for counter in (1, 2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def of_step(count: int, *, step: int = 7, bound: float = 1.0) -> torch.Tensor:
    device = torch.device("cpu")
    return uniform_of_step((count,), bound=bound, seed=5, purpose="noise", name="conv", step=step, device=device)


def test_a_steps_numbers_are_splitmix_from_the_sha256_of_seed_purpose_name_and_step() -> None:
    start = int.from_bytes(hashlib.sha256(b"5/noise/conv/7").digest()[:8], "big")
    halves = [(splitmix(i, start) >> shift) % 2**32 for i in range(1, 7) for shift in (0, 32)]
    signed = [half - 2**32 * (half >= 2**31) for half in halves]
    assert of_step(11).tolist() == [(2 * (half >> 8) + 1) / 2**24 for half in signed[:11]]


def test_a_steps_numbers_follow_the_uniform_distribution_and_differ_from_another_steps() -> None:
    one, other = of_step(200_000, bound=3), of_step(200_000, step=8, bound=3)
    assert stats.kstest(one.double().numpy() / 3, "uniform", args=(-1, 2)).pvalue > 1e-3
    assert one.abs().max() <= 3
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.01
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.01


def test_the_logarithm_is_that_of_the_library_to_its_last_bits() -> None:
    x = np.concatenate([np.geomspace(1e-14, 1, 10_000), 1 - np.geomspace(2.0**-47, 0.5, 10_000)])
    np.testing.assert_allclose(randomness._logarithm(x), np.log(x), rtol=1e-15, atol=0)
    assert (randomness._logarithm(x[x < 1]) < 0).all()


def test_all_that_chance_decides_has_the_same_bits_on_every_processor() -> None:
    """What torch and NumPy can be made to use of this processor stands for other processors."""
    kinds = [
        {},
        {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"ATEN_CPU_CAPABILITY": "avx2", "NPY_DISABLE_CPU_FEATURES": _numpy_features()},
    ]
    printed = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", EVERYTHING],
            env=os.environ | kind,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for kind in kinds
    ]
    assert printed[1:] == printed[:1] * 2
    assert dict(line.split() for line in printed[0].splitlines()) == FROZEN


def _numpy_features() -> str:
    """The instruction sets that this NumPy would use and can be told not to."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return " ".join(simd.get("found", []))


FROZEN = {
    "as": "800b6032b5795ce3",
    "asap": "e2b1e86d45f00663",
    "asfp": "e2b1e86d45f00663",
    "asfp_lc": "06d3c4167b6d348d",
    "auglocal": "2035f81cfd6a3e50",
    "bp": "e0eb3bda1cfff28e",
    "dfa": "de8a6247ac1e6e07",
    "dgl": "a7f67a3313d2d13d",
    "dkp": "0d4edf898f1c9551",
    "drtp": "b54513818ee5e4de",
    "fa": "bb80b67d8dda2de4",
    "forward_alignment": "498926614b2d0c9a",
    "kp": "c5a7aff79196dbea",
    "local_errors": "a5fa523c0fd69d2e",
    "phsic": "e0eb3bda1cfff28e",
    "pepita": "6387863bd92b93e2",
    "predsim": "a36dce9f54ca2620",
    "pfa": "108ebed1d9d16f14",
    "sign_symmetry": "3301fa830f13d21d",
    "weight_mirror": "e0eb3bda1cfff28e",
    "noise": "1a39e6cd3e079b4a",
    "batches": "fd23c280d9f26766",
}
"""A change here makes every stored result old: raise RECIPE_REVISION, and only with a reason."""
