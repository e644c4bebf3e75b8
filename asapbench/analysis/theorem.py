"""Numerical check of the theorem of Forward Alignment (A.1), by integrating eq. 30-31. NumPy in float64, torch-free.

    dW/dt = E C^T,  dA/dt = W^T E,  E = T - W A;      T (n_y, n_x), W (n_y, n_h), A and C (n_h, n_x), n_h > n_x > n_y

The theorem: with k = A C^T - W^T W / 2 = 0 and independent columns of C, E converges to zero. By Lemma 3
V = tr(E C^T C E^T) = |E C^T|^2 decreases, by Lemma 4 W stays bounded. What the text leaves out or misprints:

- The limit is t -> infinity, not t -> 0; eq. 34 lacks the transpose of its second E; 2 n_o in Lemma 4 does not follow
  from the step above it, tr((W W^T)^2) >= (s / n_o)^2, which gives 2 n_o^2, but from the sharper s^2 / n_o; and the
  "T C^T" beside it is |T C^T|^2. So |W|^2 <= |T C^T|^2 + 2 n_y, or |W(0)|^2 if that is larger.
- Eq. 33 integrates W^T dW/dt to W^T W / 2, which needs W^T dW/dt to be symmetric. From W = A = 0 it is, and k stays
  0. From other starts k drifts. But dk/dt = (W^T dW/dt - dW/dt^T W) / 2 is antisymmetric, so k + k^T is constant,
  and Lemmas 3 and 4 use nothing else of k: V decreases and W is bounded whenever k + k^T = 0 at the start.
- From W = A = 0 there is a closed form: with K = T C^T C T^T, W = X T C^T and A = C T^T X^2 T / 2, where X is a
  function of K that obeys dX/dt = I - K X^3 / 2. The part of T on which K is zero is never learned: |E|^2 stays there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asapbench.errors import AsapbenchError
from asapbench.randomness import stream_seed

Array = np.ndarray[Any, np.dtype[np.float64]]

HORIZON = 2_000.0
"""Latest end of a run: nearly all end before 100, but an eigenvalue of K near zero takes long."""

LARGEST = 64
"""Maximum of units per layer: every step of a run is kept."""

ZERO, STILL, RISE, DRIFT = 1e-12, 1e-16, 1e-9, 1e-6
"""|E|^2 over its start that counts as zero, |dW/dt|^2 + |dA/dt|^2 over |E|^2 as standstill, rise of V over its start as
none, drift of k (Frobenius) as none.

The integration's own errors are below 1e-15, 1e-19, 1e-15 and 1e-9.
"""


@dataclass(frozen=True)
class Sizes:
    """Units of the hidden layer, the input and the output.

    Raises AsapbenchError unless `LARGEST` >= n_h > n_x > n_y > 1.
    """

    hidden: int = 12
    inputs: int = 8
    outputs: int = 4

    def __post_init__(self) -> None:
        given = f"--sizes {self.hidden},{self.inputs},{self.outputs}"
        if self.hidden > LARGEST:
            raise AsapbenchError(f"{given}: n_h may be at most {LARGEST}; write smaller sizes, as in 12,8,4")
        if not self.hidden > self.inputs > self.outputs > 1:
            raise AsapbenchError(
                f"{given}: the theorem needs n_h > n_x > n_y, and n_y must be "
                "at least 2, so that rank(C) < n_y can be tried; write them in this order, as in 12,8,4"
            )


@dataclass(frozen=True, eq=False)
class Problem:
    """A target, fixed weights and a start."""

    T: Array
    C: Array
    W: Array
    A: Array


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Measurements along one run, at the integrator's own times.

    `drift` is |k - k(0)|, `symmetric_drift` the same for k + k^T, `weights` |W|^2. `bound` is Lemma 4's, or |W(0)|^2
    if that is larger; None if k + k^T is not zero at the start. `ended`: the loss is zero, or nothing moves any more.
    """

    times: Array
    loss: Array
    v: Array
    drift: Array
    symmetric_drift: Array
    weights: Array
    bound: float | None
    ended: bool

    @property
    def learned(self) -> bool:
        """Whether |E|^2 has reached zero: `ZERO` of its start, with a margin for rounding."""
        return bool(self.loss[-1] <= 1.01 * ZERO * self.loss[0])

    @property
    def rise(self) -> float:
        """The largest rise of V above an earlier value, over V(0)."""
        return float((self.v - np.minimum.accumulate(self.v)).max() / self.v[0])

    @property
    def falls(self) -> bool:
        """Whether V never rises."""
        return self.rise <= RISE

    @property
    def keeps_k(self) -> bool:
        """Whether k is conserved."""
        return bool(self.drift.max() <= DRIFT)

    @property
    def bounded(self) -> bool:
        """Whether |W|^2 stays within Lemma 4's bound, if there is one."""
        return self.bound is not None and bool(self.weights.max() <= self.bound)


