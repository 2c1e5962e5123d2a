"""The layout of Newton through Gram matrices: one block of rows and one of features per unit.

All units of a call are padded to the same number of rows and features, so they should have similar sizes. Dense
columns stay a dense block beside the slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from xmc_jax.ops import Gathers, concatenate_ranges, place_rows, round_up
from xmc_jax.ranker.problem import Chunk, LevelProblem, lay_signs
from xmc_jax.types import AnyArray

SEGMENT = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blocks:
    """Rows of U units, n each, with F features each; local ids number the features of all units (unit · F + feature).

    Attributes:
        ids: int32 [U·n, J]; unused slots point to the spare last feature of their unit.
        values: float32 [U·n, J].
        dense: float32 [U, n, H].
        signs: int8 [U, n, K].
        weights: float32 [U, n, K] or None.
        segment_rows: int32 [M, SEGMENT], the transpose: the rows of each feature, in pieces.
        segment_values: float32 [M, SEGMENT].
        segment_feature: int32 [M], ascending; unused pieces hold U·F.
    """

    ids: AnyArray
    values: AnyArray
    dense: AnyArray
    signs: AnyArray
    weights: AnyArray
    segment_rows: AnyArray
    segment_values: AnyArray
    segment_feature: AnyArray


@dataclass(frozen=True)
class BlockShape:
    """Sizes that the calls of a level share."""

    n_units: int
    n_rows: int
    width: int
    n_features: int
    n_segments: int
    gathers: Gathers = "unrolled"


def measure_blocks(chunk: Chunk) -> BlockShape:
    """Returns the smallest shape that holds the chunk."""
    n_units = len(chunk.units)
    rows = np.bincount(chunk.row_unit, minlength=n_units).max(initial=1)
    features = np.bincount(chunk.feature_unit, minlength=n_units).max(initial=0) + 2
    width = np.diff(chunk.slots.indptr).max(initial=1)
    counts = np.bincount(chunk.slots.indices, minlength=chunk.slots.shape[1])
    segments = int((-(-counts // SEGMENT)).sum())
    return BlockShape(
        n_units,
        round_up(int(rows)),
        round_up(int(width)),
        round_up(int(features), 16),
        round_up(max(segments, 1), 16),
    )


def join_block_shapes(shapes: list[BlockShape]) -> BlockShape:
    """Returns the smallest shape that holds all of these."""
    names = ("n_units", "n_rows", "width", "n_features", "n_segments")
    return BlockShape(*(max(getattr(s, name) for s in shapes) for name in names))


def fill_blocks(
    problem: LevelProblem, chunk: Chunk, dense: np.ndarray, shape: BlockShape
) -> Blocks:
    """Lays out a chunk.

    Args:
        problem: the level.
        chunk: a chunk cut from only the sparse columns.
        dense: float32 [N, H], dense columns of all instances.
        shape: a shape that holds the chunk.
    """
    u, n, f = shape.n_units, shape.n_rows, shape.n_features
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    place = concatenate_ranges(np.zeros(len(n_rows), np.int64), n_rows)
    at = chunk.row_unit * n + place
    local = place_features(chunk, f)[chunk.slots.indices]
    lengths = np.diff(chunk.slots.indptr).astype(np.int64)
    ids = np.repeat(np.arange(u * n) // n * f + f - 1, shape.width).astype(np.int32)
    values = np.zeros(u * n * shape.width, np.float32)
    target = concatenate_ranges(at * shape.width, lengths)
    ids[target], values[target] = local, chunk.slots.data
    signs, weights = (
        None if x is None else place_rows(x, at, u * n).reshape(u, n, -1)
        for x in lay_signs(problem, chunk, problem.max_columns)
    )
    wide = place_rows(dense[problem.row_instance[chunk.row_level]], at, u * n)
    segments = _cut_segments(local, np.repeat(at, lengths), chunk.slots.data, shape)
    return Blocks(
        ids.reshape(u * n, shape.width),
        values.reshape(u * n, shape.width),
        wide.reshape(u, n, -1),
        signs,
        weights,
        *segments,
    )


def place_features(chunk: Chunk, n_features: int) -> np.ndarray:
    """Returns the block id of each local feature of the chunk, constants last, int64 [F + U]."""
    counts = np.bincount(chunk.feature_unit, minlength=len(chunk.units))
    inner = chunk.feature_unit * n_features
    inner = inner + concatenate_ranges(np.zeros(len(counts), np.int64), counts)
    constants = np.arange(len(chunk.units)) * n_features + counts
    return np.concatenate([inner, constants])


def _cut_segments(
    feature: np.ndarray, row: np.ndarray, value: np.ndarray, shape: BlockShape
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorts the slots by feature and cuts each feature's list of rows into pieces of fixed length."""
    order = np.argsort(feature, kind="stable")
    feature, row, value = feature[order], row[order], value[order]
    used, counts = np.unique(feature, return_counts=True)
    pieces = -(-counts // SEGMENT)
    first = np.cumsum(pieces) - pieces
    inside = concatenate_ranges(np.zeros(len(counts), np.int64), counts)
    target = np.repeat(first * SEGMENT, counts) + inside
    rows = np.zeros(shape.n_segments * SEGMENT, np.int32)
    values = np.zeros(shape.n_segments * SEGMENT, np.float32)
    rows[target], values[target] = row, value
    owner = np.full(shape.n_segments, shape.n_units * shape.n_features, np.int32)
    owner[: int(pieces.sum())] = np.repeat(used, pieces)
    return rows.reshape(-1, SEGMENT), values.reshape(-1, SEGMENT), owner
