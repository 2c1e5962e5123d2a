"""The layout of primal Newton: the sparse rows of a unit and their transpose, both as padded slots.

A product with A gathers rows of the weights, one with Aᵀ gathers instances: neither scatters. Rows and features lie in
a few stored widths; a feature of very many rows is summed in pieces, and pieces of pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from xmc_jax.ops import accumulate, concatenate_ranges, round_up
from xmc_jax.types import AnyArray

PIECE = 16
_FEATURE_WIDTHS = (2, 6, PIECE)


class Slots(NamedTuple):
    """Sums to be taken: `ids` int32 [M, J] of what is gathered, 0 in unused slots, and `values` float32 [M, J]."""

    ids: AnyArray
    values: AnyArray


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Products:
    """A matrix A [R, F] whose rows and columns stand in the order of their stored widths."""

    rows: tuple[Slots, ...]
    columns: tuple[Slots, ...]
    long: tuple[Slots, ...]
    """Columns of more than `PIECE` rows: sums of pieces, then sums of these; the last stage has one each."""


@dataclass(frozen=True)
class ProductShape:
    """Sizes that the calls of a level share: how many rows, columns and pieces there are of each width."""

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


def measure_products(matrix: sp.csr_matrix, widths: tuple[int, ...]) -> ProductShape:
    """Returns the smallest shape that holds the matrix.

    Args:
        matrix: CSR [R, F].
        widths: stored widths of rows, ascending, the last at least as wide as any row.
    """
    width = np.searchsorted(widths, np.diff(matrix.indptr))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    kind = np.searchsorted(_FEATURE_WIDTHS, counts)
    columns = np.bincount(kind, minlength=len(_FEATURE_WIDTHS) + 1)[:-1]
    pieces, long = counts[kind == len(_FEATURE_WIDTHS)], []
    while len(pieces) and pieces.max() > 1:
        pieces = -(-pieces // PIECE)
        long.append(int(pieces.sum()))
    rows = np.bincount(width, minlength=len(widths))
    return ProductShape(widths, tuple(rows.tolist()), tuple(columns.tolist()), tuple(long))


def join_product_shapes(shapes: list[ProductShape]) -> ProductShape:
    """Returns a shape, coarse so that levels alike share it, that holds every one of them (widths the same)."""
    rows, columns = (
        tuple(round_up(max(n)) if max(n) else 0 for n in zip(*some, strict=True))
        for some in ((s.rows for s in shapes), (s.columns for s in shapes))
    )
    # A shape with fewer stages repeats its last one.
    n_stages = max(len(s.long) for s in shapes)
    long = [s.long + s.long[-1:] * (n_stages - len(s.long)) for s in shapes]
    stages = tuple(round_up(max(n)) for n in zip_longest(*long, fillvalue=0)) if n_stages else ()
    return ProductShape(shapes[0].widths, rows, columns, stages)


def fill_products(
    matrix: sp.csr_matrix, shape: ProductShape
) -> tuple[Products, np.ndarray, np.ndarray]:
    """Lays a matrix out.

    Returns:
        the layout, and the places of the matrix's rows [R] and of its columns [F] in it, int64.
    """
    width = np.searchsorted(shape.widths, np.diff(matrix.indptr))
    transposed = matrix.tocsc()
    counts = np.diff(transposed.indptr)
    kind = np.searchsorted(_FEATURE_WIDTHS, counts)
    sizes = (*shape.columns, shape.long[-1] if shape.long else 0)
    row_place, column_place = _place(width, shape.rows), _place(kind, sizes)
    rows = tuple(
        _take(matrix, np.flatnonzero(width == k), column_place, shape.rows[k], shape.widths[k])
        for k in range(len(shape.widths))
        if shape.rows[k]
    )
    columns = tuple(
        _take(transposed, np.flatnonzero(kind == k), row_place, size, _FEATURE_WIDTHS[k])
        for k, size in enumerate(shape.columns)
        if size
    )
    wide = np.flatnonzero(kind == len(_FEATURE_WIDTHS))
    return (
        Products(rows, columns, _cut_pieces(transposed, wide, row_place, shape.long)),
        row_place,
        column_place,
    )


def multiply(a: Products, weights: Float[Array, "F K"]) -> Float[Array, "R K"]:
    """Returns A·weights."""
    return jnp.concatenate([accumulate(*slots, weights) for slots in a.rows])


def pull(a: Products, rows: Float[Array, "R K"], *, squared: bool = False) -> Float[Array, "F K"]:
    """Returns Aᵀ·rows, or with the squares of A's values."""
    power = 2 if squared else 1
    parts = [accumulate(slots.ids, slots.values**power, rows) for slots in a.columns]
    sums = rows
    for stage, slots in enumerate(a.long):
        sums = accumulate(slots.ids, slots.values**power if stage == 0 else slots.values, sums)
    return jnp.concatenate([*parts, sums] if a.long else parts)


def _place(kind: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Returns a place for each item: those of a kind side by side, `sizes` places for each kind."""
    first = np.append(0, np.cumsum(sizes)[:-1])
    counts = np.bincount(kind, minlength=len(sizes))
    place = np.empty(len(kind), np.int64)
    place[np.argsort(kind, kind="stable")] = concatenate_ranges(first, counts)
    return place


def _take(matrix, which: np.ndarray, place: np.ndarray, size: int, width: int) -> Slots:
    """Packs some rows of a CSR (columns of a CSC) matrix; `place` renames what they gather."""
    lengths = np.diff(matrix.indptr)[which].astype(np.int64)
    source = concatenate_ranges(matrix.indptr[:-1][which], lengths)
    target = concatenate_ranges(np.arange(len(which)) * width, lengths)
    return _fill(place[matrix.indices[source]], matrix.data[source], target, size, width)


def _fill(ids: np.ndarray, values: np.ndarray, target: np.ndarray, size: int, width: int) -> Slots:
    slots = np.zeros(size * width, np.int32), np.zeros(size * width, np.float32)
    slots[0][target], slots[1][target] = ids, values
    return Slots(slots[0].reshape(size, width), slots[1].reshape(size, width))


def _cut_pieces(
    transposed: sp.csc_matrix, which: np.ndarray, place: np.ndarray, sizes: tuple[int, ...]
) -> tuple[Slots, ...]:
    """Cuts the lists of rows of some columns into pieces, these into pieces again, until there is one a column."""
    lengths = np.diff(transposed.indptr)[which].astype(np.int64)
    source = concatenate_ranges(transposed.indptr[:-1][which], lengths)
    ids, values = place[transposed.indices[source]], transposed.data[source]
    stages = []
    for size in sizes:
        pieces = -(-lengths // PIECE)
        first = (np.cumsum(pieces) - pieces) * PIECE
        stages.append(_fill(ids, values, concatenate_ranges(first, lengths), size, PIECE))
        n = int(pieces.sum())
        ids, values, lengths = np.arange(n), np.ones(n, np.float32), pieces
    return tuple(stages)
