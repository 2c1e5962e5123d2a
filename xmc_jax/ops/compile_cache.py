"""Keeps compiled programs on disk, so that a second run starts at once."""

from __future__ import annotations

import os
from pathlib import Path

import jax

SWITCH = "XMC_JAX_CACHE"
"""Environment variable with a folder for compiled programs, or `off`."""


def keep_compiled() -> None:
    """Turns on JAX's compilation cache in the user's cache folder, unless the user has set another or turned it off.

    The folder is trusted like code, so it should not be writable by others.
    """
    wanted = os.environ.get(SWITCH, "")
    if wanted == "off" or getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(wanted or os.path.join(home, "xmc_jax", "compiled"))
    if not (wanted or folder.is_absolute()):
        return  # there is no home folder: containers may run as a user whom the machine does not know
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return  # the home folder is read-only, so programs are compiled every time
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


ONE_THREAD = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
"""Compiler options of programs that a CPU runs side by side, one per thread.

XLA:CPU counts a gather or scatter as a read of the whole table and splits it over threads, however little it reads: a
step of a few microseconds then waits for another thread (26 instead of 12 microseconds were measured). On other targets
the options have no effect.
"""
