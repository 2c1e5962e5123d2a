"""Chunks of a level: units that are solved together, their rows cut out of the level, and the shapes they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from xmc_jax.ops import choose_widths
from xmc_jax.parallel import Target, gather_shares, list_share
from xmc_jax.ranker.footprint import (
    count_features,
    count_unit_slots,
    divide_level,
    weigh_cuts,
)
from xmc_jax.ranker.problem import (
    Chunk,
    LevelProblem,
    Units,
    count_nonzeros,
    count_rows,
    cut_chunk,
)

if TYPE_CHECKING:
    from xmc_jax.ranker.solvers import Solver

Shape = TypeVar("Shape")

_N_TIERS = 3


def split_units(
    problem: LevelProblem,
    units: Units,
    solver: Solver,
    memory: int | None,
    n_workers: int,
    target: Target,
) -> tuple[list[Units], int]:
    """Splits units into chunks of similar work and bounded memory; also returns how many are solved side by side.

    Args:
        problem: the level.
        units: units of the level that one solver takes.
        solver: gives the bytes of a unit and which units to solve together.
        memory: bytes for all chunks under way, or None for no bound.
        n_workers: number of chunks that could be solved side by side.
        target: the device that the programs are made for.

    Raises:
        RunError: one unit needs more memory than that.
    """
    n_rows = count_rows(problem, units)
    n_dense = problem.features.n_dense
    weights = solver.bytes(
        n_rows,
        count_unit_slots(problem, units),
        count_features(problem, units),
        int(units.n_children.max()),
        n_dense,
    )
    division = divide_level(weights, memory, n_workers)
    most = np.inf if memory is None else memory / division.n_workers
    runs = solver.split(weights, n_rows, n_dense, division.n_chunks, most, target)
    return [units[run] for run in runs], min(len(runs), division.n_workers)


class CutChunks(Generic[Shape]):
    """Chunks that are all cut once for their shapes, which every process needs.

    A process that has only the rows of its own chunks cuts these, and receives the shapes of the others. Its cut rows
    are kept until they are taken if the level has few; otherwise chunks are cut again one by one.

    Attributes:
        shapes: the shape of each chunk.
    """

    def __init__(
        self,
        problem: LevelProblem,
        chunks: list[Units],
        bias: float,
        measure: Callable[[Chunk], Shape],
        kind: type[Shape],
    ) -> None:
        """Cuts chunks with a constant feature of value `bias` (none if it is 0); `kind` is the class of their
        shapes."""
        self._cut = lambda k: cut_chunk(problem, chunks[k], bias)
        nonzeros = count_nonzeros(problem)
        n_rows = sum(int(count_rows(problem, units).sum()) for units in chunks)
        n_slots = sum(int(nonzeros[units.cluster].sum()) for units in chunks)
        # Dense columns and the constant are slots of a cut row.
        n_slots += n_rows * (problem.features.n_dense + (bias > 0))
        keeps = weigh_cuts(n_slots, n_rows) > 0
        own = list_share(len(chunks))
        self._kept: dict[int, Chunk] = {}
        self.shapes: list[Shape] = []
        for k in range(len(chunks)) if problem.census is None else own:
            chunk = self._cut(k)
            self.shapes.append(measure(chunk))
            if keeps and k in own:
                self._kept[k] = chunk
        if problem.census is not None:
            self.shapes = _gather_shapes(self.shapes, kind)

    def take(self, k: int) -> Chunk:
        """Returns a chunk and drops it here, so that its rows are freed as soon as the caller drops it."""
        return self._kept.pop(k, None) or self._cut(k)


def _gather_shapes(mine: list[Shape], kind: type[Shape]) -> list[Shape]:
    """Returns the shapes of the chunks of all processes, in order."""
    sent = [
        {"shape": np.frombuffer(json.dumps(asdict(shape), default=int).encode(), np.uint8)}  # type: ignore[call-overload]
        for shape in mine
    ]
    told = [json.loads(piece["shape"].tobytes()) for piece in gather_shares(sent)]
    return [
        kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})
        for values in told
    ]


def cut_runs(
    order: np.ndarray, n_rows: np.ndarray, need: np.ndarray, most: float, n_tiers: int
) -> list[np.ndarray]:
    """Cuts units into runs of bounded bytes, within a few tiers of rows.

    A run is padded to the largest unit of its tier; few tiers need few compilations.

    Args:
        order: the units [U], the longest first.
        n_rows, need: rows and bytes of each unit [U].
        most: largest number of bytes of a run.
        n_tiers: largest number of tiers.
    """
    n, need = n_rows[order], need[order]
    tier = np.searchsorted(choose_widths(n, n_tiers), n)
    first = np.flatnonzero(np.append(True, np.diff(tier) != 0))
    counts = np.diff(np.append(first, len(order)))
    largest = np.maximum(np.maximum.reduceat(need, first), 1)
    size = np.maximum(1, most // largest).astype(np.int64)
    run = (np.arange(len(order)) - np.repeat(first, counts)) // np.repeat(size, counts)
    return np.split(order, np.flatnonzero((np.diff(tier) != 0) | (np.diff(run) != 0)) + 1)


def fill_runs(order: np.ndarray, need: np.ndarray, most: float) -> list[np.ndarray]:
    """Cuts units, in this order, into the fewest runs whose needs [U] are `most` together, or a single unit's.

    >>> [run.tolist() for run in fill_runs(np.arange(4), np.array([5, 1, 2, 3]), 4)]
    [[0], [1, 2], [3]]
    """
    totals, ends = np.cumsum(need[order]), [0]
    while ends[-1] < len(order):
        first = ends[-1]
        limit = totals[first] - need[order[first]] + most
        ends.append(max(first + 1, int(np.searchsorted(totals, limit, side="right"))))
    return np.split(order, ends[1:-1])


def share_shapes(
    shapes: list[Any], largest: np.ndarray, join: Callable[[list], Any], n_tiers: int = _N_TIERS
) -> list:
    """Gives runs of similar units one shape, so that they share a compilation.

    Args:
        shapes: the shape of each run.
        largest: rows of the largest unit of each run.
        join: returns one shape that holds several.
        n_tiers: largest number of shapes.
    """
    tier = np.searchsorted(choose_widths(largest, n_tiers), largest).tolist()
    joined = {t: join([s for s, u in zip(shapes, tier, strict=True) if u == t]) for t in set(tier)}
    return [joined[t] for t in tier]
