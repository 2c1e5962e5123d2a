"""Packs sparse rows of different lengths into arrays of a few fixed shapes (host side)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def concatenate_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the integers of all ranges `[starts[i], starts[i] + lengths[i])`, one after the other.

    Args:
        starts: integers [N].
        lengths: integers [N], 0 or more.

    Returns:
        int64 [sum(lengths)].

    Example:
        >>> concatenate_ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    lengths = np.asarray(lengths, np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(np.asarray(starts, np.int64) - (ends - lengths), lengths)


def round_up(n: int, steps: int = 8) -> int:
    """Returns the next size in a coarse grid (`steps` sizes per power of two), so that few shapes are compiled.

    >>> round_up(17), round_up(1000)
    (18, 1024)
    """
    if n <= steps:
        return max(n, 1)
    grain = 2 ** (int(n - 1).bit_length() - steps.bit_length())
    return -(-n // grain) * grain


def choose_widths(lengths: np.ndarray, n_widths: int) -> list[int]:
    """Returns at most `n_widths` widths J for which padding each row to the next width stores the fewest slots.

    They are found by a dynamic programme over 32 quantiles of the lengths; so one long row does not set the width of
    all.

    Args:
        lengths: integers [N], 1 or more.
        n_widths: the number of shapes that may be compiled.

    Returns:
        Increasing even widths, the last at least `max(lengths)`.

    Example:
        >>> choose_widths(np.array([3, 4, 4, 50]), n_widths=2)
        [4, 50]
    """
    if len(lengths) == 0:
        return [2]
    quantiles = np.quantile(lengths, np.linspace(0, 1, 33), method="higher").astype(np.int64)
    grid = np.unique(-(-np.maximum(quantiles, 1) // 2) * 2)
    counts = np.searchsorted(np.sort(lengths), grid, side="right")
    m = len(grid)
    cost = np.full((n_widths + 1, m + 1), np.inf)
    cost[0, 0] = 0.0
    cut = np.zeros((n_widths + 1, m + 1), np.int64)
    below = np.concatenate([[0], counts])
    for k in range(1, n_widths + 1):
        for j in range(1, m + 1):
            options = cost[k - 1, :j] + grid[j - 1] * (below[j] - below[:j])
            cut[k, j] = int(np.argmin(options))
            cost[k, j] = options[cut[k, j]]
    k = int(np.argmin(cost[1:, m])) + 1
    widths, j = [], m
    while k:
        widths.append(int(grid[j - 1]))
        j, k = int(cut[k, j]), k - 1
    return widths[::-1]


def pack_rows(matrix: sp.csr_matrix, width: int, *, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs CSR rows [N, D] into a fixed number of slots.

    Args:
        matrix: rows of at most `width` non-zeros.
        width: number of slots J per row.
        pad: id of an unused slot, whose value is 0.

    Returns:
        ids int32 [N, J] and values float32 [N, J].

    Example:
        >>> ids, values = pack_rows(sp.csr_matrix(np.array([[0, 7.0], [0, 0]])), 2, pad=-1)
        >>> ids.tolist(), values.tolist()
        ([[1, -1], [-1, -1]], [[7.0, 0.0], [0.0, 0.0]])
    """
    lengths = np.diff(matrix.indptr)
    n = len(lengths)
    ids = np.full((n, width), pad, np.int32)
    values = np.zeros((n, width), np.float32)
    slots = concatenate_ranges(np.arange(n) * width, lengths)
    ids.reshape(-1)[slots] = matrix.indices
    values.reshape(-1)[slots] = matrix.data
    return ids, values


def place_rows(rows: np.ndarray, at: np.ndarray, total: int) -> np.ndarray:
    """Returns [total, ...] zeros with the given rows at the places `at`."""
    out = np.zeros((total, *rows.shape[1:]), rows.dtype)
    out[at] = rows
    return out
