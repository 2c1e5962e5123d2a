"""The layout of the lockstep dual: rows in lanes that are visited side by side.

A lane holds whole units, so two rows of a unit are never visited in the same place of a step by different lanes:
coordinate descent stays Gauss-Seidel within every unit. A step visits one block of `BLOCK` rows of each lane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmc_jax.ops import choose_widths, concatenate_ranges, round_up
from xmc_jax.ranker.problem import Chunk, LevelProblem, lay_signs

BLOCK = 8
N_WIDTHS = 3
MAX_LANES = 64


@dataclass(frozen=True)
class Lanes:
    """Rows of one stored width J, as steps × lanes × rows of a block.

    Attributes:
        ids: int32 [S, G, BLOCK, J], local features; unused slots point at the spare last row of the weights.
        values: float32 [S, G, BLOCK, J].
        signs: int8 [S, G, BLOCK, K]; 0 in unused rows.
        weights: float32 [S, G, BLOCK, K] or None.
    """

    ids: np.ndarray
    values: np.ndarray
    signs: np.ndarray
    weights: np.ndarray | None


@dataclass(frozen=True)
class LaneShape:
    """What all chunks of a level share, so that they share one compilation."""

    widths: tuple[int, ...]
    n_lanes: int
    n_steps: tuple[int, ...]
    n_features: int


def assign_lanes(n_rows: np.ndarray, max_lanes: int = MAX_LANES) -> np.ndarray:
    """Returns the lane of each unit [U]: whole units, lanes about equally long, no more of them than pay.

    No lane can be shorter than the largest unit, so more lanes than total / largest only add padding.
    """
    order = np.argsort(-n_rows, kind="stable")
    rows = n_rows[order]
    length = max(int(rows[0]), -(-int(rows.sum()) // max_lanes), 1)
    before = np.cumsum(rows) - rows
    lanes = np.empty(len(rows), np.int64)
    lanes[order] = np.unique(before // length, return_inverse=True)[1]
    return lanes


def choose_lane_widths(lengths: np.ndarray) -> tuple[int, ...]:
    """Chooses the stored widths for rows of these lengths (constant feature included)."""
    return tuple(choose_widths(lengths, N_WIDTHS))


def measure_lanes(chunk: Chunk, widths: tuple[int, ...]) -> LaneShape:
    """Returns the smallest shape that holds the chunk."""
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    lane = assign_lanes(n_rows)[chunk.row_unit]
    n_lanes = int(lane.max(initial=0)) + 1
    width = np.searchsorted(widths, np.diff(chunk.slots.indptr))
    counts = np.bincount(width * n_lanes + lane, minlength=len(widths) * n_lanes)
    longest = counts.reshape(len(widths), n_lanes).max(axis=1)
    steps = tuple(round_up(-(-int(n) // BLOCK)) if n else 0 for n in longest)
    return LaneShape(widths, n_lanes, steps, round_up(chunk.slots.shape[1] + 1, 16))


def join_shapes(shapes: list[LaneShape]) -> LaneShape:
    """Returns the smallest shape that holds every one of them."""
    return LaneShape(
        shapes[0].widths,
        max(s.n_lanes for s in shapes),
        tuple(max(s.n_steps[k] for s in shapes) for k in range(len(shapes[0].widths))),
        max(s.n_features for s in shapes),
    )


def fill_lanes(
    problem: LevelProblem, chunk: Chunk, shape: LaneShape, rng: np.random.Generator
) -> list[Lanes]:
    """Lays the rows out: random order within each lane, one `Lanes` for each width that has rows."""
    lengths = np.diff(chunk.slots.indptr)
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    lane = assign_lanes(n_rows)[chunk.row_unit]
    width = np.searchsorted(shape.widths, lengths)
    order = np.lexsort((rng.random(len(lane)), lane, width))
    bounds = np.searchsorted(width[order], np.arange(len(shape.widths) + 1))
    labels = lay_signs(problem, chunk)
    return [
        _fill_width(chunk, labels, order[bounds[k] : bounds[k + 1]], lane, shape, k)
        for k in range(len(shape.widths))
        if shape.n_steps[k]
    ]


def _fill_width(
    chunk: Chunk,
    labels: tuple[np.ndarray, np.ndarray | None],
    rows: np.ndarray,
    lane: np.ndarray,
    shape: LaneShape,
    k: int,
) -> Lanes:
    """Places the rows of one width, given in lane order."""
    n_steps, width, g = shape.n_steps[k], shape.widths[k], shape.n_lanes
    counts = np.bincount(lane[rows], minlength=g)
    place = concatenate_ranges(np.zeros(g, np.int64), counts)
    at = ((place // BLOCK) * g + lane[rows]) * BLOCK + place % BLOCK
    total = n_steps * g * BLOCK
    lengths = np.diff(chunk.slots.indptr)[rows].astype(np.int64)
    source = concatenate_ranges(chunk.slots.indptr[:-1][rows], lengths)
    target = concatenate_ranges(at * width, lengths)
    ids = np.full(total * width, shape.n_features - 1, np.int32)
    values = np.zeros(total * width, np.float32)
    ids[target], values[target] = chunk.slots.indices[source], chunk.slots.data[source]
    block = (n_steps, g, BLOCK)
    # Unused rows have sign 0, which takes them out of every problem.
    signs, weights = (
        None if x is None else place_rows(x[rows], at, total).reshape(*block, -1) for x in labels
    )
    assert signs is not None
    return Lanes(ids.reshape(*block, width), values.reshape(*block, width), signs, weights)


def place_rows(rows: np.ndarray, at: np.ndarray, total: int) -> np.ndarray:
    """Returns [total, ...] zeros with the given rows at their places."""
    out = np.zeros((total, *rows.shape[1:]), rows.dtype)
    out[at] = rows
    return out
