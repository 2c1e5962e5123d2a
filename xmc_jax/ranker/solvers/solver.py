"""A solver as a value: what it can solve, what that costs, how units become chunks and chunks weights."""

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
    """What the cost of some units depends on.

    Attributes:
        n_rows: rows of each unit [U].
        n_slots: sparse slots of all its rows [U].
        n_columns: K.
        n_dense: dense columns H.
        cost: of a row, the larger of those of positives and negatives.
        tolerance: of the solver.
    """

    n_rows: np.ndarray
    n_slots: np.ndarray
    n_columns: int
    n_dense: int = 0
    cost: float = 1.0
    tolerance: float = 1e-4

    def __getitem__(self, which: np.ndarray) -> Sizes:
        return replace(self, n_rows=self.n_rows[which], n_slots=self.n_slots[which])


@dataclass(frozen=True)
class Work:
    """Chunks of a level that one solver takes.

    Attributes:
        problem: the level.
        chunks: units that are solved together.
        penalty, settings: as in `solve_level`.
        target: what the programs are made for.
        start: weights near the optimum, or None; a solver need not begin there.
    """

    problem: LevelProblem
    chunks: list[Units]
    penalty: Penalty
    settings: SolveSettings
    target: Target
    start: LevelWeights | None = None

    @property
    def n_columns(self) -> int:
        """K, children of the widest unit."""
        return max(int(units.n_children.max()) for units in self.chunks)

    @property
    def n_rows(self) -> list[np.ndarray]:
        """Rows of each chunk's units [U]."""
        return [count_rows(self.problem, units) for units in self.chunks]

    @property
    def costs(self) -> tuple[np.float32, np.float32]:
        """Of positives and negatives."""
        return np.float32(self.penalty.cost_positive), np.float32(self.penalty.cost_negative)


class Call(NamedTuple):
    """A chunk laid out for its program.

    Attributes:
        function: jitted.
        arguments: of it.
        read: makes the chunk's weights of what it returns.
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
    """One way to solve the units of a level; `xmc_jax.config.SOLVERS` lists all.

    Attributes:
        name: as settings and logs say it.
        losses: that it minimises.
        seconds: estimated for each unit [U] of these sizes on a target; inf where it cannot solve a unit. They rank
            solvers and are no forecast.
        compile_seconds: to compile a level's programs.
        launches: operations that a call of the program starts, one after the other; what a call costs beside its work.
        bytes: of units [U] while their chunk is solved, from rows, slots and features of each [U], K and H.
        split: makes runs of units, each a chunk: from the bytes and rows of each unit [U], the number of chunks that
            memory asks for at least, the bytes that one may take, and the target.
        prepare: returns what lays one of the chunks out, in any thread, each once.
        tier: which units are solved apart from each other, [U]; from their children [U].
        cut: cuts units so that several workers share them.
        platforms: of targets on which it is taken where another solver could do the same.
    """

    name: str
    losses: frozenset[Loss]
    seconds: Callable[[Sizes, Target], np.ndarray]
    compile_seconds: float
    launches: int
    bytes: Callable[[np.ndarray, np.ndarray, np.ndarray, int, int], np.ndarray]
    split: Callable[[np.ndarray, np.ndarray, int, float, Target], list[np.ndarray]]
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
    """Returns the seconds [U] that units take of starting the operations of their calls.

    Args:
        launches: of a call.
        n_rows, weights: rows and bytes of each unit [U].
        most: bytes of a call's units.
        n_tiers: of sizes that are solved apart from each other, each in a call at least.
        target: what starts them.
    """
    tiers = min(n_tiers, len(np.unique(n_rows)))
    share = np.maximum(weights / most, tiers / max(len(weights), 1))
    return launches * target.launch * np.minimum(share, 1.0)


def without_dense(problem: LevelProblem) -> LevelProblem:
    """Returns the level with its sparse columns only."""
    empty = np.zeros((problem.features.n_rows, 0), np.float32)
    return replace(problem, features=Features(problem.features.sparse, empty))
