"""Weights of one level: posed as one-vs-rest problems, and solved by the solvers in a table."""

from xmc_jax.ranker.cost_model import Choice as Choice
from xmc_jax.ranker.problem import LevelProblem as LevelProblem
from xmc_jax.ranker.problem import Penalty as Penalty
from xmc_jax.ranker.problem import pose_level as pose_level
from xmc_jax.ranker.settings import SolveSettings as SolveSettings
from xmc_jax.ranker.solve import solve_level as solve_level
from xmc_jax.ranker.solve import solve_share as solve_share
from xmc_jax.ranker.spread import take_census as take_census
