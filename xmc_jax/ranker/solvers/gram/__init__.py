"""Newton through the Gram matrices of units: dense products, whatever the length of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from xmc_jax.parallel import Target
from xmc_jax.ranker.chunks import CutChunks, cut_runs, share_shapes
from xmc_jax.ranker.footprint import CHUNK_BYTES
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.solvers.gram.blocks import (
    BlockShape,
    fill_blocks,
    join_block_shapes,
    measure_blocks,
    place_features,
)
from xmc_jax.ranker.solvers.gram.gram import solve_gram
from xmc_jax.ranker.solvers.newton import NewtonResult
from xmc_jax.ranker.solvers.solver import (
    Call,
    Sizes,
    Solver,
    Work,
    share_launches,
    without_dense,
)

_PRODUCTS = 100
"""Products with a Gram matrix until 1e-4 of the objective (measured on text)."""
_COMPILE = 10.0
_LAUNCHES = 1500
"""Operations of a call: eight Newton steps of 50, and 100 products of 10 (in a program compiled for an H100)."""
_FEATURES_PER_SLOT = 0.25
"""Rough ratio within a unit, whose rows share words."""
_N_TIERS_CPU, _N_TIERS = 3, 8
"""Number of compiled sizes of units; the padding of a Gram matrix grows with their square."""


def _estimate(sizes: Sizes, target: Target) -> np.ndarray:
    n, slots = sizes.n_rows.astype(np.float64), sizes.n_slots.astype(np.float64)
    work = n * n * (sizes.n_dense + _PRODUCTS * sizes.n_columns) / target.flops
    weights = _weigh(n, slots, slots * _FEATURES_PER_SLOT, sizes.n_columns, sizes.n_dense)
    seconds = work + slots * 4 * n / target.gather_bytes
    seconds = seconds + share_launches(_LAUNCHES, n, weights, _size_run(target), _N_TIERS, target)
    return np.where(3 * 4 * n * n > target.call_memory, np.inf, seconds)


def _weigh(
    n_rows: np.ndarray, n_slots: np.ndarray, n_features: np.ndarray, n_columns: int, n_dense: int
) -> np.ndarray:
    k = float(n_columns)
    rows = n_rows * (48 * k + 4 * n_dense + 12 * n_rows)
    return 64.0 * n_slots + rows + n_features * (400 + 16 * k)


def _split(
    weights: np.ndarray,
    n_rows: np.ndarray,
    n_dense: int,
    n_chunks: int,
    most: float,
    target: Target,
) -> list[np.ndarray]:
    """Cuts units, the longest first, into runs of bounded bytes; a run is padded to the largest unit of its tier."""
    order = np.argsort(-n_rows, kind="stable")
    return cut_runs(order, n_rows, weights, min(_size_run(target), most), _count_tiers(target))


def _size_run(target: Target) -> float:
    """Returns the bytes of a run; off the CPU there are few runs, since each starts the same number of operations."""
    return CHUNK_BYTES if target.is_cpu else max(CHUNK_BYTES, target.call_memory)


def _count_tiers(target: Target) -> int:
    return _N_TIERS_CPU if target.is_cpu else _N_TIERS


def _prepare(work: Work) -> Callable[[int], Call]:
    sparse_only = without_dense(work.problem)
    cut = CutChunks(sparse_only, work.chunks, work.penalty.bias, measure_blocks, BlockShape)
    largest = np.array([n.max() for n in work.n_rows])
    shapes = share_shapes(cut.shapes, largest, join_block_shapes, _count_tiers(work.target))
    shapes = [replace(shape, gathers=work.target.gathers) for shape in shapes]
    return partial(_lay_out, work, cut, shapes)


def _lay_out(work: Work, cut: CutChunks[BlockShape], shapes: list[BlockShape], k: int) -> Call:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    shape, chunk = shapes[k], cut.take(k)
    blocks = fill_blocks(problem, chunk, problem.features.dense, shape)

    def read(result: NewtonResult) -> Part:
        sparse = np.asarray(result.vector["sparse"])
        sparse = sparse.reshape(shape.n_units * shape.n_features, -1)
        weights = sparse[place_features(chunk, shape.n_features)]
        dense = np.asarray(result.vector["dense"])[: len(chunk.units)]
        return keep_weights(problem, chunk, weights, penalty, settings, dense)

    tolerance = np.float32(settings.tolerance)
    bounds = work.costs, penalty.loss, tolerance, settings.max_epochs
    return Call(solve_gram, (blocks, shape, *bounds), read)


SOLVER = Solver(
    name="gram",
    losses=frozenset({"squared_hinge", "logistic"}),
    seconds=_estimate,
    compile_seconds=_COMPILE,
    launches=_LAUNCHES,
    bytes=_weigh,
    split=_split,
    prepare=_prepare,
)
