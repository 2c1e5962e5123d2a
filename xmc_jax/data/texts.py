"""Documents held once: one buffer of UTF-8 with offsets into it, decoded on access."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

from xmc_jax.errors import InputError


class TextStore(Sequence[str]):
    """A read-only sequence of N texts; Python strings are made on access.

    Indexing by a number gives a string, by a slice or an integer array another store (which shares the buffer if the
    slice has step 1).

    >>> store = TextStore.from_texts(["one", "two", "three"])
    >>> store[1], list(store[1:])
    ('two', ['two', 'three'])
    """

    def __init__(self, buffer: bytes | bytearray, offsets: np.ndarray) -> None:
        """Takes the UTF-8 bytes of all texts and int64 offsets [N + 1]; text i is bytes offsets[i] to offsets[i +
        1]."""
        self._buffer = buffer
        self._offsets = offsets

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> TextStore:
        """Copies any texts into a store.

        Raises:
            InputError: one string instead of a list, a text that is not a string or holds half a surrogate pair.
        """
        if isinstance(texts, (str, bytes, dict)) or not isinstance(texts, Iterable):
            raise InputError(f"texts: {texts!r:.60} given, a list of strings needed")
        builder = TextStoreBuilder()
        for i, text in enumerate(texts):
            try:
                builder.add(text)
            except ValueError as error:
                raise InputError(f"texts[{i}]: {error}") from None
        return builder.build()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __repr__(self) -> str:
        n_bytes = int(self._offsets[-1] - self._offsets[0])
        return f"TextStore({len(self):,} texts, {n_bytes:,} bytes)"

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray) -> TextStore: ...
    def __getitem__(self, index: int | slice | np.ndarray) -> str | TextStore:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return TextStore(self._buffer, self._offsets[start : max(start, stop) + 1])
            index = np.arange(start, stop, step)
        if isinstance(index, np.ndarray) and index.ndim:
            rows = np.flatnonzero(index) if index.dtype == bool else index
            return TextStore.from_texts(self[int(i)] for i in rows)
        i = range(len(self))[index]  # a range counts from the end and raises IndexError
        return self._buffer[self._offsets[i] : self._offsets[i + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        start, buffer = int(self._offsets[0]), self._buffer
        for block in range(1, len(self._offsets), 65536):
            for stop in self._offsets[block : block + 65536].tolist():
                yield buffer[start:stop].decode()
                start = stop

    @property
    def nbytes(self) -> int:
        """Bytes of the texts themselves."""
        return int(self._offsets[-1] - self._offsets[0])


class TextStoreBuilder:
    """Collects texts one at a time; `build` hands the bytes over without a copy."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offsets = array("q", [0])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, text: str) -> None:
        """Appends a text.

        Raises:
            ValueError: not a string, or a string with half a surrogate pair, which a file cannot hold.
        """
        if not isinstance(text, str):
            raise ValueError(f"the text is {text!r:.60}, a string needed")
        try:
            self._buffer += text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the text holds {text[error.start]!a}, half a surrogate pair; write the whole "
                "character"
            ) from None
        self._offsets.append(len(self._buffer))

    def build(self) -> TextStore:
        """Returns the store; the builder must not be used afterwards."""
        return TextStore(self._buffer, np.asarray(self._offsets))
