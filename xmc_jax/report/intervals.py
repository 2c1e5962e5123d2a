"""Scores document by document, and their confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from xmc_jax.metrics.counts import Batch
from xmc_jax.metrics.formulas import discounts, ideal_gains
from xmc_jax.metrics.report import CUTS, RECALL_CUTS

_REPEATS, _WORK = 1000, 10**8
"""Number of resamples, and largest number of documents drawn in all of them (but at least 200 resamples)."""


class Parts(NamedTuple):
    """Numerator and denominator of a score for each document, both [N]; the score is the ratio of their sums."""

    above: Float[np.ndarray, "N"]
    below: Float[np.ndarray, "N"]


def score_documents(batch: Batch) -> dict[str, Parts]:
    """Returns the parts of P, nDCG, PSP and recall at their cuts, in percent, document by document."""
    hits, n_true = batch.hits, batch.n_true
    n, width = hits.shape
    ones = np.ones(n)
    found = np.cumsum(hits, axis=1)
    gains = np.cumsum(hits * discounts(width), axis=1)
    at = {k: min(k, width) - 1 for k in {*CUTS, *RECALL_CUTS}}
    scores = {f"P@{k}": Parts(100 * found[:, at[k]] / k, ones) for k in CUTS}
    for k in CUTS:
        scores[f"nDCG@{k}"] = Parts(100 * gains[:, at[k]] / ideal_gains(n_true, k), ones)
    if batch.inverse is not None:
        worth = np.cumsum(hits * batch.inverse[np.maximum(batch.reading.ids, 0)], axis=1)
        for k in CUTS:
            kept = batch.best.ranks < k
            best = np.bincount(batch.best.rows[kept], batch.best.values[kept], minlength=n)
            scores[f"PSP@{k}"] = Parts(100 * worth[:, at[k]], best)
    for k in RECALL_CUTS:
        scores[f"recall@{k}"] = Parts(100 * found[:, at[k]] / np.maximum(n_true, 1), ones)
    return scores


def find_intervals(
    scores: Mapping[str, Parts], level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Returns the interval of each score by the bootstrap: documents are resampled with replacement.

    Args:
        scores: parts of N documents.
        level: share of the resamples within the interval.
        seed: seed of the draws.
    """
    if not scores:
        return {}
    above = np.stack([part.above for part in scores.values()], axis=1)
    below = np.stack([part.below for part in scores.values()], axis=1)
    n = len(above)
    if not n:
        return dict.fromkeys(scores, (0.0, 0.0))
    rng = np.random.default_rng(seed)
    drawn = np.empty((int(np.clip(_WORK // n, 200, _REPEATS)), above.shape[1]))
    for row in drawn:
        times = np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
        total = times @ below
        row[:] = np.divide(times @ above, total, out=np.zeros_like(total), where=total > 0)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(scores, low, high, strict=True)}
