"""Fits the ways to re-rank to held-out documents and chooses among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import RerankConfig
from xmc_jax.metrics import find_hits
from xmc_jax.rerank.memory import Memory, Pool, pool_all
from xmc_jax.rerank.pool import Known
from xmc_jax.rerank.reranker import Reranker, append_rest, sort_labels, to_share
from xmc_jax.rerank.ways import CUTS, WAYS
from xmc_jax.types import PAD, Features


class HeldOut(NamedTuple):
    """Documents that neither a model nor a memory has seen.

    Attributes:
        memory: memory of the other documents, those that the model was trained on.
        features: features of B documents.
        known: what the model found for them.
        truth: their labels, CSR [B, L].
    """

    memory: Memory
    features: Features
    known: Known
    truth: sp.csr_matrix


def fit_reranker(
    memory: Memory, config: RerankConfig, parts: Sequence[HeldOut], seed: int
) -> tuple[Reranker, Known]:
    """Fits the ways to re-rank to held-out documents and chooses one.

    Each half of the documents is re-ranked by what was fitted to the other half, so that a way is chosen by documents
    that it did not see, and probabilities can be fitted to the rankings.

    Args:
        memory: memory of the training set, for the re-ranker.
        config: settings.
        parts: held-out documents.
        seed: seed of the split into halves.

    Returns:
        The re-ranker, fitted to all documents, and the documents as re-ranked by what was fitted to the other half.
    """
    pool = _join(
        pool
        for part in parts
        for _, pool in pool_all(part.memory, config, part.features, part.known)
    )
    known = Known(
        *(np.concatenate(arrays) for arrays in zip(*(p.known for p in parts), strict=True))
    )
    truth = sp.vstack([part.truth for part in parts], format="csr")
    hits, (n, width) = find_hits(pool.ids, truth), known.ids.shape
    half = np.random.default_rng([seed, n]).permutation(n) % 2 == 0
    ranked, told = {"off": known}, {"off": _tell(known, truth)}
    ways = [config.mode] if config.mode in WAYS else list(WAYS)
    base = Reranker(config, "off", memory, {}, {})
    for way in ways:
        ids, scores = np.full((n, width), PAD, np.int32), np.zeros((n, width), np.float32)
        for fitted, scored in ((half, ~half), (~half, half)):
            arrays = WAYS[way].fit(config, _take(pool, fitted), hits[fitted])
            part = Known(known.ids[scored], known.scores[scored])
            margin = replace(base, mode=way, arrays=arrays).score(_take(pool, scored))
            best = sort_labels(pool.ids[scored], to_share(margin))
            found = append_rest(best, part, width)
            ids[scored, : found.ids.shape[1]], scores[scored, : found.ids.shape[1]] = found
        ranked[way], told[way] = Known(ids, scores), _tell(Known(ids, scores), truth)
    chosen = choose_way(told) if config.mode == "auto" else config.mode
    arrays = {} if chosen == "off" else WAYS[chosen].fit(config, pool, hits)
    note = {"chosen": chosen, "documents": n, "held out": told}
    return Reranker(config, chosen, memory, arrays, note), ranked[chosen]


def choose_way(told: dict[str, dict[str, float]]) -> str:
    """Returns the way with the largest mean of P@1, 3 and 5 among those nowhere below the plain model."""
    plain = told["off"]
    fair = [w for w, t in told.items() if all(t[k] >= plain[k] for k in plain)]
    return max(fair, key=lambda way: sum(told[way].values()))


def _tell(known: Known, truth: sp.csr_matrix) -> dict[str, float]:
    hits = find_hits(known.ids, truth)
    n = max(1, len(hits))
    return {f"P@{k}": 100 * float(hits[:, :k].sum()) / (k * n) for k in CUTS}


def _take(pool: Pool, rows: np.ndarray) -> Pool:
    return Pool(pool.ids[rows], pool.features[rows])


def _join(pools: Iterator[Pool]) -> Pool:
    """Returns the pools of consecutive documents as one."""
    every = list(pools)
    width = max(p.ids.shape[1] for p in every)
    return Pool(
        np.concatenate([_widen(p.ids, width, PAD) for p in every]),
        np.concatenate([_widen(p.features, width, 0) for p in every]),
    )


def _widen(array: np.ndarray, width: int, value: int) -> np.ndarray:
    pad = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, pad, constant_values=value)
