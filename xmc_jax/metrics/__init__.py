"""Scores of rankings: precision, nDCG, recall, propensity-scored and per-label ones, of arrays or of whole sets."""

from xmc_jax.metrics.ranking import PROPENSITY as PROPENSITY
from xmc_jax.metrics.ranking import Average as Average
from xmc_jax.metrics.ranking import LabelScores as LabelScores
from xmc_jax.metrics.ranking import align as align
from xmc_jax.metrics.ranking import average_labels as average_labels
from xmc_jax.metrics.ranking import count_true as count_true
from xmc_jax.metrics.ranking import coverage as coverage
from xmc_jax.metrics.ranking import discounts as discounts
from xmc_jax.metrics.ranking import evaluate as evaluate
from xmc_jax.metrics.ranking import find_hits as find_hits
from xmc_jax.metrics.ranking import ideal_gains as ideal_gains
from xmc_jax.metrics.ranking import inverse_propensities as inverse_propensities
from xmc_jax.metrics.ranking import label_scores as label_scores
from xmc_jax.metrics.ranking import ndcg as ndcg
from xmc_jax.metrics.ranking import precision as precision
from xmc_jax.metrics.ranking import propensity_constants as propensity_constants
from xmc_jax.metrics.ranking import psndcg as psndcg
from xmc_jax.metrics.ranking import psprecision as psprecision
from xmc_jax.metrics.ranking import rank_rows as rank_rows
from xmc_jax.metrics.ranking import recall as recall
from xmc_jax.metrics.ranking import top_ids as top_ids
