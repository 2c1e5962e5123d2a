"""The layout of the lockstep dual: rows in lanes that are visited side by side.

A lane holds whole units, so different lanes never visit two rows of one unit at once: coordinate descent stays
Gauss-Seidel within every unit. A step visits one block of `BLOCK` rows in each lane. The rows of a lane are sorted by
length, so that the rows of a step are about equally long; their slots are stored in groups of `GROUP`, as many groups
as the longest row of the step needs, so that one compiled program serves rows of every length.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from xmc_jax.ops import concatenate_ranges, place_rows, round_up
from xmc_jax.ranker.problem import Chunk, LevelProblem, lay_signs

BLOCK = 8
GROUP = 4
MAX_LANES = 64
_STEP_ELEMENTS = 512
"""Fixed cost of a step, in units of rows times columns."""
_SMALL = {"steps": (32, 64), "groups": (128, 512), "features": (512, 2048)}
"""The least size of a shape, and up to which size it is a power of two: what small levels would save by a closer one is
less than the half second that its compilation takes."""


@dataclass(frozen=True)
class Lanes:
    """Rows of a chunk, as steps × lanes × rows of a block, and their slots, as groups × lanes × rows × slots.

    Attributes:
        n_steps: number of steps that hold rows; the arrays may be longer.
        bounds: int32 [S + 1], the groups of every step.
        ids: int32 [N, G, BLOCK, GROUP], local features; unused slots point to the spare last row of the weights.
        values: float32 [N, G, BLOCK, GROUP].
        signs: int8 [S, G, BLOCK, K]; 0 in unused rows.
        weights: float32 [S, G, BLOCK, K] or None.
    """

    n_steps: int
    bounds: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    signs: np.ndarray
    weights: np.ndarray | None


@dataclass(frozen=True)
class LaneShape:
    """Sizes that all chunks of a level share, so that they are compiled once.

    Attributes:
        n_steps: number of steps S.
        n_groups: number N of groups of slots.
        n_lanes: G.
        n_features: number of rows F of the weights, including the spare last one.
        n_columns: K.
    """

    n_steps: int
    n_groups: int
    n_lanes: int
    n_features: int
    n_columns: int


def choose_lanes(n_rows: list[np.ndarray], n_columns: int) -> int:
    """Returns the number of lanes G for which chunks of units with these numbers of rows take the least time.

    A chunk takes as many rounds as its longest lane has blocks, and a lane is never shorter than the largest unit:
    beyond that, more lanes make each round more expensive without saving any.
    """
    lanes = np.arange(1, MAX_LANES + 1)
    longest = sum(np.maximum(n.max(initial=1), n.sum() / lanes) for n in n_rows)
    return int(lanes[np.argmin(longest * (_STEP_ELEMENTS + lanes * BLOCK * n_columns))])


def assign_lanes(n_rows: np.ndarray, n_lanes: int) -> np.ndarray:
    """Returns the lane of each unit [U]: the largest units first, each in the lane that is shortest so far."""
    order = np.argsort(-n_rows, kind="stable")
    heap = [(0, lane) for lane in range(n_lanes)]
    lanes = np.empty(len(n_rows), np.int64)
    for unit, rows in zip(order.tolist(), n_rows[order].tolist(), strict=True):
        length, lane = heap[0]
        lanes[unit] = lane
        heapq.heapreplace(heap, (length + rows, lane))
    return lanes


def measure_lanes(chunk: Chunk, n_lanes: int) -> LaneShape:
    """Returns the smallest shape that holds the chunk."""
    needed = _count_groups(chunk)
    _, place = _order_rows(chunk, needed, np.zeros(len(needed)), n_lanes)
    groups = _measure_steps(needed, place // BLOCK)
    return LaneShape(
        len(groups),
        int(groups.sum()),
        n_lanes,
        chunk.slots.shape[1] + 1,
        int(chunk.units.n_children.max()),
    )


def join_shapes(shapes: list[LaneShape]) -> LaneShape:
    """Returns a shape that holds all of these, which have the same lanes; it is coarse, so that similar levels share
    it."""
    return LaneShape(
        _round_size("steps", max(s.n_steps for s in shapes), 8),
        _round_size("groups", max(s.n_groups for s in shapes), 8),
        shapes[0].n_lanes,
        _round_size("features", max(s.n_features for s in shapes), 16),
        _round_columns(max(s.n_columns for s in shapes)),
    )


def _round_size(name: str, n: int, steps: int) -> int:
    least, most = _SMALL[name]
    return max(least, round_up(n, 1 if n <= most else steps))


def _round_columns(n: int) -> int:
    """Rounds up to whole vectors of eight columns if that adds few: a CPU handles the rest one by one (80 for 77: -15
    %)."""
    return -(-n // 8) * 8 if n >= 32 else n


def _count_groups(chunk: Chunk) -> np.ndarray:
    """Returns the number of groups of slots that each row needs, int64 [R]."""
    return np.maximum(-(-np.diff(chunk.slots.indptr).astype(np.int64) // GROUP), 1)


def _order_rows(
    chunk: Chunk, needed: np.ndarray, chance: np.ndarray, n_lanes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns each row's lane and its place in it: the longest first, rows of equal length by chance."""
    n_rows = np.bincount(chunk.row_unit, minlength=len(chunk.units))
    lane = assign_lanes(n_rows, n_lanes)[chunk.row_unit]
    order = np.lexsort((chance, -needed, lane))
    place = np.empty(len(lane), np.int64)
    counts = np.bincount(lane, minlength=n_lanes)
    place[order] = concatenate_ranges(np.zeros(n_lanes, np.int64), counts)
    return lane, place


