"""Lockstep dual coordinate descent over rows in lanes that are visited side by side, for any loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from xmc_jax.ops import choose_widths
from xmc_jax.parallel import Target, agree_least
from xmc_jax.ranker.chunks import CutChunks
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.problem import Units, split_columns
from xmc_jax.ranker.solvers.dual.descent import Solution, draw_orders, list_arguments, solve_dual
from xmc_jax.ranker.solvers.dual.lanes import (
    LaneShape,
    choose_lanes,
    fill_lanes,
    join_shapes,
    measure_lanes,
)
from xmc_jax.ranker.solvers.solver import Call, Sizes, Solver, Work

_EPOCHS = 20
"""Passes over the rows until 1e-4 of the objective (measured on text)."""
_DENSE_SLOT = 0.5
"""Cost of a dense column relative to a sparse slot: its rows of weights stay in a cache."""
_COMPILE = 1.5
_LAUNCHES = 46
"""Operations per visit of a lane's rows; there are as many visits as rows, and `Target.step` is the time of one."""
_N_TIERS = 3
_SAMPLE = 2000


def _estimate(sizes: Sizes, target: Target) -> np.ndarray:
    """Estimates seconds: steps run side by side over the units, and the longest unit sets their number.

    On dense columns, the number of epochs grows with the cost of a row.
    """
    n = sizes.n_rows.astype(np.float64)
    slots = sizes.n_slots + _DENSE_SLOT * n * sizes.n_dense
    epochs = _EPOCHS * max(1.0, sizes.cost) if sizes.n_dense else _EPOCHS
    longest = n.max(initial=1.0) / 8 * epochs * target.step / max(len(n), 1)
    return longest + 2 * slots * (4.0 * sizes.n_columns) * epochs / target.gather_bytes


def _weigh(
    n_rows: np.ndarray, n_slots: np.ndarray, n_features: np.ndarray, n_columns: int, n_dense: int
) -> np.ndarray:
    k = float(n_columns)
    return 32.0 * n_slots + n_rows * (7 * k + 100) + n_features * (10 * k + 48)


def _split(
    weights: np.ndarray,
    n_rows: np.ndarray,
    n_dense: int,
    n_chunks: int,
    most: float,
    target: Target,
) -> list[np.ndarray]:
    """Deals units out in turn, the largest first, so that each chunk has a mix of sizes for its lanes."""
    order = np.argsort(-weights, kind="stable")
    return [np.sort(order[c::n_chunks]) for c in range(n_chunks)]


def choose_tiers(n_columns: np.ndarray, sizes: Sizes, target: Target) -> np.ndarray:
    """Returns the tier of each unit [U]; the lanes of a tier are as wide as its widest unit.

    A tree whose labels are under several clusters has clusters of many sizes; a further tier must be worth its
    compilation.
    """
    nnz = sizes.n_slots
    share = np.ceil(nnz * (_SAMPLE / max(1, int(nnz.sum())))).astype(np.int64)
    seconds = nnz * (2 * 4 * _EPOCHS / target.gather_bytes)
    best, least = np.zeros(len(n_columns), np.int64), np.inf
    for n_tiers in range(1, _N_TIERS + 1):
        widths = np.asarray(choose_widths(np.repeat(n_columns, share), n_tiers))
        # A unit without slots may be wider than all units with slots.
        tier = np.minimum(np.searchsorted(widths, n_columns), len(widths) - 1)
        cost = (widths[tier] * seconds).sum() + n_tiers * _COMPILE
        if cost < least:
            best, least = tier, cost
    return best


def _cut(units: Units, target: Target) -> Units:
    """Cuts the columns of a single unit, which would be one lane, so that the cores of a CPU share it."""
    if len(units) == 1 and target.is_cpu:
        return split_columns(units, agree_least(target.count_workers()))
    return units


def _prepare(work: Work) -> Callable[[int], Call]:
    n_lanes = choose_lanes(work.n_rows, work.n_columns)
    cut = CutChunks(
        work.problem,
        work.chunks,
        work.penalty.bias,
        lambda chunk: measure_lanes(chunk, n_lanes),
        LaneShape,
    )
    return partial(_lay_out, work, cut, join_shapes(cut.shapes))


def _lay_out(work: Work, cut: CutChunks[LaneShape], shape: LaneShape, k: int) -> Call:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    chunk = cut.take(k)
    rng = np.random.default_rng([settings.seed, k])
    lanes = fill_lanes(problem, chunk, shape, rng)
    orders = draw_orders(rng, lanes, settings.max_epochs)
    # Without a ridge, the dual moves slowly near its optimum while the primal still falls.
    share = 1e-4 if penalty.loss == "hinge" else 1.0

    def read(solution: Solution) -> Part:
        weights = np.asarray(solution.weights)[: chunk.n_features + len(chunk.units)]
        return keep_weights(problem, chunk, weights, penalty, settings)

    arguments = list_arguments(lanes, orders, shape.n_features, penalty, share * settings.tolerance)
    return Call(solve_dual, arguments, read)


SOLVER = Solver(
    name="dual",
    losses=frozenset({"squared_hinge", "hinge", "logistic"}),
    seconds=_estimate,
    compile_seconds=_COMPILE,
    launches=_LAUNCHES,
    bytes=_weigh,
    split=_split,
    prepare=_prepare,
    tier=choose_tiers,
    cut=_cut,
    # There are as many steps as rows, each with little work; off the CPU, each would wait for a launch.
    platforms=frozenset({"cpu"}),
)
