"""Ways to score the labels of a pool: the model's scores mixed with a vote, or a learner on all features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from xmc_jax.config import RerankConfig
from xmc_jax.rerank.learners import LEARNERS
from xmc_jax.rerank.memory import Pool
from xmc_jax.rerank.pool import FEATURES
from xmc_jax.types import PAD

CUTS = (1, 3, 5)
"""Ranks at which precision decides which way is chosen."""
_WEIGHTS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_VOTES = {
    "near": FEATURES.index("log vote of the nearest"),
    "wide": FEATURES.index("log vote of all neighbours"),
}
_SCORE = FEATURES.index("log score")
_FEW, _MANY = 64, 4096
"""Number of rows that a learner scores at once."""
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Way:
    """A way to score a pool.

    Attributes:
        fit: from settings, pool and hits to arrays.
        score: from settings, arrays and a pool to margins.
    """

    fit: Callable[[RerankConfig, Pool, np.ndarray], dict[str, np.ndarray]]
    score: Callable[[RerankConfig, Arrays, Pool], Float[np.ndarray, "B M"]]


def _fit_mixture(config: RerankConfig, pool: Pool, hits: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the vote and the model's weight that give the largest mean of P@1, 3 and 5."""
    best, arrays = -1.0, {}
    for vote in _VOTES.values():
        for weight in _WEIGHTS:
            margin = _mix(pool, weight, vote)
            order = np.argsort(np.where(pool.ids == PAD, np.inf, -margin), axis=1, kind="stable")
            right = np.take_along_axis(hits, order, axis=1)
            value = sum(right[:, :k].sum() / k for k in CUTS)
            if value > best:
                best, arrays = value, {"weight": np.array([weight]), "vote": np.array([vote])}
    return arrays


def _mix(pool: Pool, weight: float, vote: int) -> np.ndarray:
    """Returns the logit of score^λ · vote^(1 − λ)."""
    mixed = weight * pool.features[:, :, _SCORE] + (1 - weight) * pool.features[:, :, vote]
    return mixed - np.log1p(-np.exp(np.minimum(mixed, -1e-4)))


def _score_mixture(config: RerankConfig, arrays: Arrays, pool: Pool) -> np.ndarray:
    return _mix(pool, arrays["weight"].item(), arrays["vote"].item())


def _fit_learner(config: RerankConfig, pool: Pool, hits: np.ndarray) -> dict[str, np.ndarray]:
    used = pool.ids != PAD
    return LEARNERS[config.learner].fit(pool.features[used], hits[used], 0)


def _score_learner(config: RerankConfig, arrays: Arrays, pool: Pool) -> np.ndarray:
    n, m, width = pool.features.shape
    flat = pool.features.reshape(-1, width)
    # Two shapes, so that two programs are compiled.
    size = _FEW if len(flat) <= _FEW else _MANY
    score = LEARNERS[config.learner].score
    out = np.zeros(len(flat), np.float32)
    for start in range(0, len(flat), size):
        part = flat[start : start + size]
        full = np.pad(part, ((0, size - len(part)), (0, 0)))
        out[start : start + size] = np.asarray(score(arrays, full))[: len(part)]
    return out.reshape(n, m)


WAYS: dict[str, Way] = {
    "mixture": Way(_fit_mixture, _score_mixture),
    "reranker": Way(_fit_learner, _score_learner),
}
"""Name of a way to re-rank → the way."""
