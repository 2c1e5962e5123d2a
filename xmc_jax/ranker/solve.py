"""Solves a level: cuts it into chunks of fixed shape, solves them side by side and keeps the weights that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from xmc_jax.memory import release_memory
from xmc_jax.model import LevelWeights
from xmc_jax.parallel import agree_least, run_shares
from xmc_jax.ranker.chunks import split_units
from xmc_jax.ranker.cost_model import (
    CPU,
    FORMULATIONS,
    GPU,
    Device,
    choose_formulation,
    choose_tiers,
)
from xmc_jax.ranker.formulations import Work, prepare
from xmc_jax.ranker.parts import Part, join_parts
from xmc_jax.ranker.problem import (
    LevelProblem,
    Penalty,
    Units,
    count_nonzeros,
    count_rows,
    list_units,
    split_columns,
)
from xmc_jax.ranker.settings import SolveSettings
from xmc_jax.threads import count_cores


def solve_level(
    problem: LevelProblem,
    penalty: Penalty,
    settings: SolveSettings,
    *,
    start: LevelWeights | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> LevelWeights:
    """Solves the problems of all clusters and labels of a level.

    Args:
        problem: of `pose_level`.
        penalty: loss and costs.
        settings: exactness and sparsity.
        start: weights near the optimum, over the same nodes; None: nothing is known. The primal begins there. The dual
            does not: what margins say of its variables is so much blurred by the weights that were dropped that it
            takes as many epochs.
        advance: called with the number of nodes that are done.

    Returns:
        The level's sparse weights; the same for every number of threads, devices and processes (which share the chunks
        and have all weights in the end), if they have as much memory.
    """
    units, device = list_units(problem), find_device()
    n_slots = count_nonzeros(problem)[units.cluster]
    choice = choose_formulation(
        count_rows(problem, units),
        n_slots,
        problem.max_columns,
        problem.features.n_dense,
        penalty.loss,
        device,
        settings.formulation,
        cost=max(penalty.cost_positive, penalty.cost_negative),
        tolerance=settings.tolerance,
    )
    parts: list[Part] = []
    for index, name in enumerate(FORMULATIONS):
        which = np.flatnonzero(choice == index)
        tiers = np.zeros(len(which), np.int64)
        if name == "dual":  # lanes are as wide as the widest unit beside them
            tiers = choose_tiers(units[which].n_children, n_slots[which], device)
        for tier in np.unique(tiers):
            chosen = units[which[tiers == tier]]
            parts += _solve_units(problem, chosen, name, penalty, settings, start, advance)
    weights = join_parts(problem.child_offsets, problem.features.n_dense, parts)
    if settings.threshold > 0:
        weights.dense[np.abs(weights.dense) < settings.threshold] = 0.0
    return weights


def find_device() -> Device:
    """Returns the cost model's picture of the default backend."""
    return CPU if jax.default_backend() == "cpu" else GPU


def count_workers(n_devices: int = 1) -> int:
    """Returns how many chunks this process solves side by side at most.

    XLA runs a chunk's many small operations on one thread: chunks are what keeps the cores busy on a CPU, however many
    devices it plays.
    """
    return count_cores() if jax.default_backend() == "cpu" else max(1, n_devices)


def _solve_units(
    problem: LevelProblem,
    units: Units,
    formulation: str,
    penalty: Penalty,
    settings: SolveSettings,
    start: LevelWeights | None,
    advance: Callable[[int], None],
) -> list[Part]:
    """Solves some units by one formulation, chunk by chunk."""
    if formulation == "dual" and len(units) == 1 and jax.default_backend() == "cpu":
        units = split_columns(units, agree_least(count_cores()))
    n_workers = agree_least(count_workers(len(settings.devices)))
    memory = None if settings.memory is None else agree_least(settings.memory)
    chunks, n_workers = split_units(problem, units, formulation, memory, n_workers)
    solve = prepare(formulation, Work(problem, chunks, penalty, settings, start))
    n_children = [int(some.n_children.sum()) for some in chunks]

    def listen(solved: Sequence[int]) -> None:
        release_memory()
        advance(sum(n_children[k] for k in solved))

    parts = run_shares(
        lambda k: solve(k)._asdict(),
        len(chunks),
        devices=settings.devices,
        n_workers=n_workers,
        done=listen,
    )
    return [Part(**arrays) for arrays in parts]
