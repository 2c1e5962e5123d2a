"""A solver as a value: what it solves, what that costs, how units become chunks and chunks weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from xmc_jax.config import Loss
from xmc_jax.model import LevelWeights
from xmc_jax.parallel import Target
from xmc_jax.ranker.parts import Part
from xmc_jax.ranker.problem import LevelProblem, Penalty, Units, count_rows
from xmc_jax.ranker.settings import SolveSettings
from xmc_jax.types import Features


@dataclass(frozen=True)
class Sizes:
    """Sizes of some units, on which their cost depends.

    Attributes:
        n_rows: number of rows of each unit [U].
        n_slots: number of sparse slots of all its rows [U].
        n_columns: K.
        n_dense: number of dense columns H.
        cost: the larger of the costs of positives and negatives.
        tolerance: tolerance of the solver.
        is_started: whether there are weights near the optimum, and the labels of a chunk may stop together.
    """

    n_rows: np.ndarray
    n_slots: np.ndarray
    n_columns: int
    n_dense: int = 0
    cost: float = 1.0
    tolerance: float = 1e-4
    is_started: bool = False

    def __getitem__(self, which: np.ndarray) -> Sizes:
        return replace(self, n_rows=self.n_rows[which], n_slots=self.n_slots[which])


@dataclass(frozen=True)
class Work:
    """Chunks of a level that one solver takes.

    Attributes:
        problem: the level.
        chunks: the units of each chunk.
        penalty, settings: as in `solve_level`.
        target: the device that the programs are made for.
        start: makes weights near the optimum, or None; a solver that does not begin there does not call it.
    """

    problem: LevelProblem
    chunks: list[Units]
    penalty: Penalty
    settings: SolveSettings
    target: Target
    start: Callable[[], LevelWeights | None] | None = None

    @property
    def n_columns(self) -> int:
        """K, the number of children of the widest unit."""
        return max(int(units.n_children.max()) for units in self.chunks)

    @property
    def n_rows(self) -> list[np.ndarray]:
        """Numbers of rows of each chunk's units [U]."""
        return [count_rows(self.problem, units) for units in self.chunks]

    @property
    def costs(self) -> tuple[np.float32, np.float32]:
        """Costs of positives and of negatives."""
        return np.float32(self.penalty.cost_positive), np.float32(self.penalty.cost_negative)


class Call(NamedTuple):
    """A chunk laid out for its program.

    Attributes:
        function: the jitted program.
        arguments: its arguments.
        read: turns its result into the chunk's weights.
    """

    function: Callable[..., Any]
    arguments: tuple
    read: Callable[[Any], Part]


def _keep_whole(units: Units, target: Target) -> Units:
    return units


def _keep_together(n_children: np.ndarray, sizes: Sizes, target: Target) -> np.ndarray:
    return np.zeros(len(n_children), np.int64)


@dataclass(frozen=True)
class Solver:
    """A way to solve the units of a level; `xmc_jax.config.SOLVERS` lists all.

    Attributes:
        name: name in settings and logs.
        losses: the losses that it minimises.
        seconds: returns the estimated seconds for each unit [U] of some sizes on a target, inf if it cannot solve a
            unit. They rank solvers and are not forecasts.
        compile_seconds: time to compile a level's programs.
        launches: number of operations that a call of the program starts one after the other, its cost beside the work.
        bytes: returns the bytes of units [U] while their chunk is solved, given rows, slots and features of each [U], K
            and H.
        split: returns runs of units, each a chunk, given the bytes and rows of each unit [U], H, the smallest number of
            chunks that fits into memory, the bytes that a chunk may take, and the target.
        prepare: returns a function that lays out one of the chunks, called once per chunk in any thread.
        tier: returns a number for each unit [U], given their numbers of children [U]; units with different numbers are
            solved separately.
        cut: cuts units so that several workers can share them.
        platforms: platforms on which it is chosen even if another solver could be.
    """

    name: str
    losses: frozenset[Loss]
    seconds: Callable[[Sizes, Target], np.ndarray]
    compile_seconds: float
    launches: int
    bytes: Callable[[np.ndarray, np.ndarray, np.ndarray, int, int], np.ndarray]
    split: Callable[[np.ndarray, np.ndarray, int, int, float, Target], list[np.ndarray]]
    prepare: Callable[[Work], Callable[[int], Call]]
    tier: Callable[[np.ndarray, Sizes, Target], np.ndarray] = _keep_together
    cut: Callable[[Units, Target], Units] = _keep_whole
    platforms: frozenset[str] = frozenset({"cpu", "gpu", "tpu"})


def share_launches(
    launches: int,
    n_rows: np.ndarray,
    weights: np.ndarray,
    most: float,
    n_tiers: int,
    target: Target,
) -> np.ndarray:
    """Returns each unit's share [U] of the seconds to start the operations of its call.

    Args:
        launches: number of operations per call.
        n_rows, weights: rows and bytes of each unit [U].
        most: largest number of bytes of the units in a call.
        n_tiers: number of tiers of sizes, each of which takes at least one call.
        target: the device that starts them.
    """
    tiers = min(n_tiers, len(np.unique(n_rows)))
    share = np.maximum(weights / most, tiers / max(len(weights), 1))
    return launches * target.launch * np.minimum(share, 1.0)


def without_dense(problem: LevelProblem) -> LevelProblem:
    """Returns the level with only its sparse columns."""
    empty = np.zeros((problem.features.n_rows, 0), np.float32)
    return replace(problem, features=Features(problem.features.sparse, empty))
