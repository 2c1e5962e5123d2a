"""Solves a level: cuts it into chunks of fixed shape, solves them side by side and keeps the weights that matter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from xmc_jax.config import Formulation
from xmc_jax.features.blocks import count_cores
from xmc_jax.ops import choose_widths
from xmc_jax.ranker.blocks import (
    BlockShape,
    fill_blocks,
    join_block_shapes,
    measure_blocks,
    place_features,
)
from xmc_jax.ranker.cost_model import CPU, FORMULATIONS, GPU, Device, choose_formulation
from xmc_jax.ranker.dual import draw_orders, solve_dual
from xmc_jax.ranker.gram import solve_gram
from xmc_jax.ranker.lanes import (
    LaneShape,
    choose_lane_widths,
    fill_lanes,
    join_shapes,
    measure_lanes,
)
from xmc_jax.ranker.primal import solve_primal
from xmc_jax.ranker.problem import (
    Chunk,
    LevelProblem,
    Penalty,
    Units,
    count_rows,
    cut_chunk,
    list_units,
    split_columns,
)
from xmc_jax.ranker.weights import LevelWeights, build_weights, keep_largest
from xmc_jax.types import Features

_CHUNK_BYTES = 256 * 2**20
_SLOT_BYTES = 12
_N_TIERS = 3
_MIN_CHUNKS = 2  # a machine has two cores at least


@dataclass(frozen=True)
class SolveSettings:
    """How exactly a level is solved and what is kept of it.

    Attributes:
        tolerance: the dual ends when an epoch adds less than this share to the objective of a whole chunk (for the
            hinge, 1e-4 of this share), Newton when no label of a chunk gained more than this share of its own.
        max_epochs: bound on epochs and on Newton steps.
        threshold: smaller weights are dropped.
        max_nonzeros: sparse weights kept for a label (bias and dense columns aside); 0: all.
        formulation: "auto" lets the cost model choose.
        seed: of the order in which the dual visits rows.
    """

    tolerance: float = 1e-4
    max_epochs: int = 60
    threshold: float = 0.1
    max_nonzeros: int = 0
    formulation: Formulation = "auto"
    seed: int = 0


class Part(NamedTuple):
    """Weights of a chunk as loose entries, and the biases and dense weights of its nodes."""

    cluster: np.ndarray
    feature: np.ndarray
    child: np.ndarray
    value: np.ndarray
    node: np.ndarray
    bias: np.ndarray
    dense: np.ndarray


def solve_level(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    *,
    advance: Callable[[int], None] = lambda n: None,
) -> LevelWeights:
    """Solves the problems of all clusters and labels of a level.

    Args:
        problem: of `pose_level`.
        penalty: loss and costs.
        settings: exactness and sparsity.
        advance: called with the number of nodes that are done.

    Returns:
        The level's sparse weights; the same for every number of threads.
    """
    units = list_units(problem)
    if len(units) == 1 and jax.default_backend() == "cpu":
        units = split_columns(units, count_cores())
    nnz = np.diff(problem.features.sparse.indptr)[problem.row_instance]
    totals = np.append(0, np.cumsum(nnz, dtype=np.int64))
    unit_nnz = np.diff(totals[problem.row_offsets])[units.cluster]
    choice = choose_formulation(
        count_rows(problem, units),
        unit_nnz,
        problem.max_columns,
        problem.features.n_dense,
        penalty.loss,
        find_device(),
        settings.formulation,
    )
    parts: list[Part] = []
    for index, name in enumerate(FORMULATIONS):
        chosen = units[choice == index]
        if len(chosen):
            parts += _solve_units(problem, chosen, name, penalty, settings, advance)
    return _join(problem, parts, settings)


def find_device() -> Device:
    """Returns the cost model's picture of the default backend."""
    return CPU if jax.default_backend() == "cpu" else GPU


