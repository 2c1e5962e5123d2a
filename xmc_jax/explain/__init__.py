"""Reasons for labels: paths down the trees, the contribution of each feature, and what a beam dropped."""

from xmc_jax.explain.explanation import Explanation as Explanation
from xmc_jax.explain.explanation import Neighbour as Neighbour
from xmc_jax.explain.explanation import Path as Path
from xmc_jax.explain.explanation import Reason as Reason
from xmc_jax.explain.explanation import Step as Step
from xmc_jax.explain.explanation import Term as Term
from xmc_jax.explain.explanation import merge_paths as merge_paths
from xmc_jax.explain.explanation import say_verdict as say_verdict
from xmc_jax.explain.explanation import sum_terms as sum_terms
from xmc_jax.explain.explanation import trace as trace
from xmc_jax.explain.walk import read_row as read_row
from xmc_jax.explain.walk import walk as walk
