"""What a run keeps on disk: arrays with orbax, one checkpoint manager for each resolution level, the rest as JSON."""

from xmc_jax.run.arrays import is_committed as is_committed
from xmc_jax.run.arrays import load_arrays as load_arrays
from xmc_jax.run.arrays import name_write_errors as name_write_errors
from xmc_jax.run.arrays import read_json as read_json
from xmc_jax.run.arrays import save_arrays as save_arrays
from xmc_jax.run.arrays import write_json as write_json
from xmc_jax.run.calibration import load_calibration as load_calibration
from xmc_jax.run.calibration import save_calibration as save_calibration
from xmc_jax.run.members import list_member_folders as list_member_folders
from xmc_jax.run.members import member_folder as member_folder
from xmc_jax.run.parts import level_folder as level_folder
from xmc_jax.run.parts import load_encoder as load_encoder
from xmc_jax.run.parts import load_level as load_level
from xmc_jax.run.parts import load_tree as load_tree
from xmc_jax.run.parts import save_encoder as save_encoder
from xmc_jax.run.parts import save_level as save_level
from xmc_jax.run.parts import save_tree as save_tree
from xmc_jax.run.rounds import find_parts as find_parts
from xmc_jax.run.rounds import list_rounds as list_rounds
from xmc_jax.run.rounds import round_folder as round_folder
from xmc_jax.run.tuning_store import TuningStore as TuningStore
