"""Final weights, kept on request: a file that loads again, without running code, into a plain model.

`checkpoint.write_file` writes them: the content is that of `CellState.weights`.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import torch
from torch import nn

from asapbench.data.images import Images
from asapbench.errors import AsapbenchError, CheckpointError
from asapbench.models import build
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.training import checkpoint
from asapbench.training.batches import testing_batches
from asapbench.training.environment import configure, memory_format
from asapbench.training.evaluate import evaluate


def load(path: Path) -> tuple[Cell, nn.Module]:
    """The cell and its trained plain model, on the CPU, in evaluation mode. Raises CheckpointError."""
    content = checkpoint.read_file(path)
    try:
        cell = Cell.from_json(content["cell"])
        shape = dataset_shape(cell.dataset)
        model = build(cell.model, channels=shape.channels, size=shape.size, classes=shape.classes)
        model.load_state_dict(content["model"])
    except (AsapbenchError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = shorten(str(error), 300)
        raise CheckpointError(f"{path}: these are not weights of the model they name: {reason}") from error
    return cell, model.eval()


def evaluated(path: Path, images: Images) -> tuple[float, float]:
    """Test loss in nats and test accuracy as a fraction of kept weights, on one thread of the CPU."""
    device = torch.device("cpu")
    cell, model = load(path)
    configure(device, threads=1, deterministic=True, precision=cell.precision)
    order = memory_format(device)
    test = testing_batches(cell, images, device, memory_format=order)
    return evaluate(model.to(memory_format=order), test, device=device, precision=cell.precision)
