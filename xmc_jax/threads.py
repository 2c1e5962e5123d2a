"""Threads of this process: how many there may be, and work that is mapped over them and can be interrupted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Literal, TypeVar

from xmc_jax.memory import list_groups

_limit: ContextVar[int | None] = ContextVar("threads", default=None)
"""Limit on the threads of this context; None: the available cores."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores(system: str | os.PathLike = "/") -> int:
    """Returns how many threads to spread work over: the number in `use_threads`, else the cores that this process may
    use.

    These are the cores that it is bound to, or fewer if a control group (v1, v2) grants less time or `OMP_NUM_THREADS`
    is smaller.

    Args:
        system: where `proc` and `sys` are mounted.
    """
    limit = _limit.get()
    if limit is not None:
        return limit
    bound = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    wanted = [int(said)] if said.isdigit() and int(said) > 0 else []
    return max(1, min([bound, *_read_quotas(Path(system)), *wanted]))


@contextmanager
def use_threads(threads: int | Literal["auto"]) -> Iterator[None]:
    """Keeps the work of a `with` block to so many threads; `auto`: to what was said outside it, or to the cores."""
    token = _limit.set(_limit.get() if threads == "auto" else threads)
    try:
        yield
    finally:
        _limit.reset(token)


def map_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = 0,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Yields the result for each item, in order; the first error ends it.

    Work that has not started is dropped after an error or an interruption, or when the generator is closed. A loop
    that may raise should close it (`contextlib.closing`), as the traceback would keep it, and its work, alive.

    Args:
        function: called in a thread, or in the caller's own thread if there is one thread or one item.
        items: taken only when an earlier result is nearly due, so that a long stream is never held as a whole.
        threads: how many; 0: one per core.
        ahead: how many items may be in progress beside the one whose result is due, plus one that is taken; None: as
            many as threads. More of them keep the threads busy while one item takes long.
    """
    threads = threads or count_cores()
    ahead = threads if ahead is None else ahead
    stream = iter(items)
    first = list(islice(stream, 2))
    if threads == 1 or len(first) < 2:
        yield from map(function, chain(first, stream))
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            running = deque(pool.submit(function, item) for item in first)
            for item in stream:
                if len(running) > ahead:
                    yield running.popleft().result()
                running.append(pool.submit(function, item))
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def bind_process(threads: int | Literal["auto"]) -> None:
    """Binds the process to this many of its cores, if the system can: XLA's own threads, created when its back end
    starts, are bound too. Only for a process of our own."""
    if threads != "auto" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


@cache
def _read_quotas(system: Path) -> list[int]:
    """Returns the time that the process's control groups grant, in cores, rounded up; files are read once, as a query
    takes less time than that."""
    quotas = []
    for folder, is_new in list_groups(system, "cpu"):
        try:
            if is_new:
                quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            else:
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quota, period = ((folder / name).read_text(encoding="utf-8") for name in names)
            if int(quota) > 0:
                quotas.append(ceil(int(quota) / int(period)))
        except (OSError, ValueError):  # no such file, or `max`: no quota
            continue
    return quotas
