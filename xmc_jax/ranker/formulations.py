"""How each formulation solves the chunks of a level: the shapes they share, and one chunk from its rows to weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xmc_jax.model import LevelWeights
from xmc_jax.ops import choose_widths
from xmc_jax.ranker.blocks import (
    BlockShape,
    fill_blocks,
    join_block_shapes,
    measure_blocks,
    place_features,
)
from xmc_jax.ranker.chunks import CutChunks, share_shapes
from xmc_jax.ranker.dual import draw_orders, solve_dual
from xmc_jax.ranker.gram import solve_gram
from xmc_jax.ranker.lanes import (
    LaneShape,
    choose_lanes,
    fill_lanes,
    join_shapes,
    measure_lanes,
    place_rows,
)
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.primal import Unit, solve_primal
from xmc_jax.ranker.problem import (
    LevelProblem,
    Penalty,
    Units,
    count_rows,
    lay_signs,
    measure_rows,
)
from xmc_jax.ranker.products import (
    ProductShape,
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.settings import SolveSettings
from xmc_jax.ranker.start import lay_dense, lay_start
from xmc_jax.types import Features

_N_WIDTHS = 5


@dataclass(frozen=True)
class Work:
    """Chunks of a level that one formulation solves.

    Attributes:
        problem: the level.
        chunks: units that are solved together.
        penalty, settings: as in `solve_level`.
        start: weights near the optimum, for the primal; or None.
    """

    problem: LevelProblem
    chunks: list[Units]
    penalty: Penalty
    settings: SolveSettings
    start: LevelWeights | None = None

    @property
    def n_columns(self) -> int:
        """K, children of the widest unit."""
        return max(int(units.n_children.max()) for units in self.chunks)

    @property
    def n_rows(self) -> list[np.ndarray]:
        """Rows of each chunk's units [U]."""
        return [count_rows(self.problem, units) for units in self.chunks]

    @property
    def costs(self) -> tuple[np.float32, np.float32]:
        """Of positives and negatives."""
        return np.float32(self.penalty.cost_positive), np.float32(self.penalty.cost_negative)


def prepare(formulation: str, work: Work) -> Callable[[int], Part]:
    """Returns what solves one of the chunks, in any thread, each once.

    Args:
        formulation: dual, primal or gram.
        work: the chunks.
    """
    prepares = {"dual": _prepare_dual, "primal": _prepare_primal, "gram": _prepare_gram}
    return prepares[formulation](work)


def _prepare_dual(work: Work) -> Callable[[int], Part]:
    n_lanes = choose_lanes(work.n_rows, work.n_columns)
    cut = CutChunks(
        work.problem, work.chunks, work.penalty.bias, lambda chunk: measure_lanes(chunk, n_lanes)
    )
    return partial(_run_dual, work, cut, join_shapes(cut.shapes))


def _run_dual(work: Work, cut: CutChunks[LaneShape], shape: LaneShape, k: int) -> Part:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    chunk = cut.take(k)
    rng = np.random.default_rng([settings.seed, k])
    lanes = fill_lanes(problem, chunk, shape, rng)
    orders = draw_orders(rng, lanes, settings.max_epochs)
    # Without a ridge the dual creeps near its optimum while the primal still falls.
    share = 1e-4 if penalty.loss == "hinge" else 1.0
    solution = solve_dual(lanes, orders, shape.n_features, penalty, share * settings.tolerance)
    weights = np.asarray(solution.weights)[: chunk.n_features + len(chunk.units)]
    return keep_weights(problem, chunk, weights, penalty, settings)


def _prepare_primal(work: Work) -> Callable[[int], Part]:
    lengths = measure_rows(work.problem)
    widths = tuple(choose_widths(np.maximum(lengths, 1), _N_WIDTHS))
    cut = CutChunks(
        _without_dense(work.problem),
        work.chunks,
        0.0,
        lambda chunk: measure_products(chunk.slots, widths),
    )
    n_rows = np.array([n.sum() for n in work.n_rows])
    shapes = share_shapes(cut.shapes, n_rows, join_product_shapes)
    return partial(_run_primal, work, cut, shapes, work.n_columns)


def _run_primal(
    work: Work, cut: CutChunks[ProductShape], shapes: list[ProductShape], n_columns: int, k: int
) -> Part:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    shape, chunk = shapes[k], cut.take(k)
    products, row_place, feature_place = fill_products(chunk.slots, shape)
    signs, weights = (
        None if x is None else place_rows(x, row_place, shape.n_rows)
        for x in lay_signs(problem, chunk, n_columns)
    )
    dense = problem.features.dense[problem.row_instance[chunk.row_level]]
    unit = Unit(products, place_rows(dense, row_place, shape.n_rows), signs, weights)
    begin = None
    if work.start is not None:
        laid = lay_start(work.start, problem, chunk, n_columns, penalty)
        begin = {
            "sparse": place_rows(
                laid[: chunk.n_features], feature_place[: chunk.n_features], shape.n_features
            ),
            "dense": lay_dense(work.start, problem, chunk.units, n_columns)[0],
            "bias": laid[chunk.n_features :],
        }
    result = solve_primal(
        unit,
        begin,
        shape.n_features,
        work.costs,
        np.float32(penalty.bias),
        penalty.loss,
        np.float32(settings.tolerance),
        settings.max_epochs,
    )
    found = np.asarray(result.vector["sparse"])[feature_place]
    found[chunk.n_features :] = result.vector["bias"]
    dense = np.asarray(result.vector["dense"])[None]
    return keep_weights(problem, chunk, found, penalty, settings, dense)


def _prepare_gram(work: Work) -> Callable[[int], Part]:
    sparse_only = _without_dense(work.problem)
    cut = CutChunks(sparse_only, work.chunks, work.penalty.bias, measure_blocks)
    largest = np.array([n.max() for n in work.n_rows])
    return partial(_run_gram, work, cut, share_shapes(cut.shapes, largest, join_block_shapes))


def _run_gram(work: Work, cut: CutChunks[BlockShape], shapes: list[BlockShape], k: int) -> Part:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    shape, chunk = shapes[k], cut.take(k)
    blocks = fill_blocks(problem, chunk, problem.features.dense, shape)
    tolerance = np.float32(settings.tolerance)
    result = solve_gram(blocks, shape, work.costs, penalty.loss, tolerance, settings.max_epochs)
    sparse = np.asarray(result.vector["sparse"]).reshape(shape.n_units * shape.n_features, -1)
    weights = sparse[place_features(chunk, shape.n_features)]
    dense = np.asarray(result.vector["dense"])[: len(chunk.units)]
    return keep_weights(problem, chunk, weights, penalty, settings, dense)


def _without_dense(problem: LevelProblem) -> LevelProblem:
    empty = np.zeros((problem.features.n_rows, 0), np.float32)
    return replace(problem, features=Features(problem.features.sparse, empty))
