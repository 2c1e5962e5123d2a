"""The labels to re-rank, and what is known of each: from the model, the neighbours, and the other labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.rerank.votes import NEAR, Votes, find_votes, top_votes
from xmc_jax.types import PAD

FEATURES = (
    "log score",
    "rank",
    "gap to the first",
    "log score of the first",
    "log of all scores",
    "log frequency",
    "log vote of the nearest",
    "log vote of all neighbours",
    "rank by votes",
    "cosine of the nearest",
    "mean cosine",
    "cosine of the nearest with the label",
    "share of the label among neighbours",
    "log co-occurrence",
)
"""Columns of `describe_pool`."""
_LOWEST, _LAST, _TINY = 1e-4, 60, 1e-3
_PARTNERS = 8
"""Number of the model's first labels whose co-occurrence with a label counts."""
_MOST_PAIRS = 64
"""Pairs of labels per label of a document beyond which co-occurrence is not counted."""


class Known(NamedTuple):
    """What the model found for B documents.

    Attributes:
        ids: ranked labels, PAD in unused slots.
        scores: their scores.
    """

    ids: Int[np.ndarray, "B R"]
    scores: Float[np.ndarray, "B R"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the training labels say.

    Attributes:
        counts: number of training documents of each label [L].
        pair: ascending l · L + m of labels that occur together, including l = m; empty if there are too many.
        together: number of documents with both labels of a pair.
        shares: whether the model's scores lie in [0, 1].
    """

    counts: Int[np.ndarray, "L"]
    pair: Int[np.ndarray, "Z"]
    together: Float[np.ndarray, "Z"]
    shares: bool


def count_labels(labels: sp.csr_matrix, shares: bool) -> Statistics:
    """Counts the training labels [N, L] and their pairs."""
    n_labels, per_row = labels.shape[1], np.diff(labels.indptr).astype(np.int64)
    counts = np.bincount(labels.indices, minlength=n_labels)
    together = sp.csr_matrix((n_labels, n_labels), dtype=np.float32)
    if (per_row**2).sum() <= _MOST_PAIRS * max(labels.nnz, 1):
        ones = sp.csr_matrix(
            (np.ones(labels.nnz, np.float32), labels.indices, labels.indptr), labels.shape
        )
        together = sp.csr_matrix(ones.T @ ones)
        together.sort_indices()
    rows = np.repeat(np.arange(n_labels, dtype=np.int64), np.diff(together.indptr))
    return Statistics(counts, rows * n_labels + together.indices, together.data, shares)


def pool_labels(
    known: Known, votes: Votes, n_known: int, n_votes: int, allowed: np.ndarray | None = None
) -> Int[np.ndarray, "B M"]:
    """Returns the labels to re-rank: the model's first and those with the most votes, each once, PAD at the end.

    Args:
        known: what the model found.
        votes: the votes of the neighbours.
        n_known: number of labels taken from the model.
        n_votes: number of labels taken from each of the two votes.
        allowed: bool [L], the only labels allowed; None for all.
    """
    n = len(known.ids)
    parts = [known.ids[:, :n_known]]
    for values in (votes.near, votes.wide):
        named = top_votes(votes, values, n, n_votes)
        if allowed is not None:
            named = np.where((named != PAD) & allowed[named], named, PAD)
        parts.append(named)
    every = np.concatenate(parts, axis=1)
    every = np.where(every == PAD, votes.n_labels, every)
    every.sort(axis=1)
    every[:, 1:][every[:, 1:] == every[:, :-1]] = votes.n_labels
    every.sort(axis=1)
    width = max(1, int((every < votes.n_labels).sum(axis=1).max(initial=1)))
    return np.where(every == votes.n_labels, PAD, every)[:, :width].astype(np.int32)


def describe_pool(
    pool: Int[np.ndarray, "B M"],
    scores: Float[np.ndarray, "B M"],
    known: Known,
    votes: Votes,
    cosine: Float[np.ndarray, "B b"],
    statistics: Statistics,
) -> Float[np.ndarray, "B M F"]:
    """Returns the features of labels, float32; see `FEATURES`.

    Args:
        pool: the labels, PAD in unused slots.
        scores: the model's scores, nan where it gave none.
        known: its ranked labels.
        votes: the votes of the neighbours.
        cosine: the cosine of the neighbours.
        statistics: the statistics of the training labels.
    """
    there = known.ids != PAD
    level = _rescale(known.scores, there, statistics.shares)
    first = level[:, :1]
    mine = _rescale(scores, ~np.isnan(scores), statistics.shares)
    rank = (level[:, None, :] > mine[:, :, None]).sum(axis=2).astype(float)
    rank[np.isnan(scores)] = _LAST
    whole = np.log(np.where(there, np.exp(np.minimum(level, 30)), 0).sum(axis=1) + _TINY)[:, None]
    at = find_votes(votes, pool)
    near, wide, best, count = (
        np.where(at >= 0, np.append(v, 0)[at], 0)
        for v in (votes.near, votes.wide, votes.best, votes.voters)
    )
    frequency = statistics.counts[np.maximum(pool, 0)]
    by_votes = (wide[:, None, :] > wide[:, :, None]).sum(axis=2).astype(float)
    by_votes[at < 0] = _LAST
    columns = (
        mine,
        np.minimum(rank, _LAST),
        mine - first,
        first,
        whole,
        np.log1p(frequency),
        np.log(near + _TINY),
        np.log(wide + _TINY),
        by_votes,
        cosine[:, :1],
        cosine[:, :NEAR].mean(axis=1, keepdims=True),
        best,
        count / np.maximum(frequency, 1),
        _weigh_partners(pool, known, statistics),
    )
    return np.stack([np.broadcast_to(c, pool.shape) for c in columns], axis=-1).astype(np.float32)


def _rescale(scores: np.ndarray, there: np.ndarray, shares: bool) -> np.ndarray:
    """Returns log scores in [0, 1], or the scores as they are; the lowest where there is none."""
    if shares:
        return np.log(np.where(there, np.maximum(scores, 0), 0) + _LOWEST)
    low = np.where(there, scores, np.inf).min(axis=1, initial=0, keepdims=True)
    return np.where(there, scores, low - 1)


def _weigh_partners(pool: np.ndarray, known: Known, statistics: Statistics) -> np.ndarray:
    """Returns log Σ_j s_j P(label | j) / Σ_j s_j over the model's first labels j, other than the label itself."""
    if not len(statistics.pair):
        return np.zeros(pool.shape)
    partner = known.ids[:, :_PARTNERS]
    weight = np.where(partner != PAD, known.scores[:, :_PARTNERS].astype(float), 0)
    weight = np.maximum(weight - min(0.0, weight.min(initial=0)), 0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    row, column = np.maximum(partner, 0)[:, None, :], np.maximum(pool, 0)[:, :, None]
    wanted = row.astype(np.int64) * len(statistics.counts) + column
    # Pairs of one partner after the other lie close to each other, which the search is quicker for.
    at = np.searchsorted(statistics.pair, wanted.swapaxes(1, 2)).swapaxes(1, 2)
    at = np.minimum(np.ascontiguousarray(at), len(statistics.pair) - 1)
    both = np.where(statistics.pair[at] == wanted, statistics.together[at], 0)
    counts = statistics.counts[row].astype(float)
    share = np.where(row == column, 0, both / np.maximum(counts, 1))
    return np.log((share * weight[:, None, :]).sum(axis=2) + _TINY)
