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
from xmc_jax.ranker.chunks import CutChunks, cut_runs, fill_runs, share_shapes
from xmc_jax.ranker.parts import Part, keep_weights
from xmc_jax.ranker.problem import Chunk, lay_signs, list_lengths
from xmc_jax.ranker.solvers.newton import NewtonResult
from xmc_jax.ranker.solvers.primal.layout import (
    ProductShape,
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.solvers.primal.primal import Rows, solve_primal
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
_LAUNCHES = 2400
"""Operations of a call: 13 Newton steps of 61, and 100 steps of conjugate gradients of 16 (in a program compiled for an
H100, steps as for wordnet)."""
_FEATURES_PER_SLOT = 0.25
"""Rough ratio within a unit, whose rows share words."""
_N_WIDTHS = 5
_N_TIERS, _N_TIERS_DENSE = 3, 6
"""Number of compiled sizes of runs; and with dense columns off the CPU, where the units of a run are padded to the
largest, so that more tiers pad less."""
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
    n_tiers = _N_TIERS_DENSE if sizes.n_dense else 1
    return work + share_launches(_LAUNCHES, n, weights, _RUN_BYTES, n_tiers, target)


def _weigh(
    n_rows: np.ndarray, n_slots: np.ndarray, n_features: np.ndarray, n_columns: int, n_dense: int
) -> np.ndarray:
    k = float(n_columns)
    return 64.0 * n_slots + n_rows * (48 * k + 4 * n_dense) + n_features * (400 + 48 * k)


def _split(
    weights: np.ndarray,
    n_rows: np.ndarray,
    n_dense: int,
    n_chunks: int,
    most: float,
    target: Target,
) -> list[np.ndarray]:
    """Returns one chunk per unit on a CPU, the longest first, since chunks keep its cores busy.

    Elsewhere returns runs of units, solved side by side in one program, which starts as many kernels as for one.
    """
    order = np.argsort(-n_rows, kind="stable")
    if target.is_cpu:
        return np.split(order, np.arange(1, len(order)))
    most = min(_RUN_BYTES, most)
    if not n_dense:
        return fill_runs(order, weights, most)
    return cut_runs(order, n_rows, weights, most, _N_TIERS_DENSE)


def _prepare(work: Work) -> Callable[[int], Call]:
    lengths = list_lengths(work.problem)
    widths = tuple(choose_widths(np.maximum(lengths, 1), _N_WIDTHS))
    is_dense = work.problem.features.n_dense > 0
    measure = partial(_measure, widths, not (work.target.is_cpu or is_dense))
    cut = CutChunks(without_dense(work.problem), work.chunks, 0.0, measure, ProductShape)
    # The longest unit of a run sets the rows; runs on a CPU are single units.
    n_rows = np.array([n.max() for n in work.n_rows])
    n_tiers = _N_TIERS_DENSE if is_dense and not work.target.is_cpu else _N_TIERS
    shapes = share_shapes(cut.shapes, n_rows, join_product_shapes, n_tiers)
    start = None if work.start is None else work.start()
    return partial(_lay_out, work, cut, shapes, work.n_columns, start)


def _measure(widths: tuple[int, ...], tiled: bool, chunk: Chunk) -> ProductShape:
    layout = chunk.slots, chunk.row_unit, chunk.column_unit, widths
    return measure_products(*layout, tiled=tiled)


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
    n_tiles, n_features = shape.n_tiles, shape.n_tiles * shape.n_features
    # Every tile holds its unit's constant; a tile without a unit has none.
    unit = np.arange(n_tiles) if products.tiles is None else products.tiles.unit
    used = np.flatnonzero(unit < len(chunk.units))
    first = np.unique(unit[used], return_index=True)[1]

    def lay_rows(x: np.ndarray) -> np.ndarray:
        return place_rows(x, row_place, n_tiles * shape.n_rows).reshape(n_tiles, shape.n_rows, -1)

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
        sparse = place_rows(laid[:f], column_place[:f], n_features)
        wide = lay_dense(start, problem, chunk.units, n_columns)
        begin = {
            "sparse": sparse.reshape(n_tiles, shape.n_features, -1),
            "dense": place_rows(wide[unit[used]], used, n_tiles),
            "bias": place_rows(laid[f:, None][unit[used]], used, n_tiles),
        }
    if work.target.is_cpu:
        rows, begin = jax.tree.map(lambda x: x[0], (rows, begin))

    def read(result: NewtonResult) -> Part:
        vector = {name: np.asarray(x) for name, x in result.vector.items()}
        if work.target.is_cpu:
            vector = {name: x[None] for name, x in vector.items()}
        found = vector["sparse"].reshape(n_features, -1)[column_place]
        found[f:], dense = vector["bias"][first, 0], vector["dense"][first]
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
