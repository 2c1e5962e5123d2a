"""What this process has of JAX: whether it may start it, and how many compiled programs it keeps."""

from __future__ import annotations

import os

import jax

from xmc_jax.errors import RunError

MOST_PROGRAMS = 128
"""Compiled programs that a process keeps beyond a training. On a CPU each holds some hundred memory maps, of which
Linux allows a process 65,530."""
MOST_PROGRAMS_EVER = 384
"""Those that it keeps beyond a search, which more likely needs them again."""


class _Process:
    """Whether this process is a copy of one in which JAX had run, whose threads are not in it."""

    is_watched = False
    is_copy = False


def check_process() -> None:
    """Refuses work in a process that was forked after JAX had started its back end: it would wait for ever.

    Raises:
        RunError: it is such a process.
    """
    if _Process.is_copy:
        raise RunError(
            "this process was forked after JAX had run, and JAX's threads are not in it; start processes with "
            "multiprocessing's 'spawn', or fork before the first fit or predict (load starts nothing)"
        )
    watch_forks()


def watch_forks() -> None:
    """Notes from now on when a process is forked off, once."""
    if not _Process.is_watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)
        _Process.is_watched = True


def free_programs(most: int) -> None:
    """Lets go of all compiled programs if there are more than `most`; those still needed are made again, most of them
    from the cache on disk. Nothing may be under way."""
    if has_started() and count_programs() > most:
        jax.clear_caches()


def count_programs() -> int:
    """Returns how many compiled programs this process holds."""
    return len(jax.local_devices()[0].client.live_executables())


def has_started() -> bool:
    """Returns whether JAX has started a back end in this process or in the one that it was forked from."""
    from jax._src import xla_bridge

    # No public name tells it. Of a version without this one, any fork counts as one too late.
    known = getattr(xla_bridge, "backends_are_initialized", None)
    return True if known is None else bool(known())


def _note_fork() -> None:
    _Process.is_copy = _Process.is_copy or has_started()