@dataclass(frozen=True)
class Case:
    """A start and a rank of C. `shows` states what `holds` checks in each run."""

    name: str
    title: str
    shows: str
    problem: Callable[[np.random.Generator, Sizes], Problem]
    holds: Callable[[Trajectory], bool]


def integrate(problem: Problem, *, horizon: float = HORIZON) -> Trajectory:
    """Integrates eq. 30-31 until the loss is zero or nothing moves any more, at most to `horizon`.

    Uses an explicit Runge-Kutta method of order 8.
    """
    from scipy.integrate import solve_ivp

    T, C = problem.T, problem.C
    split = problem.W.size

    def unpacked(state: Array) -> tuple[Array, Array]:
        return state[:split].reshape(problem.W.shape), state[split:].reshape(problem.A.shape)

    def rates(_time: float, state: Array) -> Array:
        W, A = unpacked(state)
        E = T - W @ A
        return np.concatenate([(E @ C.T).ravel(), (W.T @ E).ravel()])

    def loss(state: Array) -> float:
        W, A = unpacked(state)
        return _square(T - W @ A)

    def above_zero(_time: float, state: Array) -> float:
        return loss(state) - ZERO * at_first

    def above_standstill(time: float, state: Array) -> float:
        return _square(rates(time, state)) - STILL * loss(state)

    start = np.concatenate([problem.W.ravel(), problem.A.ravel()])
    at_first = loss(start)
    ends: list[Any] = [above_zero, above_standstill]
    for end in ends:
        end.terminal = True
    solved = solve_ivp(rates, (0.0, horizon), start, method="DOP853", rtol=1e-9, atol=1e-11, events=ends)
    if not solved.success:
        raise AsapbenchError(f"the integration of eq. 30-31 stopped at t = {solved.t[-1]:g}: {solved.message}")
    ended = solved.status == 1  # one of `ends` was reached
    return _measured(problem, solved.t, [unpacked(state) for state in solved.y.T], ended=ended)


def _measured(problem: Problem, times: Array, states: list[tuple[Array, Array]], *, ended: bool) -> Trajectory:
    T, C = problem.T, problem.C
    errors = [T - W @ A for W, A in states]
    k = np.array([A @ C.T - W.T @ W / 2 for W, A in states])
    moved = k - k[0]
    bound = _square(T @ C.T) + 2 * len(T)
    claimed = bool(_square(k[0] + k[0].T) <= DRIFT**2)
    return Trajectory(
        times=times,
        loss=np.array([_square(E) for E in errors]),
        v=np.array([_square(E @ C.T) for E in errors]),
        drift=np.linalg.norm(moved, axis=(1, 2)),
        symmetric_drift=np.linalg.norm(moved + moved.transpose(0, 2, 1), axis=(1, 2)),
        weights=np.array([_square(W) for W, _ in states]),
        bound=max(bound, _square(problem.W)) if claimed else None,
        ended=ended,
    )


def _square(matrix: Array) -> float:
    """The squared Frobenius norm."""
    return float((matrix * matrix).sum())


def _drawn(draw: np.random.Generator, rows: int, columns: int, rank: int | None = None) -> Array:
    """Normal entries of variance 1 / columns; with `rank` a product of that rank whose entries have this variance."""
    left = None if rank is None else _drawn(draw, rows, rank)
    right = draw.standard_normal((rows if rank is None else rank, columns))
    drawn: Array = (right if left is None else left @ right) / np.sqrt(columns)
    return drawn


