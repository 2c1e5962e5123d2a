"""The layout of primal Newton: the sparse rows of units and their transposes, both as padded slots.

A product with A gathers rows of the weights, one with Aᵀ gathers instances; neither scatters. Rows and features of a
unit are stored in a few widths; a feature with very many rows is summed in pieces, and in pieces of pieces. All units
of a call are padded to one shape, and gather from the tables of all units, which are stored one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from xmc_jax.ops import Gathers, accumulate, concatenate_ranges, round_up
from xmc_jax.types import AnyArray

PIECE = 16
_FEATURE_WIDTHS = (2, 6, PIECE)


class Slots(NamedTuple):
    """Sums to compute: `ids` int32 [U, M, J] of the rows to gather, 0 in unused slots, and `values` float32 [U, M, J].

    Ids number the rows of the tables of all units.
    """

    ids: AnyArray
    values: AnyArray


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Products:
    """A block-diagonal matrix A, [R, F] per unit, whose rows and columns are in the order of their widths."""

    rows: tuple[Slots, ...]
    columns: tuple[Slots, ...]
    long: tuple[Slots, ...]
    """Columns with more than `PIECE` rows: sums of pieces, then sums of these; the last stage has one per column."""
    gathers: Gathers = field(default="unrolled", metadata={"static": True})


@dataclass(frozen=True)
class ProductShape:
    """Sizes that the calls of a level share: the number of units, and of rows, columns and pieces of each width per
    unit."""

    n_units: int
    widths: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    long: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        return sum(self.rows)

    @property
    def n_features(self) -> int:
        return sum(self.columns) + (self.long[-1] if self.long else 0)


def measure_products(
    matrix: sp.csr_matrix, row_unit: np.ndarray, column_unit: np.ndarray, widths: tuple[int, ...]
) -> ProductShape:
    """Returns the smallest shape that holds the matrix.

    Args:
        matrix: CSR [R, F], block-diagonal.
        row_unit, column_unit: the unit of each row [R] and of each column [F], ascending.
        widths: stored widths of rows, ascending; the last is at least as wide as any row.
    """
    n_units = int(column_unit[-1]) + 1
    width = np.searchsorted(widths, np.diff(matrix.indptr))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    kind = np.searchsorted(_FEATURE_WIDTHS, counts)
    rows = _count_kinds(row_unit, width, n_units, len(widths))
    columns = _count_kinds(column_unit, kind, n_units, len(_FEATURE_WIDTHS) + 1)[:-1]
    wide = kind == len(_FEATURE_WIDTHS)
    unit, pieces, long = column_unit[wide], counts[wide], []
    while len(pieces) and pieces.max() > 1:
        pieces = -(-pieces // PIECE)
        long.append(int(np.bincount(unit, pieces).max()))
    return ProductShape(n_units, widths, rows, columns, tuple(long))


def _count_kinds(unit: np.ndarray, kind: np.ndarray, n_units: int, n_kinds: int) -> tuple[int, ...]:
    """Returns the largest number of each kind in any unit."""
    counts = np.bincount(unit * n_kinds + kind, minlength=n_units * n_kinds)
    return tuple(counts.reshape(n_units, n_kinds).max(axis=0).tolist())


def join_product_shapes(shapes: list[ProductShape]) -> ProductShape:
    """Returns a shape that holds all of these, which have the same widths; it is coarse, so that similar levels share
    it."""
    rows, columns = (
        tuple(round_up(max(n)) if max(n) else 0 for n in zip(*some, strict=True))
        for some in ((s.rows for s in shapes), (s.columns for s in shapes))
    )
    # A shape with fewer stages repeats its last one.
    n_stages = max(len(s.long) for s in shapes)
    long = [s.long + s.long[-1:] * (n_stages - len(s.long)) for s in shapes]
    stages = tuple(round_up(max(n)) for n in zip_longest(*long, fillvalue=0)) if n_stages else ()
    n_units = max(s.n_units for s in shapes)
    return ProductShape(n_units, shapes[0].widths, rows, columns, stages)


def fill_products(
    matrix: sp.csr_matrix, row_unit: np.ndarray, column_unit: np.ndarray, shape: ProductShape
) -> tuple[Products, np.ndarray, np.ndarray]:
    """Lays out a matrix; the arguments are those of `measure_products`.

    Returns:
        The layout, and the places of the matrix's rows [R] and of its columns [F] among those of all units, int64.
    """
    width = np.searchsorted(shape.widths, np.diff(matrix.indptr))
    transposed = matrix.tocsc()
    kind = np.searchsorted(_FEATURE_WIDTHS, np.diff(transposed.indptr))
    sizes = (*shape.columns, shape.long[-1] if shape.long else 0)
    row_rank, row_place = _place(row_unit, width, shape.rows)
    column_rank, column_place = _place(column_unit, kind, sizes)
    rows = tuple(
        _take(
            matrix, width == k, row_unit * size + row_rank, column_place, (shape.n_units, size, w)
        )
        for k, (size, w) in enumerate(zip(shape.rows, shape.widths, strict=True))
        if size
    )
    columns = tuple(
        _take(
            transposed,
            kind == k,
            column_unit * size + column_rank,
            row_place,
            (shape.n_units, size, w),
        )
        for k, (size, w) in enumerate(zip(shape.columns, _FEATURE_WIDTHS, strict=True))
        if size
    )
    wide = np.flatnonzero(kind == len(_FEATURE_WIDTHS))
    long = _cut_pieces(transposed, wide, column_unit[wide], row_place, shape)
    return Products(rows, columns, long), row_place, column_place


def multiply(a: Products, weights: Float[Array, "*U F K"]) -> Float[Array, "*U R K"]:
    """Returns A·weights."""
    table = weights.reshape(-1, weights.shape[-1])
    return jnp.concatenate([accumulate(*slots, table, a.gathers) for slots in a.rows], axis=-2)


def pull(
    a: Products, rows: Float[Array, "*U R K"], *, squared: bool = False
) -> Float[Array, "*U F K"]:
    """Returns Aᵀ·rows, or the same with squared values of A."""
    power = 2 if squared else 1
    table = sums = rows.reshape(-1, rows.shape[-1])
    parts = [accumulate(slots.ids, slots.values**power, table, a.gathers) for slots in a.columns]
    for stage, slots in enumerate(a.long):
        values = slots.values**power if stage == 0 else slots.values
        last = accumulate(slots.ids, values, sums, a.gathers)
        sums = last.reshape(-1, last.shape[-1])
    return jnp.concatenate([*parts, last] if a.long else parts, axis=-2)


def _place(
    unit: np.ndarray, kind: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rank of each item among those of its unit and kind, and its place among those of all units.

    Items of a kind are consecutive in their unit, which has `sizes` places for each kind.
    """
    key = unit * len(sizes) + kind
    counts = np.bincount(key)
    rank = np.empty(len(kind), np.int64)
    rank[np.argsort(key, kind="stable")] = concatenate_ranges(
        np.zeros(len(counts), np.int64), counts
    )
    first = np.append(0, np.cumsum(sizes)[:-1])
    return rank, unit * sum(sizes) + first[kind] + rank


