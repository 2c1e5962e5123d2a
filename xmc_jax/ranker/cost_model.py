"""Chooses the fastest solver for each unit of a level, by the estimates of the solvers in the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmc_jax.config import Formulation, Loss
from xmc_jax.parallel import Target
from xmc_jax.ranker.solvers import Sizes, Solver

NOBODY = -1
"""Stands for the solver of a unit without rows, whose weights are 0."""


@dataclass(frozen=True)
class Choice:
    """The solver chosen for each unit, and why.

    Attributes:
        solvers: the solvers that could have been chosen.
        solver: number of the solver of each unit [U], or `NOBODY`.
        seconds: estimated seconds for the whole level by each solver alone, with compilation; inf if it cannot solve
            it.
        chosen_seconds: estimated seconds of the choice.
        wanted: the setting, "auto" or a solver's name.
    """

    solvers: tuple[Solver, ...]
    solver: np.ndarray
    seconds: tuple[float, ...]
    chosen_seconds: float
    wanted: Formulation = "auto"

    @property
    def counts(self) -> dict[str, int]:
        """Number of units of each solver that has any."""
        counts = {s.name: int((self.solver == i).sum()) for i, s in enumerate(self.solvers)}
        return {name: n for name, n in counts.items() if n}

    def describe(self) -> str:
        """Returns the choice in a phrase, for a log."""
        counts = self.counts
        chosen = " + ".join(f"{name} {n:,}" for name, n in counts.items())
        if len(counts) == 1:
            chosen = next(iter(counts))
        if self.wanted != "auto" or len(self.solvers) == 1:
            return chosen
        told = zip(self.solvers, self.seconds, strict=True)
        each = ", ".join(f"{s.name} {x:.2g} s" for s, x in told if np.isfinite(x))
        return f"{chosen} (estimated: {each})"

    def note(self) -> dict[str, Any]:
        """Returns the choice as JSON-ready values, for `metrics.jsonl`."""
        told = zip(self.solvers, self.seconds, strict=True)
        return {
            "units": self.counts,
            "wanted": self.wanted,
            "estimated_seconds": {s.name: round(x, 3) for s, x in told if np.isfinite(x)},
            "estimated_seconds_chosen": round(self.chosen_seconds, 3),
        }


def choose_solvers(
    solvers: Sequence[Solver],
    sizes: Sizes,
    loss: Loss,
    target: Target,
    wanted: Formulation = "auto",
) -> Choice:
    """Returns the solver of each unit.

    Args:
        solvers: all known solvers.
        sizes: sizes of the units [U].
        loss: solvers that do not minimise it are left out, even the wanted one.
        target: the device that solves the level.
        wanted: "auto", or the name of a solver for all units.
    """
    able = tuple(s for s in solvers if loss in s.losses)
    fit = tuple(s for s in able if target.platform in s.platforms) or able
    able = tuple(s for s in able if s.name == wanted) or fit
    busy = np.flatnonzero(sizes.n_rows > 0)
    costs = np.stack([s.seconds(sizes[busy], target) for s in able])
    # Each solver used is compiled, the Newton ones for several sizes, so a mixture must be worth that.
    alone = [np.full(len(busy), i) for i in range(len(able))]
    options = [np.argmin(costs, axis=0), *alone]
    totals = [
        float(costs[option, np.arange(len(busy))].sum())
        + sum(able[i].compile_seconds for i in set(option.tolist()))
        for option in options
    ]
    best = int(np.argmin(totals))
    chosen = np.full(len(sizes.n_rows), NOBODY)
    chosen[busy] = options[best]
    return Choice(able, chosen, tuple(totals[1:]), totals[best], wanted)
