"""Many texts as token ids: fixed-width arrays, one per class of lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from xmc_jax.errors import InputError

WIDTHS = (
    *(8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512),
    *(640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096, 5120, 6144, 8192),
)
"""Widths of the arrays: functions are compiled once per width, and beyond 8 at most a quarter is padding."""


@dataclass(frozen=True)
class Tokens:
    """Inputs of an encoder, in the order of the texts.

    Attributes:
        ids: int32 arrays [n, T], narrow to wide, each row padded at the right. (A user's own encoder may
            take any dtype and further axes.)
        lengths: int32 [N], the number of real tokens of each text.
        bucket: int8 [N], the array that holds each text.
        slot: int32 [N], the row in that array.
    """

    ids: tuple[np.ndarray, ...]
    lengths: Int[np.ndarray, "N"]
    bucket: Int[np.ndarray, "N"]
    slot: Int[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def widths(self) -> Int[np.ndarray, "N"]:
        """Width of the array that holds each text."""
        return self._array_widths[self.bucket]

    @property
    def _array_widths(self) -> Int[np.ndarray, "buckets"]:
        return np.asarray([a.shape[1] for a in self.ids], np.int32)

    def take(
        self, rows: Int[np.ndarray, "B"], width: int = 0
    ) -> tuple[np.ndarray, Bool[np.ndarray, "B T"]]:
        """Returns (ids [B, T], mask [B, T]) of some texts; T is the widest of their arrays, or `width` if larger."""
        rows = np.asarray(rows)
        bucket, slot = self.bucket[rows], self.slot[rows]
        wide = max(int(self._array_widths[bucket].max(initial=0)), width)
        if len(self.ids) == 1 and wide == self.ids[0].shape[1]:
            out = self.ids[0][slot]
        else:
            out = np.zeros((len(rows), wide, *self.ids[0].shape[2:]), self.ids[0].dtype)
            for b in np.unique(bucket):
                here = bucket == b
                array = self.ids[b]
                out[here, : array.shape[1]] = array[slot[here]]
        return out, np.arange(wide)[None, :] < self.lengths[rows][:, None]

    def select(self, rows: Int[np.ndarray, "n"]) -> Tokens:
        """Returns some of the texts; the arrays are shared."""
        return Tokens(self.ids, self.lengths[rows], self.bucket[rows], self.slot[rows])

    def iterate_buckets(self) -> Iterator[tuple[int, Int[np.ndarray, "n"]]]:
        """Yields each array's width and the texts in it, narrow to wide."""
        for b, array in enumerate(self.ids):
            rows = np.flatnonzero(self.bucket == b)
            if len(rows):
                yield array.shape[1], rows


def list_widths(max_length: int) -> tuple[int, ...]:
    """Returns the widths used for texts of at most `max_length` tokens."""
    return (*(w for w in WIDTHS if w < max_length), max_length)


def bucket_tokens(
    flat: Int[np.ndarray, "total"], lengths: Int[np.ndarray, "N"], max_length: int
) -> Tokens:
    """Copies concatenated ids into padded arrays.

    Args:
        flat: the ids of all texts, text after text.
        lengths: the number of tokens of each text, at most `max_length`.
        max_length: the width of the widest array.
    """
    widths = np.asarray(list_widths(max_length))
    bucket = np.searchsorted(widths, lengths).astype(np.int8)
    slot = np.zeros(len(lengths), np.int32)
    offsets = np.append(0, np.cumsum(lengths, dtype=np.int64))
    owner = np.repeat(bucket, lengths)  # of each token
    arrays = []
    for b, width in enumerate(widths):
        rows = np.flatnonzero(bucket == b)
        slot[rows] = np.arange(len(rows))
        array = np.zeros((len(rows), int(width)), np.int32)
        array[np.arange(width)[None, :] < lengths[rows][:, None]] = flat[owner == b]
        arrays.append(array)
    assert offsets[-1] == len(flat)
    return Tokens(tuple(arrays), lengths.astype(np.int32), bucket, slot)


def hold_arrays(inputs: np.ndarray) -> Tokens:
    """Returns inputs that are already an array [N, ...] in the form of tokens, with every position real."""
    inputs = np.asarray(inputs)
    if inputs.ndim < 2:
        raise InputError(
            f"an array of {inputs.ndim} axes given, [N, ...] with 2 or more needed (one row per document)"
        )
    n = len(inputs)
    return Tokens(
        (inputs,),
        np.full(n, inputs.shape[1], np.int32),
        np.zeros(n, np.int8),
        np.arange(n, dtype=np.int32),
    )


def concatenate_tokens(parts: Sequence[Tokens]) -> Tokens:
    """Joins pieces that were made with the same `max_length`."""
    sizes = np.asarray([[len(a) for a in p.ids] for p in parts])
    starts = np.cumsum(sizes, axis=0) - sizes
    return Tokens(
        tuple(np.concatenate(arrays) for arrays in zip(*(p.ids for p in parts), strict=True)),
        np.concatenate([p.lengths for p in parts]),
        np.concatenate([p.bucket for p in parts]),
        np.concatenate(
            [p.slot + start[p.bucket] for p, start in zip(parts, starts, strict=True)]
        ).astype(np.int32),
    )
