"""JAX as the tests want it: strict, on the CPU, with a compilation cache that outlives the run.

Set through the environment, before jax is imported, so that processes that tests start have it too.
"""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmc_jax" / "tests"

os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
if not os.environ.get("XMC_TEST_GPU"):
    os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests read no hub; a test of the hub's loader says otherwise itself.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_configure() -> None:
    """A plugin may have imported jax before this file: then the environment came too late."""
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if "JAX_PLATFORMS" in os.environ:
        jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
