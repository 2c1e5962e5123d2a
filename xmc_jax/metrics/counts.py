"""Counts of batches of documents: whole numbers, which add up over batches.

A `Tally` names the cells that a batch counts into; a metric is a function of such counts only, so that batching and the
order of documents change no digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from xmc_jax.metrics.truth import RankedRows, Reading, find_hits, rank_rows
from xmc_jax.types import PAD


@dataclass(frozen=True)
class Batch:
    """Predictions and truth of N documents.

    Attributes:
        reading: ids [N, R], confidences [N, R] or None, and the true labels [N, L].
        inverse: inverse propensity of each label [L], or None.
        drop_unlabelled: whether documents without true labels are left out of means over documents.

    Raises:
        InputError: as `find_hits`.
    """

    reading: Reading
    inverse: Float[np.ndarray, "L"] | None = None
    drop_unlabelled: bool = False

    @cached_property
    def hits(self) -> Bool[np.ndarray, "N R"]:
        return find_hits(self.reading.ids, self.reading.truth)

    @cached_property
    def n_true(self) -> Int[np.ndarray, "N"]:
        return np.diff(self.reading.truth.indptr).astype(np.int64)

    @cached_property
    def counted(self) -> Bool[np.ndarray, "N"]:
        return (self.n_true > 0) | (not self.drop_unlabelled)

    @cached_property
    def best(self) -> RankedRows:
        """The true labels of every document, largest inverse propensity first."""
        assert self.inverse is not None
        truth = self.reading.truth
        weights = self.inverse[truth.indices], truth.indices, truth.indptr
        return rank_rows(sp.csr_matrix(weights, truth.shape))


@dataclass(frozen=True)
class Tally:
    """Counts of one kind.

    Attributes:
        cells: (batch, k) -> the cells, whole numbers of 0 or more, to which the batch adds 1; k is the number of
            results looked at, None for all of them.
        per_label: whether cells are label ids, so that the sum is an array [L]; otherwise it is `Cells`.
        at_k: whether k makes a difference.
        needs: what the batch must have: "", "inverse" or "confidence".
    """

    cells: Callable[[Batch, int | None], np.ndarray]
    per_label: bool = False
    at_k: bool = True
    needs: str = ""


@dataclass(frozen=True)
class Cells:
    """The cells that were counted into, ascending, and their counts."""

    cells: np.ndarray
    counts: np.ndarray

    def add(self, cells: np.ndarray) -> Cells:
        new, counts = np.unique(cells, return_counts=True)
        if len(self.cells) == len(new) and (self.cells == new).all():
            return Cells(new, self.counts + counts)
        joined, at = np.unique(np.concatenate([self.cells, new]), return_inverse=True)
        total = np.zeros(len(joined), np.int64)
        np.add.at(total, at, np.concatenate([self.counts, counts]))
        return Cells(joined, total)


NOTHING = Cells(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _count_documents(batch: Batch, k: int | None) -> np.ndarray:
    return np.zeros(int(batch.counted.sum()), np.int64)


def _hit_sizes(batch: Batch, k: int | None) -> np.ndarray:
    return np.repeat(batch.n_true, batch.hits[:, :k].sum(axis=1))


def _hit_ranks(batch: Batch, k: int | None) -> np.ndarray:
    rows, ranks = np.nonzero(batch.hits[:, :k])
    return batch.n_true[rows] * _width(batch, k) + ranks


def _true(batch: Batch, k: int | None) -> np.ndarray:
    return batch.reading.truth.indices


def _found(batch: Batch, k: int | None) -> np.ndarray:
    return batch.reading.ids[:, :k][batch.hits[:, :k]]


def _predicted(batch: Batch, k: int | None) -> np.ndarray:
    top = batch.reading.ids[:, :k]
    return top[top != PAD]


def _best(batch: Batch, k: int | None) -> np.ndarray:
    return batch.best.columns[batch.best.ranks < _width(batch, k)]


def _row_scores(batch: Batch, k: int | None) -> np.ndarray:
    hits = batch.hits[:, :k].sum(axis=1)
    parts = (batch.reading.ids[:, :k] != PAD).sum(axis=1) + batch.n_true
    return ((parts << 32) + hits)[batch.counted]


def _pairs(batch: Batch, k: int | None) -> np.ndarray:
    assert batch.reading.confidence is not None
    used = batch.reading.ids[:, :k] != PAD
    values = np.ascontiguousarray(batch.reading.confidence[:, :k][used], np.float32) + 0.0
    # The bits of a float32 of 0 or more, read as a whole number, grow with it.
    return values.view(np.int32).astype(np.int64) * 2 + batch.hits[:, :k][used]


def _ranked_hits(batch: Batch, k: int | None) -> np.ndarray:
    rows, ranks = np.nonzero(batch.hits[:, :k])
    return _pack(batch.reading.ids[rows, ranks], ranks, batch.n_true[rows], _width(batch, k))


def _ranked_best(batch: Batch, k: int | None) -> np.ndarray:
    kept = batch.best.ranks < (width := _width(batch, k))
    columns, ranks, rows = batch.best.columns[kept], batch.best.ranks[kept], batch.best.rows[kept]
    return _pack(columns, ranks, batch.n_true[rows], width)


def _pack(labels: np.ndarray, ranks: np.ndarray, n_true: np.ndarray, k: int) -> np.ndarray:
    return (labels.astype(np.int64) * k + ranks) * (k + 1) + np.minimum(n_true, k)


def unpack(cells: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns label, rank and min(true labels, k) of the cells of `RANKED_HITS` and `RANKED_BEST`."""
    labels_ranks, sizes = np.divmod(cells, k + 1)
    return (*np.divmod(labels_ranks, k), sizes)


def _width(batch: Batch, k: int | None) -> int:
    return batch.reading.ids.shape[1] if k is None else k


DOCUMENTS = Tally(_count_documents, at_k=False)
"""Documents, in cell 0."""
HIT_SIZES = Tally(_hit_sizes)
"""Hits by their document's number of true labels."""
HIT_RANKS = Tally(_hit_ranks)
"""Hits by number of true labels · k + rank from 0."""
TRUE = Tally(_true, per_label=True, at_k=False)
FOUND = Tally(_found, per_label=True)
PREDICTED = Tally(_predicted, per_label=True)
BEST = Tally(_best, per_label=True, needs="inverse")
"""How often a label is among the k true ones of a document with the largest inverse propensities."""
ROW_SCORES = Tally(_row_scores)
"""Documents by (predicted + true labels) · 2^32 + hits."""
PAIRS = Tally(_pairs, needs="confidence")
"""Predicted pairs by (bits of the confidence) · 2 + (1 for a hit)."""
RANKED_HITS = Tally(_ranked_hits)
RANKED_BEST = Tally(_ranked_best, needs="inverse")