def _solve_units(problem, units: Units, formulation: str, penalty, settings, advance) -> list[Part]:
    """Solves some units by one formulation, chunk by chunk."""
    chunks = _split_units(problem, units, formulation)
    if formulation == "dual":
        solve = _prepare_dual(problem, chunks, penalty, settings)
    else:
        solve = _prepare_newton(problem, chunks, penalty, settings, formulation)

    parts = []
    # XLA runs a chunk's many small operations on one thread: chunks are what keeps the cores busy on a CPU.
    n_workers = min(len(chunks), count_cores()) if jax.default_backend() == "cpu" else 1
    with ThreadPoolExecutor(n_workers) as pool:
        for done, part in zip(chunks, pool.map(solve, range(len(chunks))), strict=True):
            parts.append(part)
            advance(int(done.n_children.sum()))  # here, so that listeners hear one thread only
    return parts


def _split_units(problem, units: Units, formulation: str) -> list[Units]:
    """Splits the units into chunks of similar work and bounded memory.

    Lanes like a mix of sizes (dealt out in turn, largest first); blocks like equal sizes (runs of the sorted list).
    """
    n_rows = count_rows(problem, units)
    order = np.argsort(-n_rows, kind="stable")
    n_rows, k = n_rows[order], problem.max_columns
    if formulation == "dual":
        total = int(n_rows.sum()) * k * 12
        n_chunks = min(len(units), max(_MIN_CHUNKS, -(-total // _CHUNK_BYTES)))
        return [units[np.sort(order[c::n_chunks])] for c in range(n_chunks)]
    square = n_rows if formulation == "gram" else 0
    need = 4 * n_rows * (12 * k + 3 * square + problem.features.n_dense)
    # A run is padded to the largest unit of its tier; few tiers are few compilations.
    tier = np.searchsorted(choose_widths(n_rows, _N_TIERS), n_rows)
    first = np.flatnonzero(np.append(True, np.diff(tier) != 0))
    size = np.maximum(1, _CHUNK_BYTES // np.maximum(need[first], 1))
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    run = place // np.repeat(size, np.diff(np.append(first, len(order))))
    ends = np.flatnonzero((np.diff(tier) != 0) | (np.diff(run) != 0)) + 1
    return [units[part] for part in np.split(order, ends)]


def _prepare_dual(problem, chunks: list[Units], penalty, settings) -> Callable[[int], Part]:
    lengths = np.diff(problem.features.sparse.indptr)[problem.row_instance]
    widths = choose_lane_widths(lengths + problem.features.n_dense + (penalty.bias > 0))
    # All chunks are cut once for the shape that they share; where that is much, they are cut again one by one.
    keeps = int(lengths.sum()) * _SLOT_BYTES <= _CHUNK_BYTES
    shapes: list[LaneShape] = []
    cut: list[Chunk | None] = []
    for units in chunks:
        chunk = cut_chunk(problem, units, penalty.bias)
        shapes.append(measure_lanes(chunk, widths))
        cut.append(chunk if keeps else None)
    return partial(_run_dual, problem, chunks, cut, join_shapes(shapes), penalty, settings)


def _run_dual(
    problem,
    chunks: list[Units],
    cut: list[Chunk | None],
    shape: LaneShape,
    penalty,
    settings,
    k: int,
) -> Part:
    chunk = cut[k] or cut_chunk(problem, chunks[k], penalty.bias)
    cut[k] = None  # so that its rows are free as soon as they are laid out
    rng = np.random.default_rng([settings.seed, k])
    lanes = fill_lanes(problem, chunk, shape, rng)
    orders = draw_orders(rng, lanes, settings.max_epochs)
    # Without a ridge the dual creeps near its optimum while the primal still falls.
    share = 1e-4 if penalty.loss == "hinge" else 1.0
    solution = solve_dual(lanes, orders, shape.n_features, penalty, share * settings.tolerance)
    weights = np.asarray(solution.weights)[: chunk.n_features + len(chunk.units)]
    return _keep_weights(problem, chunk, weights, penalty, settings)


def _prepare_newton(problem, chunks, penalty, settings, formulation: str) -> Callable[[int], Part]:
    sparse_only = _without_dense(problem)
    cut = [cut_chunk(sparse_only, c, penalty.bias) for c in chunks]
    largest = np.array([count_rows(problem, c).max() for c in chunks])
    shapes = _share_shapes([measure_blocks(c) for c in cut], largest)
    solver = solve_gram if formulation == "gram" else solve_primal
    return partial(_run_newton, problem, cut, shapes, solver, penalty, settings)


def _run_newton(
    problem, chunks, shapes: list[BlockShape], solver, penalty, settings, k: int
) -> Part:
    chunk, shape = chunks[k], shapes[k]
    chunks[k] = None  # so that its rows are free as soon as it is solved
    blocks = fill_blocks(problem, chunk, problem.features.dense, shape)
    costs = np.float32(penalty.cost_positive), np.float32(penalty.cost_negative)
    tolerance = np.float32(settings.tolerance)
    result = solver(blocks, shape, costs, penalty.loss, tolerance, settings.max_epochs)
    sparse = np.asarray(result.vector["sparse"]).reshape(shape.n_units * shape.n_features, -1)
    weights = sparse[place_features(chunk, shape.n_features)]
    dense = np.asarray(result.vector["dense"])[: len(chunk.units)]
    return _keep_weights(problem, chunk, weights, penalty, settings, dense)


def _share_shapes(shapes: list[BlockShape], largest: np.ndarray) -> list[BlockShape]:
    """Gives runs of similar units one shape, so that they share a compilation.

    Args:
        largest: rows of the largest unit of each run.
    """
    tier = np.searchsorted(choose_widths(largest, _N_TIERS), largest).tolist()
    joined = {
        t: join_block_shapes([s for s, u in zip(shapes, tier, strict=True) if u == t])
        for t in set(tier)
    }
    return [joined[t] for t in tier]


def _without_dense(problem: LevelProblem) -> LevelProblem:
    empty = np.zeros((problem.features.n_rows, 0), np.float32)
    return replace(problem, features=Features(problem.features.sparse, empty))


def _keep_weights(
    problem: LevelProblem, chunk: Chunk, weights: np.ndarray, penalty, settings, dense=None
) -> Part:
    """Drops small weights and names the rest by (cluster, feature, child).

    Args:
        weights: float32 [F + U, K], constant features last.
        dense: float32 [U, H, K], or None if the dense columns are slots of `weights`.
    """
    units, f = chunk.units, chunk.n_features
    n_sparse, h = problem.features.n_sparse, problem.features.n_dense
    is_child = np.arange(weights.shape[1])[None, :] < units.n_children[:, None]
    node = (units.first_child[:, None] + np.arange(weights.shape[1]))[is_child]
    if dense is None:
        dense = np.zeros((len(units), h, weights.shape[1]), np.float32)
        wide = chunk.feature_id >= n_sparse
        at = chunk.feature_unit[wide], chunk.feature_id[wide] - n_sparse
        dense[at] = weights[:f][wide]
    big = np.abs(weights[:f]) >= max(settings.threshold, np.finfo(np.float32).tiny)
    big &= is_child[chunk.feature_unit] & (chunk.feature_id < n_sparse)[:, None]
    row, column = np.nonzero(big)
    unit = chunk.feature_unit[row]
    base = units.first_child - problem.child_offsets[units.cluster]
    bias = weights[f:][is_child] * penalty.bias if penalty.bias > 0 else np.zeros(len(node))
    bias = np.where(np.abs(bias) >= settings.threshold * penalty.bias, bias, 0.0)
    return Part(
        cluster=units.cluster[unit],
        feature=chunk.feature_id[row],
        child=base[unit] + column,
        value=weights[row, column],
        node=node,
        bias=bias.astype(np.float32),
        dense=np.moveaxis(dense, 1, 2)[is_child],
    )


def _join(problem: LevelProblem, parts: list[Part], settings: SolveSettings) -> LevelWeights:
    """Puts the parts of all chunks together."""
    cluster, feature, child, value = (
        np.concatenate([getattr(p, name) for p in parts]) for name in Part._fields[:4]
    )
    n_nodes = int(problem.child_offsets[-1])
    bias = np.zeros(n_nodes, np.float32)
    dense = np.zeros((n_nodes, problem.features.n_dense), np.float32)
    for part in parts:
        bias[part.node], dense[part.node] = part.bias, part.dense
    if settings.threshold > 0:
        dense[np.abs(dense) < settings.threshold] = 0.0
    if settings.max_nonzeros:
        node = problem.child_offsets[cluster] + child
        keep = keep_largest(node, feature, value, settings.max_nonzeros)
        cluster, feature, child, value = (x[keep] for x in (cluster, feature, child, value))
    return build_weights(problem.child_offsets, cluster, feature, child, value, bias, dense)
