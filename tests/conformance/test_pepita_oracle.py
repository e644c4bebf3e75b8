"""Every gradient of PEPITA equals a float64 NumPy oracle written from the paper's equations."""

from __future__ import annotations

import numpy as np
import pepita_oracle
import pytest
from test_oracle import NETWORKS, rounding_only, torch_model

from asapbench.rules import CrossEntropy, attach
from asapbench.suite.catalog import RULES

CASES = [(name, "first", 0.0) for name, (net, *_) in NETWORKS.items() if net.taps] + [
    (name, second, smoothing)
    for name in ("alexnet", "resnet10", "mlp")
    for second, smoothing in (("second", 0.0), ("first", 0.1))
]


@pytest.mark.parametrize(("name", "output_error", "smoothing"), CASES)
def test_gradients_equal_the_oracle(name: str, output_error: str, smoothing: float) -> None:
    net = NETWORKS[name][0]
    model, x, y = torch_model(name)
    # Far from 0.05, so that rounding counts for nothing in the differences.
    choice = RULES["pepita"].choose({"output_error": output_error, "feedback_size": 5.0})
    learner = attach(model, choice, x, seed=5, criterion=CrossEntropy(smoothing))
    ((_, projection),) = learner.fixed_feedback()
    before = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    objective = learner.backward(x, y)
    expected = pepita_oracle.run(
        net,
        before,
        x.numpy(),
        y.numpy(),
        projection=projection.numpy(),
        second_error=output_error == "second",
        smoothing=smoothing,
    )
    np.testing.assert_allclose(objective.logits.numpy(), expected.logits, rtol=1e-10, atol=1e-12)
    assert objective.loss.item() == pytest.approx(expected.loss, rel=1e-12)
    found = {key: p.grad.numpy() for key, p in model.named_parameters() if p.grad is not None}
    assert set(found) == set(expected.gradients) == set(before)
    for key, wanted in expected.gradients.items():
        if key not in rounding_only(net):
            assert np.abs(found[key] - wanted).max() < 1e-9 * np.abs(wanted).max(), key
