"""Newton on the weights of a unit through sparse products, for many rows and for any device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from xmc_jax.model import LevelWeights
from xmc_jax.ops import choose_widths, place_rows
from xmc_jax.parallel import Target
from xmc_jax.ranker.chunks import CutChunks, cut_runs, share_shapes
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.problem import Chunk, lay_signs, list_lengths
from xmc_jax.ranker.solvers.newton import NewtonResult
from xmc_jax.ranker.solvers.primal.primal import Rows, solve_primal
from xmc_jax.ranker.solvers.primal.products import (
    ProductShape,
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.solvers.solver import (
    Call,
    Sizes,
    Solver,
    Work,
    share_launches,
    without_dense,
)
from xmc_jax.ranker.start import lay_dense, lay_start

_PRODUCTS = 90
"""Passes over the rows until 1e-4 of the objective (measured on text)."""
_STARTED = 24
"""The same from weights near the optimum, where all labels of a chunk end together: two or three steps."""
_DENSE_PRODUCTS, _ROUGH = 600, 1e-2
"""The same with an encoder's vectors beside the text, which all point in nearly the same direction; and the tolerance
from which this makes no difference."""
_COMPILE = 2.6
_LAUNCHES = 1800
"""Operations of a call: eight Newton steps of 60, and 90 products of 14 (in a program compiled for an H100)."""
_FEATURES_PER_SLOT = 0.25
"""Rough ratio within a unit, whose rows share words."""
_N_WIDTHS = 5
_N_TIERS_CPU, _N_TIERS = 3, 6
"""Number of compiled sizes of units. Off the CPU, runs are padded to the largest of a tier, so more tiers pad less."""
_RUN_BYTES = 4 * 2**30
"""Bytes of a run off the CPU, as laid out on the host."""


def _estimate(sizes: Sizes, target: Target) -> np.ndarray:
    n, slots = sizes.n_rows.astype(np.float64), sizes.n_slots.astype(np.float64)
    dense_work = 2 * n * sizes.n_dense * sizes.n_columns / target.flops
    products = _DENSE_PRODUCTS if sizes.n_dense and sizes.tolerance < _ROUGH else _PRODUCTS
    if sizes.is_started:
        products = _STARTED
    work = products * (2 * slots * (4.0 * sizes.n_columns) / target.product_bytes + dense_work)
    weights = _weigh(n, slots, slots * _FEATURES_PER_SLOT, sizes.n_columns, sizes.n_dense)
    return work + share_launches(_LAUNCHES, n, weights, _RUN_BYTES, _N_TIERS, target)


def _weigh(
    n_rows: np.ndarray, n_slots: np.ndarray, n_features: np.ndarray, n_columns: int, n_dense: int
) -> np.ndarray:
    k = float(n_columns)
    return 64.0 * n_slots + n_rows * (48 * k + 4 * n_dense) + n_features * (400 + 48 * k)


def _split(
    weights: np.ndarray, n_rows: np.ndarray, n_chunks: int, most: float, target: Target
) -> list[np.ndarray]:
    """Returns one chunk per unit on a CPU, the longest first, since chunks keep its cores busy.

    Elsewhere returns runs of similar units, solved side by side in one program, which starts as many kernels as for
    one.
    """
    order = np.argsort(-n_rows, kind="stable")
    if target.is_cpu:
        return np.split(order, np.arange(1, len(order)))
    return cut_runs(order, n_rows, weights, min(_RUN_BYTES, most), _N_TIERS)


def _prepare(work: Work) -> Callable[[int], Call]:
    lengths = list_lengths(work.problem)
    widths = tuple(choose_widths(np.maximum(lengths, 1), _N_WIDTHS))
    cut = CutChunks(
        without_dense(work.problem), work.chunks, 0.0, partial(_measure, widths), ProductShape
    )
    # The longest unit of a run sets the rows; runs on a CPU are single units.
    n_rows = np.array([n.max() for n in work.n_rows])
    n_tiers = _N_TIERS_CPU if work.target.is_cpu else _N_TIERS
    shapes = share_shapes(cut.shapes, n_rows, join_product_shapes, n_tiers)
    start = None if work.start is None else work.start()
    return partial(_lay_out, work, cut, shapes, work.n_columns, start)


def _measure(widths: tuple[int, ...], chunk: Chunk) -> ProductShape:
    return measure_products(chunk.slots, chunk.row_unit, chunk.column_unit, widths)


def _lay_out(
    work: Work,
    cut: CutChunks[ProductShape],
    shapes: list[ProductShape],
    n_columns: int,
    start: LevelWeights | None,
    k: int,
) -> Call:
    problem, penalty, settings = work.problem, work.penalty, work.settings
    shape, chunk = shapes[k], cut.take(k)
    products, row_place, column_place = fill_products(
        chunk.slots, chunk.row_unit, chunk.column_unit, shape
    )
    n_rows, n_units = shape.n_units * shape.n_rows, shape.n_units

    def lay_rows(x: np.ndarray) -> np.ndarray:
        return place_rows(x, row_place, n_rows).reshape(n_units, shape.n_rows, -1)

    products = replace(products, gathers=work.target.gathers)
    dense = problem.features.dense[problem.row_instance[chunk.row_level]]
    signs, weights = lay_signs(problem, chunk, n_columns)
    rows = Rows(
        products,
        lay_rows(dense),
        lay_rows(signs),
        None if weights is None else lay_rows(weights),
    )
    f = chunk.n_features
    begin = None
    if start is not None:
        laid = lay_start(start, problem, chunk, n_columns, penalty)
        units = np.arange(len(chunk.units))
        sparse = place_rows(laid[:f], column_place[:f], n_units * shape.n_features)
        begin = {
            "sparse": sparse.reshape(n_units, shape.n_features, -1),
            "dense": place_rows(lay_dense(start, problem, chunk.units, n_columns), units, n_units),
            "bias": place_rows(laid[f:, None], units, n_units),
        }
    if work.target.is_cpu:
        rows, begin = jax.tree.map(lambda x: x[0], (rows, begin))

    def read(result: NewtonResult) -> Part:
        vector = {name: np.asarray(x) for name, x in result.vector.items()}
        if work.target.is_cpu:
            vector = {name: x[None] for name, x in vector.items()}
        found = vector["sparse"].reshape(n_units * shape.n_features, -1)[column_place]
        found[f:] = vector["bias"][: len(chunk.units), 0]
        dense = vector["dense"][: len(chunk.units)]
        return keep_weights(problem, chunk, found, penalty, settings, dense)

    bias, tolerance = np.float32(penalty.bias), np.float32(settings.tolerance)
    bounds = work.costs, bias, penalty.loss, tolerance, settings.max_epochs, settings.together
    return Call(solve_primal, (rows, begin, shape.n_features, *bounds), read)


SOLVER = Solver(
    name="primal",
    losses=frozenset({"squared_hinge", "logistic"}),
    seconds=_estimate,
    compile_seconds=_COMPILE,
    launches=_LAUNCHES,
    bytes=_weigh,
    split=_split,
    prepare=_prepare,
)
