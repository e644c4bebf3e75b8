"""The loss of logits for labels that a rule trains with: cross-entropy, with smoothed labels on request.

A criterion takes logits (N, K) and labels (N,) and returns a scalar. It holds for the output and for every local
classifier of a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy over a batch, in float32 at least.

    The target has 1 - `label_smoothing` for the label and `label_smoothing` / K for every class (Szegedy et al. 2016).

    >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    >>> [round(float(CrossEntropy(s)(logits, labels)), 4) for s in (0.0, 0.1)]
    [0.1269, 0.2269]
    """

    label_smoothing: float = 0.0

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of logits (N, K) for labels `y` (N,), in nats."""
        return F.cross_entropy(_wide(logits), y, label_smoothing=self.label_smoothing)

    def error(self, logits: Tensor, y: Tensor) -> Tensor:
        """The gradient (N, K) of the loss with respect to the logits, in closed form."""
        wide = _wide(logits)
        target = one_hot(y, wide.shape[1])
        found = F.softmax(wide, 1)
        if self.label_smoothing:
            smoothed = target.to(wide.dtype) * (1 - self.label_smoothing) + self.label_smoothing / wide.shape[1]
            return (found - smoothed) / len(y)
        return torch.add(found, target, alpha=-1) / len(y)


cross_entropy = CrossEntropy()
"""Of labels as they are."""


def error_at_logits(criterion: Criterion, logits: Tensor, y: Tensor) -> Tensor:
    """The gradient (N, K) of a criterion with respect to the logits, which are not differentiated further."""
    logits = logits.detach()
    if isinstance(criterion, CrossEntropy):
        return criterion.error(logits, y)
    found: Tensor = torch.func.grad(criterion)(logits, y)
    return found


def require_scalar(criterion: Criterion, *, classes: int, like: Tensor) -> None:
    """Raises TypeError unless the criterion returns a scalar for two blank examples of `classes` logits."""
    found = criterion(like.new_zeros(2, classes), torch.zeros(2, dtype=torch.int64, device=like.device))
    if not isinstance(found, Tensor) or found.dim() != 0:
        of = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(f"a criterion returns the mean loss of a batch, a scalar tensor; this one returns {of}")


def one_hot(y: Tensor, classes: int) -> Tensor:
    """Whether each class (N, classes) is the label. Unlike `F.one_hot` it reads no label on the host."""
    return y.unsqueeze(1) == torch.arange(classes, device=y.device)


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits
