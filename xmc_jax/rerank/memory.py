"""The training set as it is searched, and the pools of labels that it gives documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import RerankConfig
from xmc_jax.rerank.neighbours import Keys, find_neighbours
from xmc_jax.rerank.pool import Known, Statistics, count_labels, describe_pool, pool_labels
from xmc_jax.rerank.votes import Votes, count_votes
from xmc_jax.types import PAD, Features

_ROWS = 512


@dataclass(frozen=True, eq=False)
class Memory:
    """The training set as it is searched.

    Attributes:
        keys: what its documents are found by.
        labels: their labels, CSR [N, L].
        statistics: statistics of the labels.
    """

    keys: Keys
    labels: sp.csr_matrix
    statistics: Statistics

    @property
    def n_bytes(self) -> int:
        pairs = 12 * len(self.statistics.pair)
        return self.keys.n_bytes + 4 * self.labels.nnz + pairs


class Pool(NamedTuple):
    """Labels to re-rank [B, M], followed by PAD, and their features [B, M, F]."""

    ids: Int[np.ndarray, "B M"]
    features: Float[np.ndarray, "B M F"]


def make_memory(keys: Keys, labels: sp.csr_matrix, shares: bool) -> Memory:
    """Returns the memory of training documents; `shares`: the model's scores lie in [0, 1]."""
    return Memory(keys, labels, count_labels(labels, shares))


def pool_all(
    memory: Memory,
    config: RerankConfig,
    features: Features,
    known: Known,
    allowed: np.ndarray | None = None,
) -> Iterator[tuple[slice, Pool]]:
    """Yields the labels to re-rank and their features, one block of documents at a time.

    Args:
        memory: the training set.
        config: settings.
        features: features of B documents.
        known: what the model found for them.
        allowed: bool [L], the only labels allowed; None for all.
    """

    def choose(part: Known, votes: Votes) -> np.ndarray:
        return pool_labels(part, votes, config.candidates, config.votes, allowed)

    for start in range(0, len(features), _ROWS):
        rows = slice(start, min(start + _ROWS, len(features)))
        part = Known(known.ids[rows], known.scores[rows])
        yield rows, describe_labels(memory, config, features[rows], part, choose)


def describe_labels(
    memory: Memory,
    config: RerankConfig,
    features: Features,
    known: Known,
    choose: Callable[[Known, Votes], Int[np.ndarray, "B M"]],
) -> Pool:
    """Returns labels and their features.

    Args:
        memory: the training set.
        config: settings.
        features: features of B documents.
        known: what the model found for them.
        choose: the labels, by what the model and the neighbours say.
    """
    # As many of the model's labels as there were when this was fitted: features are relative to all of them.
    known = Known(known.ids[:, : config.candidates], known.scores[:, : config.candidates])
    near, cosine = find_neighbours(memory.keys, features, config.neighbours)
    votes = count_votes(near, cosine, memory.labels)
    ids = choose(known, votes)
    scores = match_scores(ids, known)
    return Pool(ids, describe_pool(ids, scores, known, votes, cosine, memory.statistics))


def match_scores(pool: Int[np.ndarray, "B M"], known: Known) -> Float[np.ndarray, "B M"]:
    """Returns the model's scores of labels, nan where it gave none."""
    same = (pool[:, :, None] == known.ids[:, None, :]) & (pool != PAD)[:, :, None]
    at = same.argmax(axis=2)
    score = np.take_along_axis(known.scores, at, axis=1)
    return np.where(same.any(axis=2), score, np.nan)


def pad_rows(asked: sp.csr_matrix) -> Int[np.ndarray, "B M"]:
    """Returns the stored labels of each row, PAD behind them."""
    counts = np.diff(asked.indptr)
    used = np.arange(max(1, int(counts.max(initial=0))))[None, :] < counts[:, None]
    ids = np.full(used.shape, PAD, np.int32)
    ids[used] = asked.indices
    return ids
