"""An epoch of the 784-10-10-10 network of A.2, compared with the same epoch written in NumPy.

python benchmarks/small_network.py --images 20000 --rounds 9

Both train from the same weights on the same batches of 50, and evaluate one test image per 6 training images, as in
MNIST. Their training losses are compared, to verify that the control does the same work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import conditions, interleaved, table
from threadpoolctl import threadpool_limits

from asapbench.data.images import Images
from asapbench.metrics import EpochMetrics
from asapbench.suite.catalog import DATASETS, MODELS, OPTIMIZERS, RULES, SCHEDULES
from asapbench.suite.cell import Cell
from asapbench.training.listener import Listener
from asapbench.training.optimizer import leave_compiler_out
from asapbench.training.settings import TrainingSettings
from asapbench.training.trainer import Trainer

CONTROL = "NumPy"
BATCH, LR, MOMENTUM, DECAY, EPSILON = 50, 1e-4, 0.9, 5e-4, 1e-5
Array = np.ndarray[Any, np.dtype[Any]]


class Kept(Listener):
    """Keeps the epoch's metrics."""

    metrics: EpochMetrics

    def warned(self, message: str) -> None:
        raise RuntimeError(message)

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        self.metrics = metrics


class Written:
    """The network, its rule and its optimizer by hand; its parameters come from a trainer that has not started."""

    def __init__(self, trainer: Trainer, images: Images) -> None:
        state = {name: value.detach().numpy().copy() for name, value in trainer.state.model.state_dict().items()}
        self.nonlinear = trainer.cell.model.flag("nonlinear")
        step = 3 if self.nonlinear else 1
        self.layers = ["hidden.0", f"hidden.{step}", "fc"]
        self.norms = ["hidden.1", "hidden.4", "logits_bn"] if self.nonlinear else []
        self.p = {name: state[name] for name, _ in trainer.state.model.named_parameters()}
        self.momentum = {name: np.zeros_like(value) for name, value in self.p.items()}
        self.running = {f"{n}.{kind}": state[f"{n}.{kind}"] for n in self.norms for kind in RUNNING}
        self.c = [c.numpy() for _, _, c in trainer.state.learner.aligned_pairs()]
        self.order = trainer.train.draws(1).order.numpy()
        self.train = images.train_images.flatten(1).numpy(), images.train_labels.numpy()
        self.test = images.test_images.flatten(1).numpy(), images.test_labels.numpy()
        self.scale, self.shift = np.float32(1 / (255 * images.std[0])), np.float32(images.mean[0] / images.std[0])

    def epoch(self) -> float:
        """Trains for an epoch, evaluates, and returns the mean training loss."""
        (pixels, labels), total, hits = self.train, 0.0, 0
        for first in range(0, len(labels), BATCH):
            chosen = self.order[first : first + BATCH]
            x, y = pixels[chosen] * self.scale - self.shift, labels[chosen]
            loss, right = self.step(x, y)
            total, hits = total + loss * len(y), hits + right
        pixels, test_labels = self.test
        for first in range(0, len(test_labels), 250):
            x = pixels[first : first + 250] * self.scale - self.shift
            cross_entropy(self.forward(x, training=False)[-1], test_labels[first : first + 250])
        return total / len(labels)

    def step(self, x: Array, y: Array) -> tuple[float, int]:
        inputs, caches, logits = self.forward(x, training=True)
        loss, softmax = cross_entropy(logits, y)
        sources = [x, *self.approximate(inputs)] if self.c else inputs
        right = int((logits.argmax(1) == y).sum())
        softmax[np.arange(len(y)), y] -= 1
        delta, gradients = softmax / np.float32(len(y)), {}
        for i in (2, 1, 0):
            if self.nonlinear:
                if i < 2:
                    delta = delta * (inputs[i + 1] > 0)
                normal, deviation = caches[i]
                norm = self.norms[i]
                gradients[f"{norm}.weight"], gradients[f"{norm}.bias"] = (delta * normal).sum(0), delta.sum(0)
                delta = delta * self.p[f"{norm}.weight"]
                delta = (delta - delta.mean(0) - normal * (delta * normal).mean(0)) / deviation
            layer = self.layers[i]
            gradients[f"{layer}.weight"], gradients[f"{layer}.bias"] = delta.T @ sources[i], delta.sum(0)
            if i:
                delta = delta @ self.p[f"{layer}.weight"]
        for name, gradient in gradients.items():
            momentum, parameter = self.momentum[name], self.p[name]
            momentum *= MOMENTUM
            momentum += gradient + DECAY * parameter
            parameter -= LR * momentum
        return loss, right

    def forward(self, x: Array, *, training: bool) -> tuple[list[Array], list[tuple[Array, Array]], Array]:
        """Each layer's input, BatchNorm's normalised values and deviations, and the logits."""
        inputs, caches = [], []
        for i, layer in enumerate(self.layers):
            inputs.append(x)
            x = x @ self.p[f"{layer}.weight"].T + self.p[f"{layer}.bias"]
            if self.nonlinear:
                norm = self.norms[i]
                normal, deviation = self.normalised(x, norm) if training else self.standing(x, norm)
                caches.append((normal, deviation))
                x = normal * self.p[f"{norm}.weight"] + self.p[f"{norm}.bias"]
                if i < 2:
                    x = np.maximum(x, 0)
        return inputs, caches, x

    def normalised(self, x: Array, norm: str) -> tuple[Array, Array]:
        normal, deviation, mean, variance = batchnorm(x)
        for kind, value in zip(RUNNING, (mean, variance * (len(x) / (len(x) - 1))), strict=True):
            running = self.running[f"{norm}.{kind}"]
            running += 0.1 * (value - running)
        return normal, deviation

    def standing(self, x: Array, norm: str) -> tuple[Array, Array]:
        mean, variance = (self.running[f"{norm}.{kind}"] for kind in RUNNING)
        deviation = np.sqrt(variance + EPSILON)
        return (x - mean) / deviation, deviation

    def approximate(self, inputs: list[Array]) -> list[Array]:
        """h~ of the default reading: BatchNorm without scale and shift, no activation."""
        found = []
        for h, c in zip(inputs, self.c, strict=False):
            value = h @ c.T
            found.append(batchnorm(value)[0] if self.nonlinear else value)
        return found


