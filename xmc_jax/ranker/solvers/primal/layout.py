"""The layout of primal Newton's products, on the host: how units are cut into tiles and rows into slots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import scipy.sparse as sp

from xmc_jax.ops import concatenate_ranges, round_up
from xmc_jax.ranker.solvers.primal.products import Products, Slots, Tiles

PIECE = 16
_FEATURE_WIDTHS = (2, 6, PIECE)
_TILE_SLOTS = tuple(2**k for k in range(10, 19))
_TILE_SHARES = (0.5, 0.75, 0.9, 1.0)
"""Sizes of tiles that are tried, and shares of the tiles that need no more than their share of a unit."""
_VECTOR_SLOTS = 8
"""Slots that cost as much as one row or feature more in every vector."""
_SUBLANES = 8
"""Sizes of tiles are multiples of this, so that a TPU takes the arrays of all tiles for one without a copy."""


@dataclass(frozen=True)
class ProductShape:
    """Sizes that the calls of a level share: the numbers of tiles, of units and of a unit's tiles, and per tile the
    numbers of rows, columns and pieces of each width."""

    n_tiles: int
    n_units: int
    most_tiles: int
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

    @property
    def is_tiled(self) -> bool:
        """Whether a unit may have several tiles."""
        return self.most_tiles > 1


def measure_products(
    matrix: sp.csr_matrix,
    row_unit: np.ndarray,
    column_unit: np.ndarray,
    widths: tuple[int, ...],
    *,
    tiled: bool = False,
) -> ProductShape:
    """Returns the smallest shape that holds the matrix.

    Args:
        matrix: CSR [R, F], block-diagonal.
        row_unit, column_unit: the unit of each row [R] and of each column [F], ascending.
        widths: stored widths of rows, ascending; the last is at least as wide as any row.
        tiled: whether to cut units into tiles of one shape, chosen to store the fewest slots; otherwise each unit is a
            tile, as large as the largest.
    """
    counts = _count_kinds(matrix, row_unit, column_unit, widths)
    sizes = _choose_tile(counts, widths) if tiled else counts.max(axis=0)
    n_tiles = _count_tiles(counts, sizes)
    rows, columns, long = np.split(sizes, np.cumsum([len(widths), len(_FEATURE_WIDTHS)]))
    kinds = (tuple(some.tolist()) for some in (rows, columns, long))
    return ProductShape(int(n_tiles.sum()), len(counts), int(n_tiles.max()), widths, *kinds)


def _count_kinds(
    matrix: sp.csr_matrix,
    row_unit: np.ndarray,
    column_unit: np.ndarray,
    widths: tuple[int, ...],
    n_stages: int = 0,
) -> np.ndarray:
    """Returns the numbers of rows and columns of each width and of pieces of each stage in each unit, int64 [U, kinds],
    with at least `n_stages` stages."""
    n_units, n_kinds = int(column_unit[-1]) + 1, len(_FEATURE_WIDTHS) + 1
    width = np.searchsorted(widths, np.diff(matrix.indptr))
    lengths = np.bincount(matrix.indices, minlength=matrix.shape[1])
    kind = np.searchsorted(_FEATURE_WIDTHS, lengths)
    rows = np.bincount(row_unit * len(widths) + width, minlength=n_units * len(widths))
    columns = np.bincount(column_unit * n_kinds + kind, minlength=n_units * n_kinds)
    wide = kind == len(_FEATURE_WIDTHS)
    unit, pieces = column_unit[wide], lengths[wide]
    long: list[np.ndarray] = []
    while len(long) < n_stages or pieces.max(initial=0) > 1:
        pieces = -(-pieces // PIECE)
        long.append(np.bincount(unit, pieces, n_units)[:, None].astype(np.int64))
    narrow = columns.reshape(n_units, -1)[:, :-1]
    return np.concatenate([rows.reshape(n_units, -1), narrow, *long], axis=1)


def _choose_tile(counts: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """Returns the sizes of a tile [kinds] for which all units, with these counts [U, kinds], cost least."""
    n_long = counts.shape[1] - len(widths) - len(_FEATURE_WIDTHS)
    cost = np.array([*widths, *_FEATURE_WIDTHS, *[PIECE] * n_long]) + _VECTOR_SLOTS
    best, least = counts.max(axis=0), np.inf
    work = counts @ cost
    for slots in _TILE_SLOTS:
        n_tiles = -(-work // slots)
        part = np.repeat(counts / n_tiles[:, None], n_tiles, axis=0)
        for share in _TILE_SHARES:
            sizes = np.ceil(np.quantile(part, share, axis=0)).astype(np.int64)
            sizes = np.array(_align(np.maximum(sizes, counts.any(axis=0)).tolist()))
            found = _count_tiles(counts, sizes)
            total = found.sum() * (sizes @ cost) + len(counts) * found.max()
            if total < least:
                best, least = sizes, total
    return best


def _count_tiles(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the number of tiles of each unit [U]."""
    return np.maximum(1, -(-counts // np.maximum(sizes, 1)).min(axis=1))


def _align(sizes: Iterable[int]) -> tuple[int, ...]:
    """Returns coarse sizes of a tile, multiples of `_SUBLANES`."""
    return tuple(-(-round_up(n) // _SUBLANES) * _SUBLANES if n else 0 for n in sizes)


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
    n_tiles, n_units, most = (
        max(getattr(s, name) for s in shapes) for name in ("n_tiles", "n_units", "most_tiles")
    )
    if most > 1:
        rows, columns, stages = _align(rows), _align(columns), _align(stages)
        n_units += -n_units % _SUBLANES
    return ProductShape(n_tiles, n_units, most, shapes[0].widths, rows, columns, stages)


def fill_products(
    matrix: sp.csr_matrix, row_unit: np.ndarray, column_unit: np.ndarray, shape: ProductShape
) -> tuple[Products, np.ndarray, np.ndarray]:
    """Lays out a matrix; the arguments are those of `measure_products`.

    Returns:
        The layout, and the places of the matrix's rows [R] and of its columns [F] among those of all tiles, int64.
    """
    counts = _count_kinds(matrix, row_unit, column_unit, shape.widths, len(shape.long))
    n_tiles = _count_tiles(counts, np.array((*shape.rows, *shape.columns, *shape.long)))
    first = np.cumsum(n_tiles) - n_tiles
    width = np.searchsorted(shape.widths, np.diff(matrix.indptr))
    transposed = matrix.tocsc()
    kind = np.searchsorted(_FEATURE_WIDTHS, np.diff(transposed.indptr))
    sizes = (*shape.columns, shape.long[-1] if shape.long else 0)
    row_rank, row_place = _place(row_unit, width, shape.rows, first)
    column_rank, column_place = _place(column_unit, kind, sizes, first)
    given = first[row_unit], row_rank, column_place, shape.n_tiles, shape.rows, shape.widths
    rows = _take_widths(matrix, width, *given)
    given = (
        first[column_unit],
        column_rank,
        row_place,
        shape.n_tiles,
        shape.columns,
        _FEATURE_WIDTHS,
    )
    columns = _take_widths(transposed, kind, *given)
    wide = np.flatnonzero(kind == len(_FEATURE_WIDTHS))
    long = _cut_pieces(transposed, wide, column_unit[wide], first, row_place, shape)
    tiles = _list_tiles(n_tiles, shape) if shape.is_tiled else None
    return Products(rows, columns, long, tiles), row_place, column_place


def _list_tiles(n_tiles: np.ndarray, shape: ProductShape) -> Tiles:
    unit = np.repeat(np.arange(len(n_tiles)), n_tiles)
    place = concatenate_ranges(np.zeros(len(n_tiles), np.int64), n_tiles)
    of_unit = np.full((shape.most_tiles, shape.n_units), shape.n_tiles, np.int32)
    of_unit[place, unit] = np.arange(len(unit))
    owner = np.full(shape.n_tiles, shape.n_units, np.int32)
    owner[: len(unit)] = unit
    return Tiles(of_unit, owner)


def _place(
    unit: np.ndarray, kind: np.ndarray, sizes: tuple[int, ...], first_tile: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rank of each item among those of its unit and kind, and its place among those of all tiles.

    Items of a kind are consecutive in a tile, which has `sizes` places for each kind; `first_tile` is each unit's.
    """
    key = unit * len(sizes) + kind
    counts = np.bincount(key)
    rank = np.empty(len(kind), np.int64)
    rank[np.argsort(key, kind="stable")] = concatenate_ranges(
        np.zeros(len(counts), np.int64), counts
    )
    before = np.append(0, np.cumsum(sizes)[:-1])
    tile, inside = np.divmod(rank, np.maximum(sizes, 1)[kind])
    return rank, (first_tile[unit] + tile) * sum(sizes) + before[kind] + inside


def _take_widths(
    matrix,
    kind: np.ndarray,
    tile: np.ndarray,
    rank: np.ndarray,
    place: np.ndarray,
    n_tiles: int,
    sizes: tuple[int, ...],
    widths: tuple[int, ...],
) -> tuple[Slots, ...]:
    """Packs the rows of a CSR (columns of a CSC) matrix, by their widths; a row lies `rank` places after the first of
    its width in its unit's first tile."""
    return tuple(
        _take(matrix, kind == k, tile * size + rank, place, (n_tiles, size, width))
        for k, (size, width) in enumerate(zip(sizes, widths, strict=True))
        if size
    )


def _take(
    matrix, which: np.ndarray, row: np.ndarray, place: np.ndarray, shape: tuple[int, int, int]
) -> Slots:
    """Packs some rows of a CSR (columns of a CSC) matrix into [V, M, J]; `place` renumbers what they gather."""
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
    first_tile: np.ndarray,
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
        # Pieces of a unit follow each other from the first place of its first tile on.
        before = np.cumsum(pieces) - pieces
        first = first_tile[unit] * size + before - before[np.searchsorted(unit, unit)]
        target = concatenate_ranges(first * PIECE, lengths)
        stages.append(_fill(ids, values, target, (shape.n_tiles, size, PIECE)))
        ids = concatenate_ranges(first, pieces)
        values, lengths = np.ones(len(ids), np.float32), pieces
    return tuple(stages)
