"""A sparse Johnson–Lindenstrauss projection that is the same on every machine (Kane & Nelson 2014).

Row j of R, one per feature, holds `s` entries ±1/√s, one in each of `s` groups of columns; column and
sign are hashes of (seed, j, group). Inner products of xR and yR are those of x and y up to an error
of standard deviation at most √2·‖x‖·‖y‖/√width, as with a dense R of random signs, at s instead of `width` operations
per entry and D·s instead of D·width numbers in memory.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_ENTRIES = 4
"""`s`: with one entry, two heavy features that share a column would spoil a label's vector."""


def make_projection(n_features: int, width: int, seed: int) -> sp.csr_matrix:
    """Returns R, float32 CSR [n_features, width] with unit rows, the same on any machine."""
    entries = min(_ENTRIES, width)
    borders = np.arange(entries + 1) * width // entries
    counter = np.arange(n_features * entries, dtype=np.uint64)
    start = _scramble(np.full(1, seed, np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    bits = _scramble(_scramble(counter) ^ start)
    sizes = np.tile(np.diff(borders), n_features).astype(np.uint64)
    places = ((bits >> np.uint64(32)) * sizes) >> np.uint64(32)
    columns = places.astype(np.int64) + np.tile(borders[:-1], n_features)
    signs = np.where(bits & np.uint64(1), np.float32(1), np.float32(-1))
    values = signs * np.float32(1.0 / np.sqrt(entries))
    indptr = np.arange(n_features + 1, dtype=np.int64) * entries
    return sp.csr_matrix((values, columns, indptr), shape=(n_features, width))


def _scramble(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function (Steele, Lea & Flood 2014), a bijection of 64-bit numbers."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
