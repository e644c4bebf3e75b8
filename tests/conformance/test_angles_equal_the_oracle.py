"""The measured angle between a rule's update and backpropagation's is that of the oracle's gradients."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from test_oracle import NETWORKS, torch_model

from asapbench.rules import attach
from asapbench.suite.catalog import RULES
from asapbench.training.alignment import alignment


@pytest.mark.parametrize(
    ("name", "rule"), [("alexnet", "asap"), ("resnet10", "asap"), ("resnet10", "fa"), ("mlp", "dfa"), ("alexnet", "as")]
)
def test_the_angles_are_those_of_the_oracle(name: str, rule: str) -> None:
    model, x, y = torch_model(name)
    learner = attach(model, RULES[rule].choose(), x, seed=5)
    parameters = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    feedback = {layer: b.detach().numpy().copy() for layer, _, b in learner.feedback_pairs()}
    projections = [b.numpy() for _, b in learner.fixed_feedback()] if rule == "dfa" else []

    def gradients(of: oracle.Rule, drawn: list[np.ndarray]) -> dict[str, np.ndarray]:
        net = NETWORKS[name][0]
        found = oracle.run(net, parameters, x.numpy(), y.numpy(), of, feedback=feedback, projections=drawn, kernels={})
        return found.gradients

    ours, exact = gradients(oracle.Rule(rule), projections), gradients(oracle.Rule("bp"), [])
    rows = alignment(learner, x, y, epoch=0, precision="float32")
    updates = {row.layer: row.degrees for row in rows if row.quantity == "update"}
    weights = {row.layer: row.degrees for row in rows if row.quantity == "weights"}
    matrices = {name for name, value in parameters.items() if value.ndim > 1}
    assert {f"{layer}.weight" for layer in updates} == matrices & set(ours)
    for layer, degrees in updates.items():
        assert degrees == pytest.approx(angle(ours[f"{layer}.weight"], exact[f"{layer}.weight"]), abs=1e-5), layer
    assert set(weights) == set(feedback)
    for layer, degrees in weights.items():
        assert degrees == pytest.approx(angle(parameters[f"{layer}.weight"], feedback[layer]), abs=1e-5), layer


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