def _take(
    matrix, which: np.ndarray, row: np.ndarray, place: np.ndarray, shape: tuple[int, int, int]
) -> Slots:
    """Packs some rows of a CSR (columns of a CSC) matrix into [U, M, J]; `place` renumbers what they gather."""
    lengths = np.diff(matrix.indptr)[which].astype(np.int64)
    source = concatenate_ranges(matrix.indptr[:-1][which], lengths)
    target = concatenate_ranges(row[which] * shape[-1], lengths)
    return _fill(place[matrix.indices[source]], matrix.data[source], target, shape)


def _fill(
    ids: np.ndarray, values: np.ndarray, target: np.ndarray, shape: tuple[int, int, int]
) -> Slots:
    size = int(np.prod(shape))
    slots = np.zeros(size, np.int32), np.zeros(size, np.float32)
    slots[0][target], slots[1][target] = ids, values
    return Slots(slots[0].reshape(shape), slots[1].reshape(shape))


def _cut_pieces(
    transposed: sp.csc_matrix,
    which: np.ndarray,
    unit: np.ndarray,
    place: np.ndarray,
    shape: ProductShape,
) -> tuple[Slots, ...]:
    """Cuts the lists of rows of some columns into pieces, and these into pieces again, until there is one per
    column."""
    lengths = np.diff(transposed.indptr)[which].astype(np.int64)
    source = concatenate_ranges(transposed.indptr[:-1][which], lengths)
    ids, values = place[transposed.indices[source]], transposed.data[source]
    stages = []
    for size in shape.long:
        pieces = -(-lengths // PIECE)
        # Pieces of a unit follow each other from its first place on.
        before = np.cumsum(pieces) - pieces
        first = unit * size + before - before[np.searchsorted(unit, unit)]
        target = concatenate_ranges(first * PIECE, lengths)
        stages.append(_fill(ids, values, target, (shape.n_units, size, PIECE)))
        ids = concatenate_ranges(first, pieces)
        values, lengths = np.ones(len(ids), np.float32), pieces
    return tuple(stages)
