"""JAX in this process: whether it may start, and how many compiled programs are kept."""

from __future__ import annotations

import os

import jax

from xmc_jax.errors import RunError

MOST_PROGRAMS = 128
"""Compiled programs that a process keeps after a training. On a CPU, each holds about a hundred memory maps, of which
Linux allows a process 65,530."""
MOST_PROGRAMS_EVER = 384
"""Compiled programs that it keeps after a search, which is more likely to need them again."""


class _Process:
    """Whether this process is a copy of one in which JAX had run, and so lacks JAX's threads."""

    is_watched = False
    is_copy = False


def check_process() -> None:
    """Checks that this process was not forked after JAX had started its back end: it would hang.

    Raises:
        RunError: it was.
    """
    if _Process.is_copy:
        raise RunError(
            "this process was forked after JAX had run, and JAX's threads are not in it; start processes with "
            "multiprocessing's 'spawn', or fork before the first fit or predict (load starts nothing)"
        )
    watch_forks()


def watch_forks() -> None:
    """Records forks from now on; calling it again changes nothing."""
    if not _Process.is_watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)
        _Process.is_watched = True


def free_programs(most: int) -> None:
    """Frees all compiled programs if there are more than `most`; those still needed are made again, most of them from
    the
    cache on disk. No program may be running."""
    if has_started() and count_programs() > most:
        jax.clear_caches()


def count_programs() -> int:
    """Returns the number of compiled programs that this process holds."""
    return len(jax.local_devices()[0].client.live_executables())


def has_started() -> bool:
    """Returns whether JAX has started a back end in this process or in the one it was forked from."""
    from jax._src import xla_bridge

    # There is no public name for it. With a version that lacks this one, any fork counts as too late.
    known = getattr(xla_bridge, "backends_are_initialized", None)
    return True if known is None else bool(known())


def _note_fork() -> None:
    _Process.is_copy = _Process.is_copy or has_started()
