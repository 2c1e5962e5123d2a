"""The layout of the lockstep dual: rows in lanes that are visited side by side.

A lane holds whole units, so two rows of a unit are never visited in the same place of a step by different lanes:
coordinate descent stays Gauss-Seidel within every unit. A step visits one block of `BLOCK` rows of each lane.
"""

from __future__ import annotations

import heapq
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
    """What all chunks of a level share, so that they share one compilation.

    Attributes:
        widths: stored widths J, ascending.
        n_rows: for each width, the rows of the fullest lane that need this width or a greater one.
        n_lanes: G.
        n_features: rows F of the weights, the spare last one included.
        n_columns: K.
    """

    widths: tuple[int, ...]
    n_rows: tuple[int, ...]
    n_lanes: int
    n_features: int
    n_columns: int

    @property
    def n_steps(self) -> tuple[int, ...]:
        """Steps S of each width. A row may lie in a wider slot than it needs: what wide rows leave free is filled."""
        steps: list[int] = []
        for n in reversed(self.n_rows):
            steps.append(max(0, round_up(-(-n // BLOCK)) - sum(steps)) if n else 0)
        return tuple(reversed(steps))


def assign_lanes(n_rows: np.ndarray, max_lanes: int = MAX_LANES) -> np.ndarray:
    """Returns the lane of each unit [U]: whole units, the largest first, each to the lane that is shortest so far.

    No lane can be shorter than the largest unit, so more lanes than total / largest only add padding.
    """
    order = np.argsort(-n_rows, kind="stable")
    longest = max(int(n_rows[order[0]]), 1)
    n_lanes = int(np.clip(int(n_rows.sum()) // longest, 1, max_lanes))
    heap = [(0, lane) for lane in range(n_lanes)]
    lanes = np.empty(len(n_rows), np.int64)
    for unit, rows in zip(order.tolist(), n_rows[order].tolist(), strict=True):
        length, lane = heap[0]
        lanes[unit] = lane
        heapq.heapreplace(heap, (length + rows, lane))
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
    at_least = np.cumsum(counts.reshape(len(widths), n_lanes)[::-1], axis=0)[::-1]
    return LaneShape(
        widths,
        tuple(at_least.max(axis=1).tolist()),
        n_lanes,
        round_up(chunk.slots.shape[1] + 1, 16),
        int(chunk.units.n_children.max()),
    )


def join_shapes(shapes: list[LaneShape]) -> LaneShape:
    """Returns the smallest shape that holds every one of them."""
    return LaneShape(
        shapes[0].widths,
        tuple(max(n) for n in zip(*(s.n_rows for s in shapes), strict=True)),
        max(s.n_lanes for s in shapes),
        max(s.n_features for s in shapes),
        max(s.n_columns for s in shapes),
    )


def fill_lanes(
    problem: LevelProblem, chunk: Chunk, shape: LaneShape, rng: np.random.Generator
) -> list[Lanes]:
    """Lays the rows out in random order within each lane and width, one `Lanes` for each width that has steps.

    Units are mixed on purpose: blocks of rows of one unit took a quarter more epochs.
    """
    lengths = np.diff(chunk.slots.indptr)
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    lane = assign_lanes(n_rows)[chunk.row_unit]
    chance = rng.random(len(lane))
    # The widest rows of a lane take its widest slots; what they leave, the next narrower rows fill.
    needed = np.searchsorted(shape.widths, lengths)
    order = np.lexsort((chance, -needed, lane))
    per_lane = np.bincount(lane, minlength=shape.n_lanes)
    room = np.cumsum(np.asarray(shape.n_steps)[::-1])[::-1] * BLOCK
    width = np.empty(len(lane), np.int64)
    place = concatenate_ranges(np.zeros(len(per_lane), np.int64), per_lane)
    width[order] = len(room) - 1 - np.searchsorted(room[::-1], place, side="right")
    order = np.lexsort((chance, lane, width))
    bounds = np.searchsorted(width[order], np.arange(len(shape.widths) + 1))
    labels = lay_signs(problem, chunk, shape.n_columns)
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
