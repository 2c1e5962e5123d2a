"""From scores to answers: probabilities of ranked labels, and rules that choose which of them to return."""

from xmc_jax.calibrate.calibration import Calibration as Calibration
from xmc_jax.calibrate.calibration import fit_calibration as fit_calibration
from xmc_jax.calibrate.decisions import RULES as RULES
from xmc_jax.calibrate.decisions import Ranked as Ranked
from xmc_jax.calibrate.decisions import expected_f1_size as expected_f1_size
from xmc_jax.calibrate.decisions import parse_rule as parse_rule
from xmc_jax.calibrate.decisions import select as select
from xmc_jax.calibrate.isotonic import fit_increasing as fit_increasing
from xmc_jax.calibrate.isotonic import fit_ordered as fit_ordered
from xmc_jax.calibrate.methods import METHODS as METHODS
from xmc_jax.calibrate.methods import RANK_GROUPS as RANK_GROUPS
from xmc_jax.calibrate.operating import OperatingCurve as OperatingCurve
from xmc_jax.calibrate.operating import count_operating as count_operating
