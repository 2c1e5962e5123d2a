"""A memory of the training set, and a re-ranking of the model's and the memory's labels."""

from xmc_jax.rerank.fit import HeldOut as HeldOut
from xmc_jax.rerank.fit import fit_reranker as fit_reranker
from xmc_jax.rerank.learners import LEARNERS as LEARNERS
from xmc_jax.rerank.memory import Memory as Memory
from xmc_jax.rerank.memory import make_memory as make_memory
from xmc_jax.rerank.neighbours import Keys as Keys
from xmc_jax.rerank.neighbours import find_neighbours as find_neighbours
from xmc_jax.rerank.neighbours import make_keys as make_keys
from xmc_jax.rerank.neighbours import measure_recall as measure_recall
from xmc_jax.rerank.pool import FEATURES as FEATURES
from xmc_jax.rerank.pool import Known as Known
from xmc_jax.rerank.reranker import Reranker as Reranker
from xmc_jax.rerank.trees import evaluate_trees as evaluate_trees
from xmc_jax.rerank.trees import grow_trees as grow_trees
from xmc_jax.rerank.ways import WAYS as WAYS