def _measure_steps(needed: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Returns the number of groups of each step, that of its longest row."""
    groups = np.zeros(int(step.max(initial=-1)) + 1, np.int64)
    np.maximum.at(groups, step, needed)
    return groups


def fill_lanes(
    problem: LevelProblem, chunk: Chunk, shape: LaneShape, rng: np.random.Generator
) -> Lanes:
    """Lays out the rows by length in each lane, rows of equal length in random order.

    Units are mixed on purpose: blocks of rows of one unit took a quarter more epochs.
    """
    needed = _count_groups(chunk)
    lane, place = _order_rows(chunk, needed, rng.random(len(needed)), shape.n_lanes)
    step, row = place // BLOCK, place % BLOCK
    groups = _measure_steps(needed, step)
    bounds = np.zeros(shape.n_steps + 1, np.int32)
    bounds[1 : len(groups) + 1] = np.cumsum(groups)
    bounds[len(groups) + 1 :] = bounds[len(groups)]
    lengths = np.diff(chunk.slots.indptr).astype(np.int64)
    slot = concatenate_ranges(np.zeros(len(lengths), np.int64), lengths)
    in_group = lane * BLOCK + row
    n_per_group = shape.n_lanes * BLOCK
    group = np.repeat(bounds[step].astype(np.int64), lengths) + slot // GROUP
    target = (group * n_per_group + np.repeat(in_group, lengths)) * GROUP + slot % GROUP
    total = shape.n_groups * n_per_group * GROUP
    ids = np.full(total, shape.n_features - 1, np.int32)
    values = np.zeros(total, np.float32)
    ids[target], values[target] = chunk.slots.indices, chunk.slots.data
    # Unused rows have sign 0, which excludes them from every problem.
    at, n_rows = step * n_per_group + in_group, shape.n_steps * n_per_group
    block = (shape.n_lanes, BLOCK)
    signs, weights = (
        None if x is None else place_rows(x, at, n_rows).reshape(shape.n_steps, *block, -1)
        for x in lay_signs(problem, chunk, shape.n_columns)
    )
    assert signs is not None
    slots = (shape.n_groups, *block, GROUP)
    return Lanes(len(groups), bounds, ids.reshape(slots), values.reshape(slots), signs, weights)
