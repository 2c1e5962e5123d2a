"""What a model says of documents that it was not trained on, and what is learned from it: probabilities, a re-ranker.

Training documents are held out of further trainings, tree and all: a tree that saw a document's labels leads to them
better than one that did not (wordnet: 2.98 points of calibration error at rank 1 with trees of their own, 4.15 with
that of all documents). Labels that occur in no other document cannot be found there, as they can by the whole model:
they do not count as the documents' labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.calibrate import Calibration, fit_calibration
from xmc_jax.config import Config, LinearConfig, PrototypeConfig, choose_merge
from xmc_jax.metrics import find_hits
from xmc_jax.model import XRModel
from xmc_jax.predict import Predictions, find_depth, predict_forest
from xmc_jax.predict.predictions import concatenate
from xmc_jax.rerank import (
    HeldOut,
    Known,
    Memory,
    Reranker,
    fit_reranker,
    make_keys,
    make_memory,
    measure_recall,
)
from xmc_jax.scores import POST_PROCESSORS
from xmc_jax.types import Features, Progress

TrainPart = Callable[[np.ndarray, str], Sequence[XRModel]]
"""Trains all trees on some of the documents; the stages' names begin with the second."""
_TRIED = 100
"""Documents that the recall of the neighbour search is measured with."""
_BOUNDED = ("average", "sigmoid_average", "softmax_average")
"""Combination rules whose scores of probabilities lie in [0, 1]."""


class Part(NamedTuple):
    """Documents held out of one training.

    Attributes:
        rest: numbers of those that were not.
        features: of B held-out documents.
        ranked: what the model of the others found.
        truth: CSR [B, L], their labels that occur in the others.
    """

    rest: np.ndarray
    features: Features
    ranked: Predictions
    truth: sp.csr_matrix


class Learned(NamedTuple):
    """The maps to probabilities and the re-ranker; None of what is not wanted."""

    calibration: Calibration | None = None
    reranker: Reranker | None = None


def deal_rows(n: int, share: float, folds: int, seed: int) -> list[np.ndarray]:
    """Returns the documents that are held out of each further training, ascending.

    Args:
        n: documents.
        share: of the documents, held out once.
        folds: parts that are held out in turn, all of them; 0: the share.
        seed: of the deal.
    """
    order = np.random.default_rng([seed, n]).permutation(n)
    parts = [order[i::folds] for i in range(min(folds, n))]
    parts = parts or [order[: max(1, round(share * n))]]
    return [np.sort(part) for part in parts if len(part) < n]


def choose_share(config: Config) -> tuple[float, int]:
    """Returns the share and the folds to hold out; (0, 0) where nothing asks for it."""
    if config.calibrate.holds_out:
        return config.calibrate.share or 0.0, config.calibrate.folds or 0
    return (config.rerank.share, 0) if config.rerank.mode != "off" else (0.0, 0)


def hold_out(
    config: LinearConfig,
    features: Features,
    labels: sp.csr_matrix,
    train_part: TrainPart,
    progress: Progress,
) -> list[Part]:
    """Returns what models of the other documents say of the documents held out.

    Args:
        config: all settings.
        features: of the N training documents.
        labels: [N, L].
        train_part: see `TrainPart`.
        progress: told about the work.
    """
    dealt = deal_rows(len(features), *choose_share(config), config.seed)
    parts = []
    for i, rows in enumerate(dealt):
        rest = np.setdiff1d(np.arange(len(features)), rows, assume_unique=True)
        models = train_part(rest, f"held-out part {i + 1} of {len(dealt)}")
        depth = max(config.calibrate.depth, config.rerank.candidates)
        search = replace(config.search, top_k=find_depth(models, config.search, depth))
        ranked = predict_forest(
            models,
            features[rows],
            search,
            rule=config.combine,
            merge=choose_merge(config),
            progress=progress,
        )
        known = np.bincount(labels[rest].indices, minlength=labels.shape[1]) > 0
        parts.append(Part(rest, features[rows], ranked, drop_labels(labels[rows], known)))
    return parts


def learn_answers(
    config: Config, features: Features, labels: sp.csr_matrix, parts: Sequence[Part]
) -> Learned:
    """Returns what the settings ask for, fitted to held-out documents; the probabilities are those of the re-ranker.

    Args:
        config: all settings.
        features: of the N training documents.
        labels: [N, L].
        parts: held-out documents; their memory is that of the documents that their model was trained on.
    """
    reranker, ranked = None, concatenate([part.ranked for part in parts])
    truth = sp.vstack([part.truth for part in parts], format="csr")
    settings = config.rerank
    if settings.mode != "off":
        held_out = []
        for part in parts:
            # Spread over them all: they are in the order of the training documents.
            n = min(len(part.ranked), max(2, settings.most // len(parts)))
            rows = np.linspace(0, len(part.ranked) - 1, n).astype(int)
            known = Known(part.ranked.ids[rows], part.ranked.scores[rows])
            memory = remember(config, features[part.rest], labels[part.rest])
            held_out.append(HeldOut(memory, part.features[rows], known, part.truth[rows]))
        whole = remember(config, features, labels)
        first = parts[0]
        tried = first.features[np.linspace(0, len(first.ranked) - 1, _TRIED).astype(int)]
        recall = measure_recall(
            features[first.rest], tried, settings.neighbours, settings.rare_share
        )
        reranker, found = fit_reranker(whole, settings, held_out, config.seed)
        told = reranker.told | {"neighbour recall": recall}
        reranker = replace(reranker, told=told)
        ranked = Predictions(*found, None, labels.shape[1])
        truth = sp.vstack([part.truth for part in held_out], format="csr")
    if config.calibrate.method == "none":
        return Learned(None, reranker)
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    return Learned(fit_to(ranked, truth, counts, config.calibrate.method), reranker)


def remember(config: Config, features: Features, labels: sp.csr_matrix) -> Memory:
    """Returns the memory of some training documents."""
    return make_memory(make_keys(features, config.rerank.rare_share), labels, _gives_shares(config))


def _gives_shares(config: Config) -> bool:
    """Returns whether a model's scores lie in [0, 1]."""
    if isinstance(config, PrototypeConfig):
        return True
    kinds = config.search.post_processor
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    shares = all(POST_PROCESSORS[kind].is_probability for kind in kinds)
    return shares and (config.trees == 1 or config.combine in _BOUNDED)


def drop_labels(labels: sp.csr_matrix, known: np.ndarray) -> sp.csr_matrix:
    """Returns the labels [N, L] without those that are not known, a bool [L]."""
    kept = known[labels.indices]
    ends = np.append(0, np.cumsum(kept))[labels.indptr]
    return sp.csr_matrix((labels.data[kept], labels.indices[kept], ends), labels.shape)


def fit_to(
    predictions: Predictions, truth: sp.csr_matrix, label_counts: np.ndarray, method: str
) -> Calibration:
    """Returns the calibration of ranked labels of documents that the model was not trained on.

    Args:
        predictions: of N documents.
        truth: their labels [N, L].
        label_counts: training positives of each label.
        method: see `fit_calibration`.
    """
    hits = find_hits(predictions.ids, truth)
    return fit_calibration(
        predictions.ids, predictions.scores, hits, np.diff(truth.indptr), label_counts, method
    )
