"""Compiled programs are kept on disk, so that the second run of anything starts at once."""

from __future__ import annotations

import os
from pathlib import Path

import jax

SWITCH = "XMC_JAX_CACHE"
"""Environment variable: a folder for compiled programs, or `off`."""


def keep_compiled() -> None:
    """Turns JAX's compilation cache on, in the user's cache folder, unless the user has set one or said off.

    The folder is trusted as code is: it should not be writable by others.
    """
    wanted = os.environ.get(SWITCH, "")
    if wanted == "off" or getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(wanted or os.path.join(home, "xmc_jax", "compiled"))
    if not (wanted or folder.is_absolute()):
        return  # no home: a user whom the machine does not know, as containers have them
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return  # a read-only home: compile every time
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


ONE_THREAD = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
"""Compiler options of programs that a CPU runs side by side, one a thread.

XLA:CPU counts a gather or scatter as a read of the whole table and splits it over threads, however little it touches:
a step of a few microseconds then waits for another thread (measured: 26 against 12 microseconds). Elsewhere without
effect.
"""
