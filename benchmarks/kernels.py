"""Compares ways to compute one operation of a rule, to choose the one that a GPU uses.

python benchmarks/kernels.py                            # a GPU: device time, by CUDA graphs of 20 calls
python benchmarks/kernels.py --precision bf16
python benchmarks/kernels.py --device cpu --batch 2     # a check without a GPU

The operations are those of ResNet-18, width 64, on CIFAR's shape, in channels-last as on a GPU: a ReLU of the first
stage, forward and backward; B = W - s D0 of a layer of the last; DFA's error at a tap of the first stage, forward and
backward; the gradient of a layer whose shared activation has half of its channels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
import torch.nn.functional as F
from measuring import conditions, in_turn, seconds, table
from torch import Tensor

from asapbench.rules.engine import bitmask_relu, host
from asapbench.rules.engine.functions import rebuilt_feedback
from asapbench.rules.engine.matching import tiled
from asapbench.rules.engine.projected_error import Projection

CALLS = 20
Way = Callable[[], object]


def relus(device: torch.device, dtype: torch.dtype, batch: int) -> dict[str, Way]:
    """Ways to compute a ReLU; the first is the control, here and below."""
    x, delta = (channels_last(torch.randn(batch, 64, 32, 32, device=device, dtype=dtype)) for _ in range(2))
    x.requires_grad_()
    relu = bitmask_relu.LeanReLU().to(device)

    def arithmetic() -> object:
        with mock.patch.object(bitmask_relu, "_kernels", return_value=None):
            return torch.autograd.grad(relu(x), x, delta)

    ways: dict[str, Way] = {"torch's ReLU, which keeps its output": lambda: torch.autograd.grad(F.relu(x), x, delta)}
    if device.type == "cuda" and bitmask_relu._working_kernels() is not None:
        ways["bits by Triton"] = lambda: torch.autograd.grad(relu(x), x, delta)
    return ways | {"bits by arithmetic" if device.type == "cuda" else "bits by a table": arithmetic}


def feedback(device: torch.device, dtype: torch.dtype, batch: int) -> dict[str, Way]:
    """Weights stay in float32 in every precision."""
    weight, difference = (channels_last(torch.randn(512, 512, 3, 3, device=device)) for _ in range(2))
    exact = torch.tensor(0.7, dtype=torch.float64, device=device)
    scale = exact.float()

    def one() -> object:
        with mock.patch.object(host, "computes", return_value=False):
            return rebuilt_feedback(weight, difference, scale)

    ways: dict[str, Way] = {"cast, product, difference": lambda: weight - exact.to(weight.dtype) * difference}
    ways["addcmul, s cast once a step"] = one
    if device.type == "cpu":
        ways["s read on the host"] = lambda: rebuilt_feedback(weight, difference, scale)
    return ways


def projected(device: torch.device, dtype: torch.dtype, batch: int) -> dict[str, Way]:
    tap = channels_last(torch.randn(batch, 64, 32, 32, device=device, dtype=dtype)).requires_grad_()
    weight, error = torch.randn(10, 64, 32, 32, device=device), torch.randn(batch, 10, device=device)
    last, order = Projection(channels_last(weight)), Projection(weight)

    def product() -> object:
        forward = tap.detach().flatten(1).to(weight.dtype) @ weight.flatten(1).mT
        return forward, channels_last((error @ weight.flatten(1)).view(tap.shape).to(dtype))

    return {
        "a product in forward, the error copied to channels-last": product,
        "no product, the error copied": lambda: channels_last(torch.autograd.grad(order(tap), tap, error)[0]),
        "no product, the error formed in channels-last": lambda: torch.autograd.grad(last(tap), tap, error),
    }


def repeated(device: torch.device, dtype: torch.dtype, batch: int) -> dict[str, Way]:
    block = channels_last(torch.randn(512, 256, 3, 3, device=device, dtype=dtype))
    return {
        "repeated in contiguous order, copied to channels-last": lambda: channels_last(block.repeat(1, 2, 1, 1)),
        "concatenated in channels-last": lambda: tiled(block, 512),
    }


OPERATIONS = {
    "ReLU, forward and backward": relus,
    "B = W - s D0": feedback,
    "DFA's error at a tap": projected,
    "gradient of a repeated block": repeated,
}


def channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def measured(way: Way, device: torch.device) -> Callable[[], float]:
    """Measures the seconds of one call: of the device if it is a GPU, else of the process."""
    return _replayed(way) if device.type == "cuda" else partial(seconds, way, clock=time.process_time, calls=CALLS)


def _replayed(way: Way) -> Callable[[], float]:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        way()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            way()

    def run() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000 / CALLS

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu runs the same on small tensors")
    torch.set_num_threads(1)
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[given.precision]
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"batch {given.batch}, {given.precision}, {card}; {conditions(given.rounds, figures='interleaved')}")
    for operation, ways in OPERATIONS.items():
        runs = {name: measured(way, device) for name, way in ways(device, dtype, given.batch).items()}
        found = in_turn(runs, rounds=given.rounds)
        print(f"\n{operation}\n\n{table(found, control=next(iter(runs)), unit='us', factor=1e6)}")


if __name__ == "__main__":
    main()
