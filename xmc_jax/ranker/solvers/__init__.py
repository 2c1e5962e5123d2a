"""Solvers of a level's one-vs-rest problems, one folder each, which defines the value `SOLVER`.

A new solver is a folder and a line in `xmc_jax.config.SOLVERS`.
"""

from __future__ import annotations

from importlib import import_module

from xmc_jax.config import SOLVERS
from xmc_jax.ranker.solvers.solver import Call as Call
from xmc_jax.ranker.solvers.solver import Sizes as Sizes
from xmc_jax.ranker.solvers.solver import Solver as Solver
from xmc_jax.ranker.solvers.solver import Work as Work


def list_solvers() -> list[Solver]:
    """Returns every solver, in the order of the table; among equal estimates the earlier one is chosen."""
    return [import_module(module).SOLVER for module in SOLVERS.values()]