def _zero_start(draw: np.random.Generator, sizes: Sizes, rank: int | None = None) -> Problem:
    T, C = _drawn(draw, sizes.outputs, sizes.inputs), _drawn(draw, sizes.hidden, sizes.inputs, rank)
    return Problem(T, C, np.zeros((sizes.outputs, sizes.hidden)), np.zeros((sizes.hidden, sizes.inputs)))


def _random_start(draw: np.random.Generator, sizes: Sizes, rank: int | None = None) -> Problem:
    start = _zero_start(draw, sizes, rank)
    return replace(start, W=_drawn(draw, *start.W.shape), A=_drawn(draw, *start.A.shape))


def _generic_start_with_k_zero(draw: np.random.Generator, sizes: Sizes) -> Problem:
    """W = R C^T and A = C R^T R / 2 with a random R: then A C^T = W^T W / 2."""
    start = _zero_start(draw, sizes)
    C, R = start.C, _drawn(draw, sizes.outputs, sizes.inputs)
    return replace(start, W=R @ C.T, A=C @ R.T @ R / 2)


def _opposed_start(draw: np.random.Generator, sizes: Sizes) -> Problem:
    """W = 0 and A = -C (C^T C)^-1: then dV/dt = 2 V at first."""
    start = _zero_start(draw, sizes)
    C = start.C
    return replace(start, A=-C @ np.linalg.inv(C.T @ C))


CASES = (
    Case(
        "zero",
        "W = A = 0",
        "The theorem: k stays 0, V never rises, W stays within its bound, the loss goes to zero",
        _zero_start,
        lambda run: run.keeps_k and run.falls and run.bounded and run.learned,
    ),
    Case(
        "generic_k0",
        "k = 0, other start",
        "Eq. 33 does not hold, k drifts; but k + k^T stays 0: V falls, W stays within its bound, the loss goes to zero",
        _generic_start_with_k_zero,
        lambda run: (
            not run.keeps_k and bool(run.symmetric_drift.max() <= DRIFT) and run.falls and run.bounded and run.learned
        ),
    ),
    Case("random", "random k", "k = 0 is not necessary: the loss goes to zero", _random_start, lambda run: run.learned),
    Case(
        "dependent",
        "rank(C) < n_x, W = A = 0",
        "Independent columns of C are not necessary: the loss goes to zero",
        lambda draw, sizes: _zero_start(draw, sizes, sizes.outputs),
        lambda run: run.learned,
    ),
    Case(
        "dependent_random",
        "rank(C) < n_x, random k",
        "Neither condition is necessary: the loss goes to zero",
        lambda draw, sizes: _random_start(draw, sizes, sizes.outputs),
        lambda run: run.learned,
    ),
    Case(
        "rank_below_outputs",
        "rank(C) < n_y, W = A = 0",
        "Here rank(C) >= n_y is necessary: k stays 0 and V falls, but the loss does not go to zero",
        lambda draw, sizes: _zero_start(draw, sizes, sizes.outputs - 1),
        lambda run: run.keeps_k and run.falls and not run.learned,
    ),
    Case(
        "opposed",
        "W = 0, A = -C (C^T C)^-1",
        "If k is not 0, Lemma 3 can fail: V rises before it falls",
        _opposed_start,
        lambda run: not run.falls and bool(run.v[-1] < run.v[0]),
    ),
)
"""Starts and ranks of C: the theorem's own, and what happens without each of its conditions."""


def runs(case: Case, sizes: Sizes, count: int) -> list[Trajectory]:
    """`count` runs of a case, each from its own seed: 0, 1, ...

    >>> [run.learned for run in runs(CASES[0], Sizes(6, 4, 2), 2)]
    [True, True]
    """
    seeds = (stream_seed(seed, "theorem", case.name) for seed in range(count))
    return [integrate(case.problem(np.random.default_rng(seed), sizes)) for seed in seeds]
