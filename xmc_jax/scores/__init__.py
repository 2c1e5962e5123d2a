"""How scores come about, as values in tables: of a margin, of a label's copies, of several models.

Settings name them, so the tables stand below the settings, and what a formula needs is imported when it is used:
`xmc --help` lists the names without waiting for JAX.
"""

from xmc_jax.scores.combination import COMBINATIONS as COMBINATIONS
from xmc_jax.scores.combination import Combination as Combination
from xmc_jax.scores.combination import Ranking as Ranking
from xmc_jax.scores.merge import MERGES as MERGES
from xmc_jax.scores.merge import Merge as Merge
from xmc_jax.scores.post_processor import POST_PROCESSORS as POST_PROCESSORS
from xmc_jax.scores.post_processor import PostProcessor as PostProcessor
