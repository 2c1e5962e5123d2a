"""One level's weights: posed as one-vs-rest problems, solved in three formulations, stored sparse."""

from xmc_jax.ranker.problem import LevelProblem, Penalty, pose_level
from xmc_jax.ranker.settings import SolveSettings
from xmc_jax.ranker.solve import solve_level
from xmc_jax.ranker.weights import (
    LevelWeights,
    build_weights,
    keep_largest,
    select_nodes,
    to_matrix,
)

__all__ = [
    "LevelProblem",
    "LevelWeights",
    "Penalty",
    "SolveSettings",
    "build_weights",
    "keep_largest",
    "pose_level",
    "select_nodes",
    "solve_level",
    "to_matrix",
]
