"""What surrounds an estimator's work: the process it may run in, its threads, its progress, and freed programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any, TypeVar

import jax

from xmc_jax.ops import (
    MOST_PROGRAMS,
    MOST_PROGRAMS_EVER,
    check_process,
    free_programs,
    keep_compiled,
)
from xmc_jax.progress import open_progress
from xmc_jax.threads import use_threads
from xmc_jax.types import NoProgress, Progress

Method = TypeVar("Method", bound=Callable)


class _UnderWay:
    """Number of calls under way in all threads; programs may be freed only when it is 0."""

    lock = threading.Lock()
    n = 0


class _Turn:
    """One call after the other where several devices of a process work together: each waits for the others' part of
    a program, so all have to take up the programs in the same order."""

    lock = threading.RLock()


def _shares_devices(model: Any) -> bool:
    return jax.local_device_count() > 1 and model.machine.mesh.size > 1


def working(method: Method) -> Method:
    """Makes a computing method keep to the threads of the settings and show a bar for `progress=True`.

    Raises:
        RunError: the process was forked after JAX had run.
    """
    most = MOST_PROGRAMS if method.__name__ == "fit" else MOST_PROGRAMS_EVER

    in_turn = method.__name__ != "fit"

    @wraps(method)
    def work(self: Any, *arguments: Any, **named: Any) -> Any:
        check_process()
        keep_compiled()
        told = open_progress(named.get("progress"))
        turn = _Turn.lock if in_turn and _shares_devices(self) else nullcontext()
        with turn, _count(most), use_threads(self.config.threads), told as progress:
            if "progress" in named:
                named["progress"] = progress
            return method(self, *arguments, **named)

    return work  # type: ignore[return-value]


def hear(progress: Progress | bool | None) -> Progress:
    """Returns who is told inside a working method, whose `progress=True` has become a bar already."""
    return NoProgress() if progress is None or isinstance(progress, bool) else progress


@contextmanager
def _count(most: int) -> Iterator[None]:
    with _UnderWay.lock:
        _UnderWay.n += 1
    try:
        yield
    finally:
        with _UnderWay.lock:
            _UnderWay.n -= 1
            if not _UnderWay.n:
                free_programs(most)
