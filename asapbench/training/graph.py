"""Training steps as one CUDA graph: batch, forward, backward, optimizer and running sums are launched at once.

A graph replays the same kernels on the same memory, so its bits are those of the eager steps. What changes from step
to step lies on the device: the position in the epoch, the learning rate, the recursion's scalars, the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor

from asapbench.data.batches import Batches
from asapbench.errors import WorkerError
from asapbench.training.environment import is_out_of_memory
from asapbench.training.steps import Step

EAGER_STEPS = 2
"""Steps before the graph is captured: they make the optimizer's moments, and libraries choose their kernels."""


class GraphSteps:
    """Steps on full batches are a graph after the first few; an epoch's last, smaller batch is an eager step.

    Raises WorkerError on a device without CUDA graphs, and where a step cannot be captured.
    """

    def __init__(self, step: Step, batches: Batches, batch_size: int) -> None:
        require_graphs(batches.device)
        self._step, self._batches, self._batch_size = step, batches, batch_size
        self._feed = Feed(batches, batch_size)
        self._done = 0
        self._replay: Callable[[], None] | None = None

    def epoch(self, number: int, *, start: int) -> Iterator[int]:
        """As `Steps.epoch`."""
        size, count = self._batch_size, len(self._batches)
        self._feed.begin(number, start=start)
        for _ in range(start, count // size):
            self._full()
            yield size
        if start * size < count and count % size:
            x, y = self._feed.rest()
            self._step.begin()
            self._step(x, y)
            yield len(y)

    def _full(self) -> None:
        self._step.begin()
        if self._replay is None and self._done == EAGER_STEPS:
            self._replay = captured(self._next, self._batches.device)
        if self._replay is None:
            beside(self._next, self._batches.device)
            self._done += 1
        else:
            self._replay()

    def _next(self) -> None:
        self._step(*self._feed.cut())


class Feed:
    """The full batches of an epoch, each cut at a position that lies in the device's memory.

    `cut` runs the same operations on the same memory each time, and moves the position.
    """

    def __init__(self, batches: Batches, batch_size: int) -> None:
        self._batches, self._batch_size = batches, batch_size
        self._draws, self._labels = batches.placed(1)
        self._first = torch.zeros((), dtype=torch.int64, device=batches.device)
        self._places = torch.arange(batch_size, device=batches.device)

    def begin(self, epoch: int, *, start: int) -> None:
        """Moves to batch `start` of an epoch."""
        draws, labels = self._batches.placed(epoch)
        self._draws.copy_(draws)
        self._labels.copy_(labels)
        self._first.fill_(start * self._batch_size)

    def cut(self) -> tuple[Tensor, Tensor]:
        """The next batch."""
        places = self._first + self._places
        self._first.add_(self._batch_size)
        return self._batches.cut(self._draws, places), self._labels[places]

    def rest(self) -> tuple[Tensor, Tensor]:
        """The epoch's last batch, if it is smaller."""
        count = len(self._batches)
        part = slice(count - count % self._batch_size, count)
        return self._batches.cut(self._draws, part), self._labels[part]


def require_graphs(device: torch.device) -> None:
    """Raises WorkerError for a device that has no CUDA graphs."""
    if device.type != "cuda":
        raise WorkerError(f"--cuda-graphs: only an NVIDIA GPU has them, and this cell trains on {device}")


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Where steps are captured: not the default stream, which cannot be."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def beside(step: Callable[[], None], device: torch.device) -> None:
    """Runs `step` on the stream of the capture: what libraries set up by stream is there then."""
    stream, current = _stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        step()
    current.wait_stream(stream)


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """`step` as a graph: the returned function replays it. Capturing it does not run it."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.device(device), torch.cuda.graph(graph, stream=_stream(device)):
            step()
    except RuntimeError as error:
        # An error, not eager steps from here: the capture has run the step's Python code without its kernels, so that
        # what the code counts or keeps is a step ahead of the weights.
        # To end a capture that has failed raises, too: the first error says why.
        cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
        if is_out_of_memory(cause):
            raise cause from None
        raise WorkerError(
            f"--cuda-graphs: a step of this cell cannot be captured: {cause}; train it with --no-cuda-graphs"
        ) from cause
    return graph.replay
