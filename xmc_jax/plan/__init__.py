"""The memory and work that a training takes, before it runs.

Estimators import this room for the list of stages. Plans for other devices, `xmc_jax.plan.target` and
`xmc_jax.plan.verify`, import encoders and their tuning, so they are imported separately.
"""

from xmc_jax.plan.counts import Counts as Counts
from xmc_jax.plan.counts import count_data as count_data
from xmc_jax.plan.course import list_linear as list_linear
from xmc_jax.plan.course import list_prototypes as list_prototypes
from xmc_jax.plan.course import list_transformer as list_transformer
from xmc_jax.plan.course import list_update as list_update
from xmc_jax.plan.encoder import EncoderCost as EncoderCost
from xmc_jax.plan.encoder import plan_transformer as plan_transformer
from xmc_jax.plan.encoder import read_cost as read_cost
from xmc_jax.plan.linear import Plan as Plan
from xmc_jax.plan.linear import Stage as Stage
from xmc_jax.plan.linear import make_plan as make_plan
from xmc_jax.plan.linear import shape_tree as shape_tree
from xmc_jax.plan.prototype import plan_prototypes as plan_prototypes
