"""Solves a level: cuts it into chunks of fixed shape, solves them side by side and keeps the weights that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from xmc_jax.config import Formulation
from xmc_jax.memory import release_memory
from xmc_jax.ops import choose_widths
from xmc_jax.parallel import agree_least, run_shares
from xmc_jax.ranker.blocks import (
    BlockShape,
    fill_blocks,
    join_block_shapes,
    measure_blocks,
    place_features,
)
from xmc_jax.ranker.cost_model import (
    CPU,
    FORMULATIONS,
    GPU,
    Device,
    choose_formulation,
    choose_tiers,
)
from xmc_jax.ranker.dual import draw_orders, solve_dual
from xmc_jax.ranker.footprint import (
    CHUNK_BYTES,
    count_features,
    count_unit_slots,
    divide_level,
    weigh_units,
)
from xmc_jax.ranker.gram import solve_gram
from xmc_jax.ranker.lanes import (
    LaneShape,
    choose_lanes,
    fill_lanes,
    join_shapes,
    measure_lanes,
    place_rows,
)
from xmc_jax.ranker.parts import Part, join_parts, keep_weights
from xmc_jax.ranker.primal import Unit, solve_primal
from xmc_jax.ranker.problem import (
    Chunk,
    LevelProblem,
    Penalty,
    Units,
    count_rows,
    cut_chunk,
    lay_signs,
    list_units,
    split_columns,
)
from xmc_jax.ranker.products import (
    ProductShape,
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.start import lay_dense, lay_start
from xmc_jax.ranker.weights import LevelWeights
from xmc_jax.threads import count_cores
from xmc_jax.types import Features

_SLOT_BYTES = 12
_N_TIERS = 3
_N_WIDTHS = 5


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
        memory: bytes that all chunks under way may take; None: chunks of a size that is quick. Chunks that are smaller
            for want of memory visit their rows in another order: weights then differ within the tolerance.
        devices: of this process, to which its chunks are dealt; empty: the default one.
    """

    tolerance: float = 1e-4
    max_epochs: int = 60
    threshold: float = 0.1
    max_nonzeros: int = 0
    formulation: Formulation = "auto"
    seed: int = 0
    memory: int | None = None
    devices: tuple[jax.Device, ...] = ()


