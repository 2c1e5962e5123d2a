"""The solvers of one-vs-rest problems, by the name that `ranker.formulation` gives."""

from __future__ import annotations

SOLVERS = {
    "dual": "xmc_jax.ranker.solvers.dual",
    "primal": "xmc_jax.ranker.solvers.primal",
    "gram": "xmc_jax.ranker.solvers.gram",
}
"""Module of each solver, which holds it as `SOLVER`; imported where it is used. Of equal estimates the first is taken.
"""
