"""The theorem of Forward Alignment, integrated: against closed forms, invariants, and a second integrator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from asapbench.analysis.theorem import CASES, Case, Problem, Sizes, Trajectory, integrate, runs
from asapbench.errors import AsapbenchError

BY_NAME = {case.name: case for case in CASES}
SIZES = Sizes(hidden=7, inputs=5, outputs=3)


def problem(name: str, seed: int = 0) -> Problem:
    return BY_NAME[name].problem(np.random.default_rng(seed), SIZES)


def v_of(p: Problem, W: np.ndarray, A: np.ndarray) -> float:
    E = p.T - W @ A
    return float(np.trace(E @ p.C.T @ p.C @ E.T))


def slope_of_v(p: Problem) -> float:
    """dV/dt at the start, from V's change over a short time."""
    run = integrate(p, horizon=1e-5)
    return float((run.v[-1] - run.v[0]) / run.times[-1])


@pytest.mark.parametrize("case", CASES, ids=BY_NAME)
def test_each_case_shows_what_it_says_in_every_draw(case: Case) -> None:
    for sizes in (SIZES, Sizes()):
        assert [case.holds(run) for run in runs(case, sizes, 4)] == [True] * 4


@pytest.mark.parametrize("case", CASES, ids=BY_NAME)
def test_k_plus_its_transpose_is_conserved_from_every_start(case: Case) -> None:
    """d(A C^T + C A^T)/dt = W^T dW/dt + dW/dt^T W = d(W^T W)/dt, whatever the start."""
    assert integrate(problem(case.name)).symmetric_drift.max() < 1e-8


