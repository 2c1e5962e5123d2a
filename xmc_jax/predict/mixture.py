"""Combines scores of several sources by a weighted sum, with the weights that rank held-out documents best.

A source is the output of one part of a model for some documents: a matrix of scores in [0, 1], CSR [N, L], of the
labels that it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.metrics import evaluate
from xmc_jax.predict.predictions import Predictions
from xmc_jax.types import PAD

_CUTS = (1, 3, 5)
_STEPS = 10
"""Weights are multiples of one over this number."""


def mix_scores(sources: Sequence[sp.csr_matrix], weights: Sequence[float]) -> sp.csr_matrix:
    """Returns Σ weight · source; labels that no source with a positive weight finds are absent.

    Raises:
        InputError: different numbers of weights and sources, negative weights, or sources of different shapes.
    """
    if len(sources) != len(weights) or not sources:
        raise InputError(
            f"{len(weights)} weights given for {len(sources)} sources, one each needed"
        )
    if min(weights) < 0 or not max(weights) > 0:
        raise InputError(f"weights {tuple(weights)} given, numbers of 0 or more, not all 0, needed")
    shapes = {source.shape for source in sources}
    if len(shapes) > 1:
        raise InputError(f"sources of shapes {sorted(shapes)} given, one shape needed")
    mixed = sp.csr_matrix(next(iter(shapes)), dtype=np.float32)
    for source, weight in zip(sources, weights, strict=True):
        if weight:
            mixed = mixed + source.astype(np.float32) * np.float32(weight)
    return mixed.tocsr()


def rank_scores(
    scores: sp.csr_matrix, top_k: int, label_names: Sequence[str] | None = None
) -> Predictions:
    """Returns the best labels of each row; among equal scores, the smaller label comes first."""
    n, n_labels = scores.shape
    ids = np.full((n, top_k), PAD, np.int32)
    values = np.zeros((n, top_k), np.float32)
    row = np.repeat(np.arange(n), np.diff(scores.indptr))
    order = np.lexsort((scores.indices, -scores.data, row))
    place = np.arange(scores.nnz) - np.repeat(scores.indptr[:-1], np.diff(scores.indptr))
    kept = place < top_k
    at = row[kept], place[kept]
    ids[at], values[at] = scores.indices[order][kept], scores.data[order][kept]
    return Predictions(ids, values, label_names, n_labels)


def choose_weights(
    sources: Sequence[sp.csr_matrix], truth: sp.csr_matrix
) -> tuple[tuple[float, ...], float]:
    """Returns the weights, with sum 1, that give held-out documents the highest mean of P@1, P@3 and P@5, and this
    mean.

    All multiples of a tenth are tried, since a few numbers are chosen by many documents. Among equal results, earlier
    sources get larger weights.

    Args:
        sources: scores [N, L] of documents that none of the sources was trained on.
        truth: their labels [N, L].
    """
    best: tuple[float, tuple[float, ...]] | None = None
    cuts = [k for k in _CUTS if k <= truth.shape[1]]
    for weights in _list_weights(len(sources)):
        predictions = rank_scores(mix_scores(sources, weights), max(cuts))
        report = evaluate(predictions, truth, k=cuts)
        score = float(np.mean([report[f"P@{k}"] for k in cuts]))
        if best is None or score > best[0]:
            best = score, weights
    assert best is not None
    return best[1], best[0]


def _list_weights(n: int) -> Iterator[tuple[float, ...]]:
    for parts in product(range(_STEPS, -1, -1), repeat=n):
        if sum(parts) == _STEPS:
            yield tuple(part / _STEPS for part in parts)
