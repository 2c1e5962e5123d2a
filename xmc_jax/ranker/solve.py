"""Solves a level: cuts it into chunks of fixed shapes, solves them side by side, and keeps the large weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from xmc_jax.memory import release_memory
from xmc_jax.model import LevelShare, LevelWeights
from xmc_jax.parallel import Target, agree_least, run_shares
from xmc_jax.ranker.chunks import split_units
from xmc_jax.ranker.cost_model import NOBODY, Choice, choose_solvers
from xmc_jax.ranker.parts import Part, join_parts
from xmc_jax.ranker.problem import (
    LevelProblem,
    Penalty,
    Units,
    count_nonzeros,
    count_rows,
    list_units,
)
from xmc_jax.ranker.settings import SolveSettings
from xmc_jax.ranker.solvers import Sizes, Solver, Work, list_solvers
from xmc_jax.ranker.spread import fetch_chunks, share_parts


def solve_level(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    *,
    start: Callable[[], LevelWeights | None] | None = None,
    advance: Callable[[int], None] = lambda n: None,
    tell: Callable[[Choice], None] = lambda choice: None,
) -> LevelWeights:
    """Solves the problems of all clusters and labels of a level.

    Args:
        problem: from `pose_level` or `take_census`.
        penalty: loss and costs.
        settings: exactness and sparsity.
        start: makes weights near the optimum, over the same nodes, or None. The primal begins there. The dual does not,
            because the dropped weights blur its variables so much that it would take as many epochs; it does not call
            it.
        advance: called with the number of nodes that were just solved.
        tell: called once with the solvers that were chosen, before they begin.

    Returns:
        The level's sparse weights; they are the same for every number of threads, devices and processes (which share
        the chunks and all end with all weights) that have the same memory.

    Raises:
        RunError: the largest unit of the level does not fit into the memory.
    """
    parts = _solve_chunks(problem, penalty, settings, start, advance, tell, gathers=True)
    weights = join_parts(problem.child_offsets, problem.features.n_dense, parts)
    _drop_small(weights.dense, settings.threshold)
    return weights


def solve_share(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    *,
    advance: Callable[[int], None] = lambda n: None,
    tell: Callable[[Choice], None] = lambda choice: None,
) -> LevelShare:
    """Solves a level from `take_census` as `solve_level` does; each process ends with the weights of a range of
    clusters.

    Args:
        problem, penalty, settings, advance, tell: as in `solve_level`.

    Raises:
        RunError: as `solve_level`.
    """
    parts = _solve_chunks(problem, penalty, settings, None, advance, tell, gathers=False)
    share = share_parts(problem.child_offsets, problem.features.n_dense, parts)
    _drop_small(share.weights.dense, settings.threshold)
    return share


def _drop_small(dense: np.ndarray, threshold: float) -> None:
    if threshold > 0:
        dense[np.abs(dense) < threshold] = 0.0


def _solve_chunks(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    start: Callable[[], LevelWeights | None] | None,
    advance: Callable[[int], None],
    tell: Callable[[Choice], None],
    gathers: bool,
) -> list[Part]:
    """Returns the parts of all chunks, or only of those that this process solves."""
    units, target = list_units(problem), Target.of(settings.mesh)
    sizes = Sizes(
        count_rows(problem, units),
        count_nonzeros(problem)[units.cluster],
        problem.max_columns,
        problem.features.n_dense,
        max(penalty.cost_positive, penalty.cost_negative),
        settings.tolerance,
        is_started=start is not None and settings.together,
    )
    choice = choose_solvers(list_solvers(), sizes, penalty.loss, target, settings.formulation)
    tell(choice)
    parts: list[Part] = []
    for index, solver in enumerate(choice.solvers):
        which = np.flatnonzero(choice.solver == index)
        tiers = solver.tier(units[which].n_children, sizes[which], target)
        for tier in np.unique(tiers):
            chosen = units[which[tiers == tier]]
            solve = partial(_solve_units, problem, chosen, solver, penalty, settings, target)
            parts += solve(start, advance, gathers)
    advance(int(units.n_children[choice.solver == NOBODY].sum()))
    return parts


def _solve_units(
    problem: LevelProblem,
    units: Units,
    solver: Solver,
    penalty: Penalty,
    settings: SolveSettings,
    target: Target,
    start: Callable[[], LevelWeights | None] | None,
    advance: Callable[[int], None],
    gathers: bool,
) -> list[Part]:
    """Solves some units with one solver, chunk by chunk; returns the parts of all processes, or only of this one."""
    units = solver.cut(units, target)
    devices = settings.devices
    n_workers = agree_least(target.count_workers(len(devices)))
    memory = None if settings.memory is None else agree_least(settings.memory)
    chunks, n_workers = split_units(problem, units, solver, memory, n_workers, target)
    if problem.census is not None:
        problem = fetch_chunks(problem, chunks)
    lay_out = solver.prepare(Work(problem, chunks, penalty, settings, target, start))
    n_children = [int(some.n_children.sum()) for some in chunks]

    def solve(k: int) -> dict[str, np.ndarray]:
        call = lay_out(k)
        return call.read(call.function(*call.arguments))._asdict()

    def listen(solved: Sequence[int]) -> None:
        release_memory()
        advance(sum(n_children[k] for k in solved))

    parts = run_shares(
        solve,
        len(chunks),
        devices=devices,
        n_workers=n_workers,
        done=listen,
        gathers=gathers,
    )
    return [Part(**arrays) for arrays in parts]
