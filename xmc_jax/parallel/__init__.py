"""Devices: the mesh, which axis of an array lies on which axis of it, the wrapper of a step, and shares of work."""

from xmc_jax.parallel.exchange import agree_first as agree_first
from xmc_jax.parallel.exchange import agree_least as agree_least
from xmc_jax.parallel.exchange import gather_shares as gather_shares
from xmc_jax.parallel.exchange import is_first as is_first
from xmc_jax.parallel.exchange import list_share as list_share
from xmc_jax.parallel.exchange import run_first as run_first
from xmc_jax.parallel.exchange import run_together as run_together
from xmc_jax.parallel.exchange import wait as wait
from xmc_jax.parallel.mesh import DATA as DATA
from xmc_jax.parallel.mesh import LABEL as LABEL
from xmc_jax.parallel.mesh import join_processes as join_processes
from xmc_jax.parallel.mesh import list_devices as list_devices
from xmc_jax.parallel.mesh import make_mesh as make_mesh
from xmc_jax.parallel.placement import WHOLE as WHOLE
from xmc_jax.parallel.placement import choose_spec as choose_spec
from xmc_jax.parallel.placement import fetch as fetch
from xmc_jax.parallel.placement import local_rows as local_rows
from xmc_jax.parallel.placement import place as place
from xmc_jax.parallel.shares import run_shares as run_shares
from xmc_jax.parallel.step import gather_columns as gather_columns
from xmc_jax.parallel.step import gather_rows as gather_rows
from xmc_jax.parallel.step import shard_step as shard_step
from xmc_jax.parallel.step import take_largest as take_largest
from xmc_jax.parallel.target import TARGETS as TARGETS
from xmc_jax.parallel.target import Target as Target
