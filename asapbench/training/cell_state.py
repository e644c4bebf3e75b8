"""What changes while a cell trains: built from the cell, saved for a checkpoint, restored from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from asapbench.data.images import Images
from asapbench.errors import CheckpointError
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.models import build, initialise
from asapbench.models.options import linear_init
from asapbench.rules import CrossEntropy, attach
from asapbench.suite.cell import Cell
from asapbench.training.environment import differences
from asapbench.training.evaluate import Tally
from asapbench.training.optimizer import build_optimizer
from asapbench.training.saved import Saved, describe, require_alike

Environment = dict[str, str | int | bool]
"""A `training.environment.signature`."""


@dataclass
class Progress:
    """Where training stands: completed epochs, and batches done and seconds spent in the epoch under way.

    `Saved` has the same fields. `alignment` holds every row of layers: angles, and quality of gradients.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    history: list[EpochMetrics] = field(default_factory=list)
    alignment: list[LayerRow] = field(default_factory=list)


class CellState:
    """Model, rule, optimizer, running sums and progress of one cell on `device`, at its start until `restore`.

    `bit_exact`: every step so far was made in one environment. `images` give the model its input's shape.
    """

    def __init__(
        self,
        cell: Cell,
        images: Images,
        *,
        device: torch.device,
        memory_format: torch.memory_format,
        warn: Callable[[str], None],
    ) -> None:
        self.cell, self._warn = cell, warn
        _, channels, size, _ = images.train_images.shape
        self.model = build(cell.model, channels=channels, size=size, classes=images.classes)
        initialise(self.model, cell.seed, linear=linear_init(cell.model))
        criterion = CrossEntropy(cell.label_smoothing)
        self.learner = attach(self.model, cell.rule, images.train_images[:2].float(), cell.seed, criterion=criterion)
        self.learner.to(device)
        self.learner.to(memory_format=memory_format)
        parameters = [parameter for _, parameter in self.learner.trained_parameters()]
        self.optimizer = build_optimizer(cell.optimizer, parameters, lr=cell.lr, device=device)
        if dict(cell.rule.options).get("form") == "recursion" and (why := self.learner.bind(self.optimizer)):
            warn(f"{cell.label} ({cell.short}): feedback weights are held explicitly: {why}")
        # After bind: the start D0 of a recursion is drawn again on a resume and must be the same.
        self.feedback_digest = self.learner.fixed_digest()
        self.tally = Tally(device)
        self.progress = Progress()
        self.bit_exact = True

    def weights(self) -> dict[str, Any]:
        """The cell and its trained weights, for `training.weights`."""
        return {"cell": self.cell.to_json(), "model": self.model.state_dict(), "rule": self.learner.rule_state()}

    def saved(self, environment: Environment) -> Saved:
        """The state as it is now; its tensors are not copied."""
        return Saved(
            cell=self.cell.id,
            **vars(self.progress),
            tally=self.tally.state(),
            model=self.model.state_dict(),
            rule=self.learner.rule_state(),
            optimizer=self.optimizer.state_dict(),
            environment=environment,
            feedback_digest=self.feedback_digest,
            bit_exact=self.bit_exact,
        )

    def restore(self, path: Path, held: Saved, *, environment: Environment, batches: int) -> None:
        """Takes the state that the checkpoint at `path` holds; an epoch has `batches` batches.

        Raises CheckpointError for a checkpoint of another cell, or one that does not fit this one.
        """
        changed = differences(held.environment, environment)
        self._require_own(path, held, changed)
        again = self._how_to_train_again
        if held.position > (self.cell.epochs - 1, batches) and held.position != (self.cell.epochs, 0):
            raise CheckpointError(f"{path}: epoch {held.epoch}, batch {held.batch} are beyond the cell's end; {again}")
        try:
            require_alike(self.model.state_dict(), held.model)
            require_alike(self.learner.rule_state(), held.rule)
            require_alike(self.tally.state(), held.tally)
            self.model.load_state_dict(held.model)
            self.learner.load_rule_state(held.rule)
            self.tally.load(held.tally)
            self._load_optimizer(held.optimizer)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit its cell: {shorten(str(error), 300)}; {again}") from error
        if changed:
            self._warn(f"{self.cell.label} ({self.cell.short}): not bit-exact from here: {'; '.join(changed)}")
        self.bit_exact = held.bit_exact and not changed
        self.progress = Progress(held.epoch, held.batch, held.seconds, held.history, held.alignment)

    @property
    def _how_to_train_again(self) -> str:
        return f"train it from scratch: rerun with --only cell={self.cell.short}"

    def _require_own(self, path: Path, held: Saved, changed: list[str]) -> None:
        """Raises CheckpointError unless `held` is of this cell, with the feedback weights that its seed gives."""
        if held.cell != self.cell.id:
            raise CheckpointError(f"{path}: belongs to cell {held.cell[:10]}, not to {self.cell.short}")
        if held.feedback_digest != self.feedback_digest:
            raise CheckpointError(
                f"{path}: its fixed feedback weights (SHA-256 {held.feedback_digest[:10]}) are not those that seed "
                f"{self.cell.seed} gives here ({self.feedback_digest[:10]}), where every machine should give the same; "
                f"{'; '.join(changed) or 'the environment is the same'}; {self._how_to_train_again}"
            )

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """The optimizer's moments; its settings stay the cell's, whatever the file says."""
        self.optimizer.load_state_dict(state | {"param_groups": self.optimizer.state_dict()["param_groups"]})
        for parameter, moments in self.optimizer.state.items():
            for name, moment in moments.items():
                if not isinstance(moment, Tensor) or moment.shape == ():
                    continue
                if moment.shape != parameter.shape:
                    raise ValueError(f"{name} of the optimizer is {describe(moment)}, not {describe(parameter)}")
                # Fused optimizers read parameter and moment in the order of memory, which differs between devices.
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(moment)
