"""Measures how often labels with a given probability are right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_WIDE = 1.96


class Bins(NamedTuple):
    """Pairs in B bins of about equal numbers, by ascending confidence.

    Attributes:
        confidence: mean confidence of a bin.
        share: share of its pairs that are right.
        low, high: 95 % interval of the share (Wilson 1927).
        pairs: number of its pairs.
    """

    confidence: Float[np.ndarray, "B"]
    share: Float[np.ndarray, "B"]
    low: Float[np.ndarray, "B"]
    high: Float[np.ndarray, "B"]
    pairs: np.ndarray


def bin_pairs(
    confidence: Float[np.ndarray, "Q"], hit: Bool[np.ndarray, "Q"], n_bins: int = 15
) -> Bins:
    """Returns pairs of a confidence and a hit in bins; pairs with equal confidences are in the same bin.

    >>> bins = bin_pairs(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]), 2)
    >>> bins.confidence.tolist(), bins.share.tolist()
    ([0.1, 0.9], [0.0, 1.0])
    """
    order = np.argsort(confidence, kind="stable")
    values, right = confidence[order].astype(float), hit[order]
    n_values = len(values)
    # Ends of runs of equal values; a bin ends at the first of these at or after its quantile.
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True)[:n_values]) + 1
    wanted = np.linspace(0, n_values, n_bins + 1)[1:]
    ends = np.unique(last[np.searchsorted(last, wanted - 1e-9)]) if n_values else last
    starts = np.append(0, ends)[: len(ends)]
    n = (ends - starts).astype(float)
    sums = (np.append(0.0, np.cumsum(part)) for part in (values, right))
    mean, share = ((total[ends] - total[starts]) / n for total in sums)
    z = _WIDE**2
    middle = (share + z / (2 * n)) / (1 + z / n)
    half = _WIDE * np.sqrt(share * (1 - share) / n + z / (4 * n**2)) / (1 + z / n)
    return Bins(mean, share, middle - half, middle + half, n.astype(int))
