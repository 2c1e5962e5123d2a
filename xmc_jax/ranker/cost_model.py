"""Which solver takes each unit of a level in the least time, by what every solver of the table says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmc_jax.config import Formulation, Loss
from xmc_jax.parallel import Target
from xmc_jax.ranker.solvers import Sizes, Solver

NOBODY = -1
"""In the place of a solver for a unit without rows, whose weights are 0."""


@dataclass(frozen=True)
class Choice:
    """Which solver takes which unit, and why.

    Attributes:
        solvers: that could have been chosen.
        solver: number of the solver for each unit [U], or `NOBODY`.
        seconds: estimated for the whole level by each solver alone, compilation included; inf where it cannot.
        chosen_seconds: estimated for the choice.
        wanted: as the settings say, "auto" or a solver's name.
    """

    solvers: tuple[Solver, ...]
    solver: np.ndarray
    seconds: tuple[float, ...]
    chosen_seconds: float
    wanted: Formulation = "auto"

    @property
    def counts(self) -> dict[str, int]:
        """Units of each solver that has some."""
        counts = {s.name: int((self.solver == i).sum()) for i, s in enumerate(self.solvers)}
        return {name: n for name, n in counts.items() if n}

    def describe(self) -> str:
        """Returns the choice in a few words, for a log."""
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
        solvers: all that there are.
        sizes: of the units [U].
        loss: solvers that do not minimise it are left out, even one that is wanted.
        target: where it will run.
        wanted: "auto" or the name of a solver for all.
    """
    able = tuple(s for s in solvers if loss in s.losses)
    fit = tuple(s for s in able if target.platform in s.platforms) or able
    able = tuple(s for s in able if s.name == wanted) or fit
    busy = np.flatnonzero(sizes.n_rows > 0)
    costs = np.stack([s.seconds(sizes[busy], target) for s in able])
    # Each solver used is compiled, the Newton ones for several sizes: a mixture has to earn that.
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
