"""One level of search: candidates, beams, and the instances that train a level."""

from xmc_jax.matcher.beam import Beam as Beam
from xmc_jax.matcher.beam import find_nodes as find_nodes
from xmc_jax.matcher.beam import find_positions as find_positions
from xmc_jax.matcher.beam import score_beam as score_beam
from xmc_jax.matcher.beam import select_beam as select_beam
from xmc_jax.matcher.beam import select_nodes as select_nodes
from xmc_jax.matcher.beam import sort_beam as sort_beam
from xmc_jax.matcher.beam import start_beam as start_beam
from xmc_jax.matcher.candidates import count_candidates as count_candidates
from xmc_jax.matcher.candidates import list_candidates as list_candidates
from xmc_jax.matcher.level import SearchLevel as SearchLevel
from xmc_jax.matcher.level import build_level as build_level
from xmc_jax.matcher.level import choose_layout as choose_layout
from xmc_jax.matcher.level import lay_out_level as lay_out_level
from xmc_jax.matcher.level import pad_bias as pad_bias
from xmc_jax.matcher.negatives import choose_pairs as choose_pairs
from xmc_jax.matcher.negatives import propagate_pairs as propagate_pairs
from xmc_jax.matcher.score import score_children as score_children
from xmc_jax.matcher.shards import keep_own as keep_own
from xmc_jax.matcher.shards import shard_level as shard_level
from xmc_jax.matcher.shards import spread_level as spread_level
