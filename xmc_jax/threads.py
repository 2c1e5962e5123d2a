"""Threads of this process: how many there may be, and work that is mapped over them and can be stopped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores() -> int:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = 0,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Yields the result for each item, in order; the first error ends it.

    Work that has not begun is dropped when an error or an interruption comes, or when the generator is closed. A loop
    that may raise itself closes it (`contextlib.closing`): the traceback would keep it, and its work, alive.

    Args:
        function: called in a thread; in the caller's own if there is one thread or one item.
        items: taken only when an earlier result is nearly due, so that a long stream is never held whole.
        threads: how many; 0: one a core.
        ahead: items that may be under way beside the one whose result is due, and one more is taken; None: as many as
            threads. More of them keep the threads busy while one item takes long.
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
