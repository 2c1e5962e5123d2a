"""Texts cut into blocks, and the blocks worked on by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TypeVar

import numpy as np

from xmc_jax.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_DOCUMENTS = 16384
_CHARACTERS = 4_000_000
"""Larger blocks leave the processor's cache, smaller ones repeat more terms; both are slower."""


def cut_blocks(texts: Iterable[str], sizes: int = 1) -> Iterator[list[str]]:
    """Yields lists of at most 16,384 documents, in order, of about 4 million characters at most.

    Args:
        sizes: n-gram lengths wanted: the characters of a block are that many times fewer.

    Raises:
        InputError: an element is not text.
    """
    if isinstance(texts, str | bytes):
        raise InputError("one text given, a list of texts needed; give [text]")
    position, stream = 0, iter(texts)
    while chunk := list(islice(stream, _DOCUMENTS)):
        if not all(issubclass(kind, str) for kind in set(map(type, chunk))):
            row = next(i for i, text in enumerate(chunk) if not isinstance(text, str))
            raise InputError(
                f"document {position + row} is of type {type(chunk[row]).__name__}, text needed"
            )
        position += len(chunk)
        characters = np.cumsum(np.fromiter(map(len, chunk), np.int64, len(chunk)))
        part = characters // (_CHARACTERS // sizes)
        borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(chunk)]
        for begin, end in pairwise(borders):
            yield chunk[begin:end]


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Yields the result for each item, in order, from `threads` threads (0: a thread a core).

    An item is taken from the stream only when an earlier result is nearly due, so that a long
    stream is never held whole.
    """
    threads = threads or count_cores()
    stream = iter(items)
    first = list(islice(stream, 2))
    if threads == 1 or len(first) < 2:
        yield from map(function, first)
        yield from map(function, stream)
        return
    with ThreadPoolExecutor(threads) as pool:
        running = deque(pool.submit(function, item) for item in first)
        for item in stream:
            if len(running) > threads:
                yield running.popleft().result()
            running.append(pool.submit(function, item))
        while running:
            yield running.popleft().result()


def count_cores() -> int:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
