"""A tiny data set and a listener that can stop a cell at any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asapbench.data.images import Images
from asapbench.metrics import Alignment, EpochMetrics
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.training.listener import Listener
from asapbench.training.settings import TrainingSettings
from asapbench.training.trainer import Trainer

TEXT = """
[suite]
name = "tiny"
[[grid]]
dataset = "cifar10"
model = {model}
rule = "{rule}"
lr = 0.05
epochs = 3
batch_size = 16
augment = "crop_flip"
"""


class Recorder(Listener):
    """Keeps what it is told; asks to stop after `stop_after` steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.steps = stop_after, 0
        self.rows: list[EpochMetrics] = []
        self.history: list[EpochMetrics] = []
        self.angles: list[Alignment] = []
        self.warnings: list[str] = []
        self.batch, self.bit_exact = 0, True
        self.progress: list[tuple[int, int, int]] = []

    def warned(self, message: str) -> None:
        self.warnings.append(message)

    def resumed(self, history: Sequence[EpochMetrics], *, batch: int, bit_exact: bool) -> None:
        self.history, self.batch, self.bit_exact = list(history), batch, bit_exact

    def progressed(self, *, epoch: int, batch: int, batches: int, accuracy: float, rate: float) -> None:
        self.progress.append((epoch, batch, batches))

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        self.rows.append(metrics)

    def aligned(self, rows: Sequence[Alignment]) -> None:
        self.angles += rows

    def should_stop(self) -> bool:
        self.steps += 1
        return self.steps == self.stop_after


def noise_images() -> Images:
    """40 and 20 images of noise whose mean gives the class away: 3 batches of 16, the last of 8."""
    stream = torch.Generator().manual_seed(3)

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(count) % 10
        noise = torch.randint(0, 100, (count, 3, 32, 32), generator=stream)
        return (noise + 15 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels

    train, test = drawn(40), drawn(20)
    return Images(*train, *test, classes=10, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), fingerprint="tiny")


def cell(rule: str = "asap", **changes: object) -> Cell:
    """A tiny cell of `rule`, on a network that it is for."""
    model = '"mlp"' if RULES[rule].needs == "linear" else '{ name = "resnet10", width = 2 }'
    (found,) = parse(TEXT.format(rule=rule, model=model), source="tiny.toml").cells
    return replace(found, **changes)


def in_precisions(*precisions: str) -> list[tuple[str, str]]:
    """Each rule of the catalog with each of `precisions` that it can be trained in."""
    return [(r, p) for r in RULES for p in precisions if p == "float32" or not RULES[r].needs_float32]


def trainer(cell: Cell, images: Images, directory: Path, listener: Recorder, **options: object) -> Trainer:
    previous = options.pop("previous", ())
    settings = TrainingSettings(**{"device": "cpu"} | options)
    return Trainer(cell, images, settings=settings, directory=directory, previous=previous, listener=listener)


def bits(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Every weight, statistic and feedback weight at the end."""
    state = {f"model.{name}": value.clone() for name, value in trainer.state.model.state_dict().items()}
    return state | {f"rule.{name}": value.clone() for name, value in trainer.state.learner.rule_state().items()}


def same_bits(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