RUNNING = ("running_mean", "running_var")


def batchnorm(x: Array) -> tuple[Array, Array, Array, Array]:
    mean = x.mean(0)
    centred = x - mean
    variance = (centred * centred).mean(0)
    deviation = np.sqrt(variance + np.float32(EPSILON))
    return centred / deviation, deviation, mean, variance


def cross_entropy(logits: Array, y: Array) -> tuple[float, Array]:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    softmax = exponentials / exponentials.sum(1, keepdims=True)
    return float(-np.log(softmax[np.arange(len(y)), y]).mean()), softmax


def noise(count: int) -> Images:
    """Images of MNIST's shape whose brightness depends on the class."""
    draw = torch.Generator().manual_seed(0)

    def drawn(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(n) % 10
        pixels = torch.randint(0, 120, (n, 1, 28, 28), generator=draw) + 12 * labels.view(-1, 1, 1, 1)
        return pixels.to(torch.uint8), labels

    return Images(*drawn(count), *drawn(count // 6), classes=10, mean=(0.4,), std=(0.2,), fingerprint="noise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    leave_compiler_out()  # as a worker does
    threadpool_limits(1)  # a second thread of NumPy's library would spin, and its CPU time would count
    images = noise(given.images)
    print(f"{given.images} training images, batch {BATCH}; {conditions(given.rounds)}")
    for rule in ("bp", "forward_alignment"):
        for nonlinear in (False, True):
            measure(rule, nonlinear, images, given.rounds)


def measure(rule: str, nonlinear: bool, images: Images, rounds: int) -> None:
    cell = Cell(
        dataset=DATASETS["mnist"].choose(),
        model=MODELS["mlp"].choose({"nonlinear": nonlinear}),
        rule=RULES[rule].choose(),
        optimizer=OPTIMIZERS["sgd"].choose({"momentum": MOMENTUM, "weight_decay": DECAY}),
        lr=LR, schedule=SCHEDULES["constant"].choose(), epochs=1, batch_size=BATCH, augment="none", seed=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        listener = Kept()
        trainers = [
            Trainer(
                cell,
                images,
                settings=TrainingSettings(device="cpu"),
                directory=Path(folder) / str(n),
                previous=(),
                listener=listener,
            )
            for n in range(rounds + 1)
        ]
        written = [Written(trainer, images) for trainer in trainers]
        losses: list[float] = []
        found = interleaved(
            {CONTROL: lambda: losses.append(written.pop().epoch()), "asapbench": lambda: trainers.pop().fit()},
            rounds=rounds,
        )
    # In float64 their weights stay within 1e-11 of each other; in float32 a ReLU that rounds the other way grows.
    np.testing.assert_allclose(losses, listener.metrics.train_loss, rtol=5e-3)
    print(f"\n{rule}, {'with BatchNorm and ReLU' if nonlinear else 'linear'}\n\n{table(found, control=CONTROL)}")


if __name__ == "__main__":
    main()