@pytest.mark.parametrize("name", ["zero", "dependent", "rank_below_outputs"])
def test_the_path_from_zero_is_the_closed_form(name: str) -> None:
    """W = X T C^T, A = C T^T X^2 T / 2: for each eigenvalue kappa of T C^T C T^T, dx/dt = 1 - kappa x^3 / 2."""
    p = problem(name)
    run = integrate(p, horizon=30.0)
    kappa, U = np.linalg.eigh(p.T @ p.C.T @ p.C @ p.T.T)
    kappa = np.where(kappa < 1e-12, 0, kappa)
    x = solve_ivp(lambda _t, x: 1 - kappa * x**3 / 2, (0, 30), np.zeros(3), t_eval=run.times, rtol=1e-11, atol=1e-12).y
    remains = (1 - kappa[:, None] * x**3 / 2) ** 2
    loss = ((U.T @ p.T) ** 2).sum(1) @ remains
    np.testing.assert_allclose(run.loss, loss, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(run.v, kappa @ remains, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(run.weights, kappa @ x**2, rtol=1e-6, atol=1e-12)


def test_what_cannot_be_learned_from_zero_is_the_target_where_c_sees_nothing_of_it() -> None:
    p = problem("rank_below_outputs")
    left = np.linalg.svd(p.T @ p.C.T)[0]
    unseen = left[:, np.linalg.matrix_rank(p.C) :]
    assert unseen.shape[1] == 1
    assert integrate(p).loss[-1] == pytest.approx(np.linalg.norm(unseen.T @ p.T) ** 2, rel=1e-9)


def test_the_weights_from_zero_end_where_k_and_the_target_put_them() -> None:
    """x -> (2 / kappa)^(1/3), so that |W|^2 -> the sum of (4 kappa)^(1/3)."""
    p = problem("zero")
    kappa = np.linalg.eigvalsh(p.T @ p.C.T @ p.C @ p.T.T)
    assert integrate(p).weights[-1] == pytest.approx(np.cbrt(4 * kappa).sum(), rel=1e-5)


def test_v_falls_at_the_rate_of_equation_35_where_k_is_zero() -> None:
    p = problem("generic_k0")
    E = p.T - p.W @ p.A
    expected = -(np.linalg.norm(E @ p.C.T @ p.W.T) ** 2) - 2 * np.linalg.norm(p.W.T @ E @ p.C.T) ** 2
    assert slope_of_v(p) == pytest.approx(expected, rel=1e-3)


def test_v_first_rises_at_twice_its_size_from_the_opposed_start() -> None:
    """W = 0 and A C^T = -C C^+: dV/dt = -2 tr(E C^T A C^T C E^T) = 2 V."""
    p = problem("opposed")
    assert slope_of_v(p) == pytest.approx(2 * v_of(p, p.W, p.A), rel=1e-3)


def test_the_starts_and_ranks_are_what_their_names_say() -> None:
    for name in ("zero", "dependent", "rank_below_outputs"):
        assert not problem(name).W.any()
        assert not problem(name).A.any()
    ranks = {name: int(np.linalg.matrix_rank(problem(name).C)) for name in BY_NAME}
    assert ranks == {
        "zero": 5,
        "generic_k0": 5,
        "random": 5,
        "dependent": 3,
        "dependent_random": 3,
        "rank_below_outputs": 2,
        "opposed": 5,
    }
    p = problem("generic_k0")
    np.testing.assert_allclose(p.A @ p.C.T, p.W.T @ p.W / 2, atol=1e-14)
    assert np.abs(p.W).max() > 0.1
    p = problem("opposed")
    np.testing.assert_allclose(p.A.T @ p.C, -np.eye(5), atol=1e-12)
    p = problem("random")
    assert np.linalg.norm(p.A @ p.C.T - p.W.T @ p.W / 2) > 0.1


@pytest.mark.parametrize("name", ["random", "dependent_random", "opposed"])
def test_another_integrator_comes_to_the_same(name: str) -> None:
    """Runge-Kutta of order 4 with a fixed step."""
    p, step = problem(name), 1e-3

    def rates(W: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        E = p.T - W @ A
        return E @ p.C.T, W.T @ E

    W, A = p.W, p.A
    for _ in range(2000):
        w1, a1 = rates(W, A)
        w2, a2 = rates(W + step / 2 * w1, A + step / 2 * a1)
        w3, a3 = rates(W + step / 2 * w2, A + step / 2 * a2)
        w4, a4 = rates(W + step * w3, A + step * a3)
        W, A = W + step / 6 * (w1 + 2 * w2 + 2 * w3 + w4), A + step / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
    run = integrate(p, horizon=2.0)
    k, start = A @ p.C.T - W.T @ W / 2, p.A @ p.C.T - p.W.T @ p.W / 2
    assert run.times[-1] == 2.0
    assert run.loss[-1] == pytest.approx(np.linalg.norm(p.T - W @ A) ** 2, rel=1e-7)
    assert run.v[-1] == pytest.approx(v_of(p, W, A), rel=1e-7)
    assert run.weights[-1] == pytest.approx(np.linalg.norm(W) ** 2, rel=1e-7)
    assert run.drift[-1] == pytest.approx(np.linalg.norm(k - start), rel=1e-6, abs=1e-8)


def test_the_bound_is_lemma_4s_and_claimed_only_where_k_plus_its_transpose_is_zero() -> None:
    for name in ("zero", "generic_k0"):
        p = problem(name)
        assert integrate(p, horizon=1e-3).bound == pytest.approx(np.linalg.norm(p.T @ p.C.T) ** 2 + 2 * 3)
    for name in ("random", "dependent_random", "opposed"):
        assert integrate(problem(name), horizon=1e-3).bound is None
    p = problem("generic_k0")
    far = replace(p, W=9 * p.W, A=81 * p.A)
    assert integrate(far, horizon=1e-3).bound == pytest.approx(np.linalg.norm(far.W) ** 2)


def test_a_rise_of_v_is_measured_against_what_it_was_before() -> None:
    flat = np.zeros(4)
    made_up = Trajectory(np.arange(4.0), flat + 1, np.array([2.0, 1.0, 1.4, 0.5]), flat, flat, flat, None, True)
    assert made_up.rise == pytest.approx(0.2)
    assert not made_up.falls
    assert not made_up.bounded
    assert replace(made_up, v=np.array([2.0, 1.0, 1.0, 0.5])).falls


def test_runs_are_drawn_from_the_seed_alone() -> None:
    one, again = (runs(BY_NAME["random"], SIZES, 2) for _ in range(2))
    assert np.array_equal(one[0].loss, again[0].loss)
    assert one[0].loss[0] != one[1].loss[0]


@pytest.mark.parametrize("sizes", [(8, 8, 4), (12, 4, 4), (12, 8, 1), (4, 8, 12)])
def test_sizes_that_the_theorem_is_not_about_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(AsapbenchError, match=f"sizes {','.join(map(str, sizes))}: the theorem needs n_h > n_x > n_y"):
        Sizes(*sizes)
