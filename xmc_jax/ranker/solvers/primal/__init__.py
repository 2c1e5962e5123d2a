"""Newton on the weights of a unit through sparse products: for many rows, and for any device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from xmc_jax.ops import choose_widths, place_rows
from xmc_jax.parallel import Target
from xmc_jax.ranker.chunks import CutChunks, share_shapes
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.problem import lay_signs, measure_rows
from xmc_jax.ranker.solvers.primal.primal import Unit, solve_primal
from xmc_jax.ranker.solvers.primal.products import (
    ProductShape,
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.solvers.solver import Sizes, Solver, Work, without_dense
from xmc_jax.ranker.start import lay_dense, lay_start

_PRODUCTS = 90
"""Passes over the rows until 1e-4 of the objective (measured on text)."""
_DENSE_PRODUCTS, _ROUGH = 600, 1e-2
"""The same where an encoder's vectors stand beside the text, which all point in nearly one direction. A rough
tolerance, from this on, is reached before that tells."""
_COMPILE = 2.6
_N_WIDTHS = 5


def _estimate(sizes: Sizes, target: Target) -> np.ndarray:
    n, slots = sizes.n_rows.astype(np.float64), sizes.n_slots.astype(np.float64)
    dense_work = 2 * n * sizes.n_dense * sizes.n_columns / target.flops
    products = _DENSE_PRODUCTS if sizes.n_dense and sizes.tolerance < _ROUGH else _PRODUCTS
    return products * (2 * slots * (4.0 * sizes.n_columns) / target.product_bytes + dense_work)


def _weigh(
    n_rows: np.ndarray, n_slots: np.ndarray, n_features: np.ndarray, n_columns: int, n_dense: int
) -> np.ndarray:
    k = float(n_columns)
    return 64.0 * n_slots + n_rows * (48 * k + 4 * n_dense) + n_features * (400 + 48 * k)


def _split(
    weights: np.ndarray, n_rows: np.ndarray, n_chunks: int, most: float, target: Target
) -> list[np.ndarray]:
    """A chunk for each unit, the longest first."""
    order = np.argsort(-n_rows, kind="stable")
    return np.split(order, np.arange(1, len(order)))


def _prepare(work: Work) -> Callable[[int], Part]:
    lengths = measure_rows(work.problem)
    widths = tuple(choose_widths(np.maximum(lengths, 1), _N_WIDTHS))
    cut = CutChunks(
        without_dense(work.problem),
        work.chunks,
        0.0,
        lambda chunk: measure_products(chunk.slots, widths),
    )
    n_rows = np.array([n.sum() for n in work.n_rows])
    shapes = share_shapes(cut.shapes, n_rows, join_product_shapes)
    return partial(_run, work, cut, shapes, work.n_columns)


def _run(
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


SOLVER = Solver(
    name="primal",
    losses=frozenset({"squared_hinge", "logistic"}),
    seconds=_estimate,
    compile_seconds=_COMPILE,
    bytes=_weigh,
    split=_split,
    prepare=_prepare,
)
