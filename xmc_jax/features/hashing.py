"""Feature hashing: a term's column is its hash, so no vocabulary is kept (Weinberger et al. 2009).

The hash is MurmurHash3 (Appleby, 32 bits, x86 variant, seed 0) of the term's UTF-8 bytes, read as a
signed number h: the column is |h| mod 2^bits and the sign of the term's weight is that of h, which
keeps inner products unbiased when two terms share a column. These are the columns and signs of
scikit-learn's HashingVectorizer; they depend only on the term.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmc_jax.features.slices import Slices

_C1, _C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def hash_terms(terms: Slices, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns each term's column, int32 [n] in 0..2^bits-1, and sign, float32 [n] of ±1."""
    signed = murmur3(terms).view(np.int32).astype(np.int64)
    columns = np.abs(signed) & ((1 << bits) - 1)
    return columns.astype(np.int32), np.where(signed >= 0, np.float32(1), np.float32(-1))


def murmur3(strings: Slices) -> np.ndarray:
    """Returns the 32-bit MurmurHash3 with seed 0 of each string, uint32 [n]."""
    hashes = np.zeros(len(strings), np.uint32)
    whole = np.ndarray((len(strings.buffer) - 3,), "<u4", strings.buffer, 0, (1,))
    at, rows = 0, np.flatnonzero(strings.lengths >= 4)
    while len(rows):
        state = hashes[rows] ^ _mix(whole[strings.starts[rows] + at])
        hashes[rows] = _rotate(state, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        at += 4
        rows = rows[strings.lengths[rows] >= at + 4]
    rest = (strings.lengths & 3).astype(np.uint32)
    masks = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)
    tails = whole[strings.starts + (strings.lengths & ~3)] & masks[rest]
    hashes ^= _mix(tails) ^ strings.lengths.astype(np.uint32)
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    return hashes


def fold_columns(
    values: sp.csr_matrix, columns: np.ndarray, signs: np.ndarray, bits: int
) -> sp.csr_matrix:
    """Adds the signed values of the terms that share a column.

    Args:
        values: float32 [N, U], one column per distinct term.
        columns, signs: [U], from `hash_terms`.

    Returns:
        float32 CSR [N, 2^bits]; entries that cancel stay as explicit zeros.
    """
    folded = sp.csr_matrix(
        (values.data * signs[values.indices], columns[values.indices], values.indptr),
        shape=(values.shape[0], 1 << bits),
    )
    folded.sum_duplicates()
    return folded


def _mix(words: np.ndarray) -> np.ndarray:
    return _rotate(words * _C1, 15) * _C2


def _rotate(words: np.ndarray, by: int) -> np.ndarray:
    return (words << np.uint32(by)) | (words >> np.uint32(32 - by))
