"""Many byte strings in one buffer, and their distinct values found without a loop over strings.

A term of a document is a slice of the buffer that holds the documents. Python objects are made only for the terms that
are kept, which makes this several times faster than a dictionary look-up per token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PADDING = 8
"""Bytes that every buffer holds beyond its last slice, since slices are read eight bytes at a time."""

_LONG = 256
"""Longer slices are compared with a dictionary: they are few, and every 8 bytes would cost a pass."""

_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SEEDS = np.random.SeedSequence(1).generate_state(8, np.uint64) | np.uint64(1)


@dataclass(frozen=True)
class Slices:
    """`n` byte strings.

    Attributes:
        buffer: uint8 [bytes + PADDING] or more.
        starts: int32 or int64 [n], offset of each string in `buffer`.
        lengths: [n], in the type of `starts`.
    """

    buffer: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: np.ndarray) -> Slices:
        return Slices(self.buffer, self.starts[rows], self.lengths[rows])

    def to_list(self) -> list[bytes]:
        raw = self.buffer.tobytes()
        ends = (self.starts + self.lengths).tolist()
        return [raw[s:e] for s, e in zip(self.starts.tolist(), ends, strict=True)]

    def compact(self, gap: int = 0) -> Slices:
        """Returns the same strings in a buffer of their own, each followed by `gap` spaces."""
        lengths = self.lengths.astype(np.int64)
        ends = np.cumsum(lengths + gap)
        starts = ends - lengths - gap
        total = int(ends[-1]) if len(ends) else 0
        buffer = np.full(total + PADDING, ord(" "), np.uint8)
        offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source = self.buffer[np.repeat(self.starts, lengths) + offsets]
        if gap:
            buffer[np.repeat(starts, lengths) + offsets] = source
        else:
            buffer[:total] = source
        return Slices(buffer, starts, lengths)


def from_list(strings: list[bytes]) -> Slices:
    """Returns the strings in a buffer of their own."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    buffer = np.frombuffer(b"".join(strings) + b" " * PADDING, np.uint8)
    return Slices(buffer, np.cumsum(lengths) - lengths, lengths)


def concatenate(parts: list[Slices]) -> Slices:
    """Returns the strings of all parts in order, in one buffer."""
    shifts = np.cumsum([0, *(len(p.buffer) for p in parts)])
    starts = [p.starts + shift for p, shift in zip(parts, shifts, strict=False)]
    return Slices(
        np.concatenate([p.buffer for p in parts]),
        np.concatenate(starts),
        np.concatenate([p.lengths for p in parts]),
    )


def number_distinct(slices: Slices) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct strings.

    Each round writes the row number of every open string into a table at the string's hash; strings that equal, byte by
    byte, the one that stayed in their slot are settled. So a hash collision costs time but never gives a wrong answer:
    the loser is settled in a later round, by another hash.

    Returns:
        ids: int32 [n], the number of each string, in 0..U-1.
        first: int64 [U], a row that holds string number u.
    """
    n = len(slices)
    owner = np.empty(n, np.int32)
    long = slices.lengths > _LONG
    if long.any():
        _settle_long(slices, np.flatnonzero(long), owner)
        rows: np.ndarray | None = np.flatnonzero(~long)
    else:
        rows = None
    todo = slices if rows is None else slices[rows]
    hashes = hash_slices(todo)
    turn = 0
    while len(todo):
        bits = max(int(len(todo) - 1).bit_length(), 4)
        slots = (hashes * _SEEDS[turn % len(_SEEDS)]) >> np.uint64(64 - bits)
        table = np.empty(1 << bits, np.int32)
        slots = slots.astype(np.int64)
        table[slots] = np.arange(len(todo), dtype=np.int32)
        winner = table[slots]
        equal = _equal(todo, winner)
        settled = winner if rows is None else rows[winner]
        if equal.all():
            owner[slice(None) if rows is None else rows] = settled
            break
        here = np.flatnonzero(equal)
        owner[here if rows is None else rows[here]] = settled[here]
        open_rows = np.flatnonzero(~equal)
        rows = open_rows if rows is None else rows[open_rows]
        todo, hashes = todo[open_rows], hashes[open_rows]
        turn += 1
    is_first = owner == np.arange(n, dtype=np.int32)
    number = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    return number[owner], np.flatnonzero(is_first)


def _words(slices: Slices, at: int) -> np.ndarray:
    """Returns bytes `at` to `at` + 7 of each string as uint64 [n], with zeros beyond its end."""
    whole = np.ndarray((len(slices.buffer) - 7,), "<u8", slices.buffer, 0, (1,))
    return whole[slices.starts + at] & _MASKS[np.minimum(slices.lengths - at, 8)]


def hash_slices(slices: Slices) -> np.ndarray:
    """Returns a 64-bit hash of each string; its quality affects only speed."""
    hashes = (_words(slices, 0) + slices.lengths.astype(np.uint64)) * _MULTIPLIER
    rows = np.flatnonzero(slices.lengths > 8)
    at = 8
    while len(rows):
        state = hashes[rows]
        state ^= state >> np.uint64(32)
        hashes[rows] = (state ^ _words(slices[rows], at)) * _MULTIPLIER
        at += 8
        rows = rows[slices.lengths[rows] > at]
    hashes ^= hashes >> np.uint64(32)
    return hashes


def _equal(slices: Slices, other: np.ndarray) -> np.ndarray:
    """Returns bool [n]: whether string i has the bytes of string other[i]."""
    equal = slices.lengths == slices.lengths[other]
    first = _words(slices, 0)
    equal &= first == first[other]
    rows = np.flatnonzero(equal & (slices.lengths > 8))
    at = 8
    while len(rows):
        same = _words(slices[rows], at) == _words(slices[other[rows]], at)
        equal[rows[~same]] = False
        at += 8
        rows = rows[same & (slices.lengths[rows] > at)]
    return equal


def _settle_long(slices: Slices, rows: np.ndarray, owner: np.ndarray) -> None:
    seen: dict[bytes, int] = {}
    strings = slices[rows].to_list()
    owner[rows] = [seen.setdefault(s, r) for s, r in zip(strings, rows.tolist(), strict=True)]