def solve_level(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    *,
    start: LevelWeights | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> LevelWeights:
    """Solves the problems of all clusters and labels of a level.

    Args:
        problem: of `pose_level`.
        penalty: loss and costs.
        settings: exactness and sparsity.
        start: weights near the optimum, over the same nodes; None: nothing is known. The primal begins there. The dual
            does not: what margins say of its variables is so much blurred by the weights that were dropped that it
            takes as many epochs.
        advance: called with the number of nodes that are done.

    Returns:
        The level's sparse weights; the same for every number of threads, devices and processes (which share the chunks
        and have all weights in the end), if they have as much memory.
    """
    units = list_units(problem)
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
        which = np.flatnonzero(choice == index)
        tiers = np.zeros(len(which), np.int64)
        if name == "dual":  # lanes are as wide as the widest unit beside them
            tiers = choose_tiers(units[which].n_children, unit_nnz[which], find_device())
        for tier in np.unique(tiers):
            chosen = units[which[tiers == tier]]
            parts += _solve_units(problem, chosen, name, penalty, settings, start, advance)
    weights = join_parts(problem.child_offsets, problem.features.n_dense, parts)
    if settings.threshold > 0:
        weights.dense[np.abs(weights.dense) < settings.threshold] = 0.0
    return weights


def find_device() -> Device:
    """Returns the cost model's picture of the default backend."""
    return CPU if jax.default_backend() == "cpu" else GPU


def count_workers(n_devices: int = 1) -> int:
    """Returns how many chunks this process solves side by side at most.

    XLA runs a chunk's many small operations on one thread: chunks are what keeps the cores busy on a CPU, however many
    devices it plays.
    """
    return count_cores() if jax.default_backend() == "cpu" else max(1, n_devices)


def _solve_units(
    problem, units: Units, formulation: str, penalty, settings, start, advance
) -> list[Part]:
    """Solves some units by one formulation, chunk by chunk."""
    if formulation == "dual" and len(units) == 1 and jax.default_backend() == "cpu":
        units = split_columns(units, agree_least(count_cores()))
    chunks, n_workers = _split_units(problem, units, formulation, settings)
    prepare: dict[str, Callable[..., Callable[[int], Part]]] = {
        "dual": _prepare_dual,
        "primal": partial(_prepare_primal, start),
        "gram": _prepare_gram,
    }
    solve = prepare[formulation](problem, chunks, penalty, settings)
    n_children = [int(some.n_children.sum()) for some in chunks]

    def listen(solved: Sequence[int]) -> None:
        release_memory()
        advance(sum(n_children[k] for k in solved))

    parts = run_shares(
        lambda k: solve(k)._asdict(),
        len(chunks),
        devices=settings.devices,
        n_workers=n_workers,
        done=listen,
    )
    return [Part(**arrays) for arrays in parts]


def _split_units(
    problem, units: Units, formulation: str, settings: SolveSettings
) -> tuple[list[Units], int]:
    """Splits the units into chunks of similar work and bounded memory; returns how many are solved side by side, too.

    Lanes like a mix of sizes (dealt out in turn, largest first); blocks like equal sizes (runs of the sorted list).
    """
    n_rows = count_rows(problem, units)
    weights = weigh_units(
        n_rows,
        count_unit_slots(problem, units),
        count_features(problem, units),
        int(units.n_children.max()),
        formulation,
        problem.features.n_dense,
    )
    n_workers = agree_least(count_workers(len(settings.devices)))
    memory = None if settings.memory is None else agree_least(settings.memory)
    division = divide_level(weights, memory, n_workers)
    if formulation == "dual":
        order = np.argsort(-weights, kind="stable")
        dealt = [np.sort(order[c :: division.n_chunks]) for c in range(division.n_chunks)]
        return [units[some] for some in dealt], division.n_workers
    order = np.argsort(-n_rows, kind="stable")
    if formulation == "primal":
        chunks = [units[order[i : i + 1]] for i in range(len(order))]
        return chunks, min(len(chunks), division.n_workers)
    n_rows, need = n_rows[order], weights[order]
    chunk_bytes = CHUNK_BYTES if memory is None else min(CHUNK_BYTES, memory / division.n_workers)
    # A run is padded to the largest unit of its tier; few tiers are few compilations.
    tier = np.searchsorted(choose_widths(n_rows, _N_TIERS), n_rows)
    first = np.flatnonzero(np.append(True, np.diff(tier) != 0))
    largest = np.maximum(np.maximum.reduceat(need, first), 1)
    size = np.maximum(1, chunk_bytes // largest).astype(np.int64)
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    run = place // np.repeat(size, np.diff(np.append(first, len(order))))
    ends = np.flatnonzero((np.diff(tier) != 0) | (np.diff(run) != 0)) + 1
    chunks = [units[part] for part in np.split(order, ends)]
    return chunks, min(len(chunks), division.n_workers)


def _keeps_chunks(problem: LevelProblem) -> bool:
    """Tells whether the chunks that were cut for their shapes are kept until they are solved, or cut again."""
    lengths = np.diff(problem.features.sparse.indptr)[problem.row_instance]
    return int(lengths.sum()) * _SLOT_BYTES <= CHUNK_BYTES // 2


def _prepare_dual(problem, chunks: list[Units], penalty, settings) -> Callable[[int], Part]:
    # All chunks are cut once for the shape that they share; where that is much, they are cut again one by one.
    keeps = _keeps_chunks(problem)
    n_columns = max(int(units.n_children.max()) for units in chunks)
    n_lanes = choose_lanes([count_rows(problem, units) for units in chunks], n_columns)
    shapes: list[LaneShape] = []
    cut: list[Chunk | None] = []
    for units in chunks:
        chunk = cut_chunk(problem, units, penalty.bias)
        shapes.append(measure_lanes(chunk, n_lanes))
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
    return keep_weights(problem, chunk, weights, penalty, settings)


def _prepare_primal(
    start: LevelWeights | None, problem, chunks: list[Units], penalty, settings
) -> Callable[[int], Part]:
    sparse_only = _without_dense(problem)
    keeps = _keeps_chunks(problem)
    lengths = np.diff(problem.features.sparse.indptr)[problem.row_instance]
    widths = tuple(choose_widths(np.maximum(lengths, 1), _N_WIDTHS))
    own: list[ProductShape] = []
    cut: list[Chunk | None] = []
    for units in chunks:
        chunk = cut_chunk(sparse_only, units, 0.0)
        own.append(measure_products(chunk.slots, widths))
        cut.append(chunk if keeps else None)
    n_rows = np.array([count_rows(problem, units).sum() for units in chunks])
    shapes = _share_shapes(own, n_rows, join_product_shapes)
    n_columns = max(int(units.n_children.max()) for units in chunks)
    return partial(_run_primal, problem, chunks, cut, shapes, n_columns, penalty, settings, start)


def _run_primal(
    problem,
    chunks: list[Units],
    cut: list[Chunk | None],
    shapes: list[ProductShape],
    n_columns: int,
    penalty,
    settings,
    start: LevelWeights | None,
    k: int,
) -> Part:
    shape = shapes[k]
    chunk = cut[k] or cut_chunk(_without_dense(problem), chunks[k], 0.0)
    cut[k] = None  # so that its rows are free as soon as it is solved
    products, row_place, feature_place = fill_products(chunk.slots, shape)
    signs, weights = (
        None if x is None else place_rows(x, row_place, shape.n_rows)
        for x in lay_signs(problem, chunk, n_columns)
    )
    dense = problem.features.dense[problem.row_instance[chunk.row_level]]
    unit = Unit(products, place_rows(dense, row_place, shape.n_rows), signs, weights)
    begin = None
    if start is not None:
        laid = lay_start(start, problem, chunk, n_columns, penalty)
        begin = {
            "sparse": place_rows(
                laid[: chunk.n_features], feature_place[: chunk.n_features], shape.n_features
            ),
            "dense": lay_dense(start, problem, chunk.units, n_columns)[0],
            "bias": laid[chunk.n_features :],
        }
    result = solve_primal(
        unit,
        begin,
        shape.n_features,
        (np.float32(penalty.cost_positive), np.float32(penalty.cost_negative)),
        np.float32(penalty.bias),
        penalty.loss,
        np.float32(settings.tolerance),
        settings.max_epochs,
    )
    found = np.asarray(result.vector["sparse"])[feature_place]
    found[chunk.n_features :] = result.vector["bias"]
    dense = np.asarray(result.vector["dense"])[None]
    return keep_weights(problem, chunk, found, penalty, settings, dense)


def _prepare_gram(problem, chunks: list[Units], penalty, settings) -> Callable[[int], Part]:
    sparse_only = _without_dense(problem)
    keeps = _keeps_chunks(problem)
    own: list[BlockShape] = []
    cut: list[Chunk | None] = []
    for units in chunks:
        chunk = cut_chunk(sparse_only, units, penalty.bias)
        own.append(measure_blocks(chunk))
        cut.append(chunk if keeps else None)
    largest = np.array([count_rows(problem, c).max() for c in chunks])
    shapes = _share_shapes(own, largest, join_block_shapes)
    return partial(_run_gram, problem, chunks, cut, shapes, penalty, settings)


def _run_gram(problem, chunks, cut, shapes: list[BlockShape], penalty, settings, k: int) -> Part:
    shape = shapes[k]
    chunk = cut[k] or cut_chunk(_without_dense(problem), chunks[k], penalty.bias)
    cut[k] = None  # so that its rows are free as soon as it is solved
    blocks = fill_blocks(problem, chunk, problem.features.dense, shape)
    costs = np.float32(penalty.cost_positive), np.float32(penalty.cost_negative)
    tolerance = np.float32(settings.tolerance)
    result = solve_gram(blocks, shape, costs, penalty.loss, tolerance, settings.max_epochs)
    sparse = np.asarray(result.vector["sparse"]).reshape(shape.n_units * shape.n_features, -1)
    weights = sparse[place_features(chunk, shape.n_features)]
    dense = np.asarray(result.vector["dense"])[: len(chunk.units)]
    return keep_weights(problem, chunk, weights, penalty, settings, dense)


def _share_shapes(shapes: list[Any], largest: np.ndarray, join: Callable[[list], Any]) -> list:
    """Gives runs of similar units one shape, so that they share a compilation.

    Args:
        shapes: of each run.
        largest: rows of the largest unit of each run.
        join: makes one shape of several.
    """
    tier = np.searchsorted(choose_widths(largest, _N_TIERS), largest).tolist()
    joined = {t: join([s for s, u in zip(shapes, tier, strict=True) if u == t]) for t in set(tier)}
    return [joined[t] for t in tier]


def _without_dense(problem: LevelProblem) -> LevelProblem:
    empty = np.zeros((problem.features.n_rows, 0), np.float32)
    return replace(problem, features=Features(problem.features.sparse, empty))
