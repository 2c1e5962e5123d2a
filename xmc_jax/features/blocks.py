"""Cuts texts into blocks for threads to work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

import numpy as np

from xmc_jax.errors import InputError

_DOCUMENTS = 16384
_CHARACTERS = 4_000_000
"""Larger blocks exceed the processor's cache, smaller ones repeat more terms; both are slower."""


def cut_blocks(texts: Iterable[str], sizes: int = 1) -> Iterator[list[str]]:
    """Yields lists of at most 16,384 documents and about 4 million characters, in order.

    Args:
        texts: any iterable of strings.
        sizes: number of n-gram lengths; blocks have that many times fewer characters.

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
