"""How often labels of a probability are right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_WIDE = 1.96


class Bins(NamedTuple):
    """Pairs in B bins of like numbers, by ascending confidence.

    Attributes:
        confidence: the mean of a bin.
        share: of its pairs that are right.
        low, high: 95 % interval of the share (Wilson 1927).
        pairs: how many there are.
    """

    confidence: Float[np.ndarray, "B"]
    share: Float[np.ndarray, "B"]
    low: Float[np.ndarray, "B"]
    high: Float[np.ndarray, "B"]
    pairs: np.ndarray


def bin_pairs(
    confidence: Float[np.ndarray, "Q"], hit: Bool[np.ndarray, "Q"], n_bins: int = 15
) -> Bins:
    """Returns pairs of a confidence and a hit in bins; pairs of one confidence are never parted.

    >>> bins = bin_pairs(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]), 2)
    >>> bins.confidence.tolist(), bins.share.tolist()
    ([0.1, 0.9], [0.0, 1.0])
    """
    order = np.argsort(confidence, kind="stable")
    values, right = confidence[order].astype(float), hit[order]
    n_values = len(values)
    # Where runs of equal values end; a bin ends at the first of these from its quantile on.
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
