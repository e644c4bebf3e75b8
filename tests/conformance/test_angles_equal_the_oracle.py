"""Measured angles and norm ratios are those of the oracle's gradients, and of the weights that a rule compares."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from test_oracle import NETWORKS, torch_model

from asapbench.rules import attach
from asapbench.suite.catalog import RULES
from asapbench.training.alignment import alignment
from asapbench.training.gradient_quality import gradient_quality

CASES = [
    ("alexnet", "asap"),
    ("resnet10", "asap"),
    ("resnet10", "fa"),
    ("mlp", "dfa"),
    ("alexnet", "as"),
    ("mlp", "forward_alignment"),
]


@pytest.mark.parametrize(("name", "rule"), CASES)
def test_the_angles_and_norm_ratios_are_those_of_the_oracle(name: str, rule: str) -> None:
    model, x, y = torch_model(name)
    learner = attach(model, RULES[rule].choose(), x, seed=5)
    parameters = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    feedback = {layer: b.detach().numpy().copy() for layer, _, b in learner.feedback_pairs()}
    fixed = {layer: b.numpy() for layer, b in learner.fixed_feedback()}
    compared = fixed if rule == "forward_alignment" else feedback

    def gradients(of: str) -> dict[str, np.ndarray]:
        return oracle.run(
            NETWORKS[name][0],
            parameters,
            x.numpy(),
            y.numpy(),
            oracle.Rule(of),
            feedback=feedback,
            projections=list(fixed.values()) if of == "dfa" else [],
            kernels={},
            stand_ins=fixed if of == "forward_alignment" else {},
        ).gradients

    ours, exact = gradients(rule), gradients("bp")
    rows = alignment(learner, x, y, epoch=0, precision="float32")
    updates = {f"{row.layer}.weight": row.degrees for row in rows if row.quantity == "update"}
    weights = {row.layer: row.degrees for row in rows if row.quantity == "weights"}
    assert set(updates) == {key for key, value in parameters.items() if value.ndim > 1 and key in ours}
    for key, degrees in updates.items():
        assert degrees == pytest.approx(angle(ours[key], exact[key]), abs=1e-5), key
    qualities = gradient_quality(learner, x, y, epoch=0, precision="float32", rate=0.01)
    ratios = {f"{row.layer}.weight": row.norm_ratio for row in qualities[:-1]}
    assert set(ratios) == set(updates)
    for key, ratio in ratios.items():
        assert ratio == pytest.approx(np.linalg.norm(ours[key]) / np.linalg.norm(exact[key]), rel=1e-9), key
    assert set(weights) == set(compared)
    for layer, degrees in weights.items():
        assert degrees == pytest.approx(angle(parameters[f"{layer}.weight"], compared[layer]), abs=1e-5), layer


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
