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
N_WIDTHS = 5
MAX_LANES = 64
_STEP_ELEMENTS = 512
"""What a step costs beside its rows, in rows times columns."""


@dataclass(frozen=True)
class Lanes:
    """Rows of one stored width J, as steps × lanes × rows of a block.

    Attributes:
        n_steps: steps that hold rows; the arrays may be longer.
        ids: int32 [S, G, BLOCK, J], local features; unused slots point at the spare last row of the weights.
        values: float32 [S, G, BLOCK, J].
        signs: int8 [S, G, BLOCK, K]; 0 in unused rows.
        weights: float32 [S, G, BLOCK, K] or None.
    """

    n_steps: int
    ids: np.ndarray
    values: np.ndarray
    signs: np.ndarray
    weights: np.ndarray | None


@dataclass(frozen=True)
class LaneShape:
    """What all chunks of a level share, so that they share one compilation.

    Attributes:
        widths: stored widths J, ascending.
        n_steps: steps S of each width. A row may lie in a wider slot than it needs: what wide rows leave free of
            their blocks is filled.
        n_lanes: G.
        n_features: rows F of the weights, the spare last one included.
        n_columns: K.
    """

    widths: tuple[int, ...]
    n_steps: tuple[int, ...]
    n_lanes: int
    n_features: int
    n_columns: int


def choose_lanes(n_rows: list[np.ndarray], n_columns: int) -> int:
    """Returns the number of lanes G with which chunks of units of these many rows take the least time.

    A chunk takes as many rounds of blocks as its longest lane has, which is never shorter than its largest unit: more
    lanes make each round dearer and, from there on, none fewer.
    """
    lanes = np.arange(1, MAX_LANES + 1)
    longest = sum(np.maximum(n.max(initial=1), n.sum() / lanes) for n in n_rows)
    return int(lanes[np.argmin(longest * (_STEP_ELEMENTS + lanes * BLOCK * n_columns))])


def assign_lanes(n_rows: np.ndarray, n_lanes: int) -> np.ndarray:
    """Returns the lane of each unit [U]: whole units, the largest first, each to the lane that is shortest so far."""
    order = np.argsort(-n_rows, kind="stable")
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


def measure_lanes(chunk: Chunk, widths: tuple[int, ...], n_lanes: int) -> LaneShape:
    """Returns the smallest shape that holds the chunk."""
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    lane = assign_lanes(n_rows, n_lanes)[chunk.row_unit]
    width = np.searchsorted(widths, np.diff(chunk.slots.indptr))
    counts = np.bincount(width * n_lanes + lane, minlength=len(widths) * n_lanes)
    at_least = np.cumsum(counts.reshape(len(widths), n_lanes)[::-1], axis=0)
    blocks = -(-at_least.max(axis=1) // BLOCK)
    return LaneShape(
        widths,
        tuple(np.diff(blocks, prepend=0)[::-1].tolist()),
        n_lanes,
        chunk.slots.shape[1] + 1,
        int(chunk.units.n_children.max()),
    )


def join_shapes(shapes: list[LaneShape]) -> LaneShape:
    """Returns a shape, coarse so that levels alike share it, that holds all of these (widths and lanes the same)."""
    return LaneShape(
        shapes[0].widths,
        tuple(
            round_up(max(n)) if max(n) else 0
            for n in zip(*(s.n_steps for s in shapes), strict=True)
        ),
        shapes[0].n_lanes,
        round_up(max(s.n_features for s in shapes), 16),
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
    lane = assign_lanes(n_rows, shape.n_lanes)[chunk.row_unit]
    chance = rng.random(len(lane))
    # The widest rows of a lane take its widest slots; what they leave, the next narrower rows fill.
    needed = np.searchsorted(shape.widths, lengths)
    order = np.lexsort((chance, -needed, lane))
    per_lane = np.bincount(lane, minlength=shape.n_lanes)
    own = measure_lanes(chunk, shape.widths, shape.n_lanes).n_steps
    room = np.cumsum(own[::-1])[::-1] * BLOCK
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
    used = -(-int(counts.max(initial=0)) // BLOCK)
    return Lanes(used, ids.reshape(*block, width), values.reshape(*block, width), signs, weights)


def place_rows(rows: np.ndarray, at: np.ndarray, total: int) -> np.ndarray:
    """Returns [total, ...] zeros with the given rows at their places."""
    out = np.zeros((total, *rows.shape[1:]), rows.dtype)
    out[at] = rows
    return out
