"""A rule trains with the criterion that it is given: at the output, at every tap and at every local classifier."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_cell import Recorder, cell, noise_images, trainer
from torch import Tensor

from asapbench.models import build, initialise
from asapbench.rules import CrossEntropy, Learner, attach
from asapbench.suite.catalog import MODELS
from asapbench.training.evaluate import evaluate

DRAW = torch.Generator().manual_seed(1)
X, Y = torch.randn(6, 3, 8, 8, generator=DRAW, dtype=torch.float64), torch.arange(6) % 4


def learner_of(rule: str, criterion) -> Learner:
    model = build(MODELS["alexnet"].choose({"width": 2, "hidden": 4}), channels=3, size=8, classes=4)
    initialise(model, 1)
    return attach(model.double(), rule, X, seed=2, criterion=criterion)


def as_a_user_writes_it(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy with smoothed labels, from its definition."""
    target = F.one_hot(y, logits.shape[1]).to(logits) * 0.8 + 0.2 / logits.shape[1]
    return -(target * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("rule", ["bp", "dfa", "asap", "local_errors", "dgl"])
def test_any_function_of_logits_and_labels_is_a_criterion(rule: str) -> None:
    ours, theirs = (learner_of(rule, criterion) for criterion in (CrossEntropy(0.2), as_a_user_writes_it))
    assert float(ours.backward(X, Y).loss) == pytest.approx(float(theirs.backward(X, Y).loss), rel=1e-12)
    pairs = list(zip(ours.trained_parameters(), theirs.trained_parameters(), strict=True))
    assert len(pairs) > 5
    for (name, one), (_, other) in pairs:
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-13, msg=name)


def test_the_error_in_closed_form_is_autograds() -> None:
    logits = torch.randn(5, 7, generator=DRAW, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 6, 3, 3, 1])
    for smoothing in (0.0, 0.3):
        criterion = CrossEntropy(smoothing)
        (expected,) = torch.autograd.grad(criterion(logits, y), logits)
        torch.testing.assert_close(criterion.error(logits.detach(), y), expected, rtol=1e-12, atol=1e-15)


def test_the_training_loss_is_smoothed_and_the_test_loss_is_not(tmp_path) -> None:
    images = noise_images()
    rows = {}
    for smoothing in (0.0, 0.5):
        recorder = Recorder()
        which = replace(cell("bp"), label_smoothing=smoothing, epochs=1, lr=1e-12)
        run = trainer(which, images, tmp_path / str(smoothing), recorder)
        assert run.fit() == "done"
        (rows[smoothing],) = recorder.rows
        found = evaluate(run.state.model, run.test, device=run.device, precision="float32", should_stop=lambda: False)
        assert rows[smoothing].test_loss == found[0]
    assert rows[0.0].test_loss == pytest.approx(rows[0.5].test_loss, rel=1e-6)
    assert rows[0.5].train_loss != pytest.approx(rows[0.0].train_loss, rel=1e-3)


def test_a_criterion_that_is_a_module_is_no_part_of_the_learner_and_can_be_replaced() -> None:
    learner = learner_of("dgl", torch.nn.CrossEntropyLoss(weight=torch.ones(4, dtype=torch.float64)))
    assert not any("criterion" in name for name in learner.state_dict())
    learner.use_criterion(as_a_user_writes_it)
    learner.backward(X, Y)


@pytest.mark.parametrize("wrong", [lambda logits, y: F.cross_entropy(logits, y, reduction="none"), lambda *_: 0.5])
def test_a_criterion_that_returns_no_scalar_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match="a criterion returns the mean loss of a batch"):
        learner_of("dfa", wrong)
