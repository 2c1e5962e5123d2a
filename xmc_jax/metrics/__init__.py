"""Scores of rankings and of decisions, for arrays or for whole sets in batches.

A new metric is a value in `METRICS`.
"""

from xmc_jax.metrics.accumulator import Accumulator as Accumulator
from xmc_jax.metrics.accumulator import evaluate as evaluate
from xmc_jax.metrics.counts import Tally as Tally
from xmc_jax.metrics.formulas import METRICS as METRICS
from xmc_jax.metrics.formulas import Metric as Metric
from xmc_jax.metrics.propensity import PROPENSITY as PROPENSITY
from xmc_jax.metrics.propensity import inverse_propensities as inverse_propensities
from xmc_jax.metrics.propensity import propensity_constants as propensity_constants
from xmc_jax.metrics.report import Report as Report
from xmc_jax.metrics.report import format_table as format_table
from xmc_jax.metrics.report import to_json as to_json
from xmc_jax.metrics.truth import find_hits as find_hits
from xmc_jax.metrics.truth import top_entries as top_entries
