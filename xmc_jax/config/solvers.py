"""The solvers of one-vs-rest problems, by their names in `ranker.formulation`."""

from __future__ import annotations

SOLVERS = {
    "dual": "xmc_jax.ranker.solvers.dual",
    "primal": "xmc_jax.ranker.solvers.primal",
    "gram": "xmc_jax.ranker.solvers.gram",
}
"""Name → module that holds the solver as `SOLVER`; imported where it is used. Of equal estimates the first wins."""
