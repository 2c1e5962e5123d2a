"""Runs of words or characters in reading order, and the n-grams in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmc_jax.features.slices import PADDING, Slices

WIDTHS = np.array([1] * 0xC0 + [2] * 0x20 + [3] * 0x10 + [4] * 0x10, np.int32)
"""Length in bytes of the UTF-8 character that begins with each byte."""


@dataclass(frozen=True)
class Stream:
    """Units (words or characters) in reading order; an n-gram is a run of units inside one segment.

    Attributes:
        units: the units, in one buffer; neighbours in a segment are `gap` bytes apart.
        segment_ends: int [n], number of the first unit beyond the segment of each unit.
        is_start: bool [n], whether the unit is the first of its segment.
        documents: int32 [n], the document of each unit.
    """

    units: Slices
    segment_ends: np.ndarray
    is_start: np.ndarray
    documents: np.ndarray


def ends_of(is_start: np.ndarray) -> np.ndarray:
    """Returns for each unit the first unit of the next segment."""
    starts = np.flatnonzero(is_start)
    ends = np.append(starts, len(is_start))[1:]
    return np.repeat(ends, ends - starts)


def word_stream(words: Slices, documents: np.ndarray, breaks: np.ndarray | None = None) -> Stream:
    is_start = np.diff(documents, prepend=-1) != 0
    if breaks is not None:
        is_start |= np.diff(breaks, prepend=-1) != 0
    return Stream(words.compact(gap=1), ends_of(is_start), is_start, documents)


def letters_of(words: Slices, documents: np.ndarray) -> Stream:
    """Returns the characters of words; each word is a segment."""
    held = words.compact()
    text = held.buffer[: len(held.buffer) - PADDING]
    starts = np.flatnonzero((text & 0xC0) != 0x80)
    is_start = np.zeros(len(starts), bool)
    first = np.searchsorted(starts, held.starts)
    is_start[first] = True
    units = Slices(held.buffer, starts, WIDTHS[held.buffer[starts]].astype(starts.dtype))
    sizes = np.diff(np.append(first, len(starts)))
    return Stream(units, ends_of(is_start), is_start, np.repeat(documents, sizes))


def make_grams(
    stream: Stream, low: int, high: int, keeps_short: bool = False
) -> tuple[Slices, np.ndarray]:
    """Returns the n-grams of `low` to `high` units, and their documents.

    With `keeps_short`, a segment that is shorter than the shortest n-gram is kept whole, as scikit-learn does with
    `char_wb`.
    """
    units, place = stream.units, np.arange(len(stream.units))
    room = stream.segment_ends - place
    chosen = []
    for n in range(1 if keeps_short else low, high + 1):
        fits = room >= n if n >= low else stream.is_start & (room == n)
        begin = np.flatnonzero(fits)
        chosen.append((begin, begin + (n - 1)))
    begin = np.concatenate([b for b, _ in chosen])
    last = np.concatenate([e for _, e in chosen])
    starts = units.starts[begin]
    lengths = units.starts[last] + units.lengths[last] - starts
    return Slices(units.buffer, starts, lengths), stream.documents[begin]
