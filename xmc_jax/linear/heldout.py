"""Predictions for documents that a model was not trained on, and what is learned from them: probabilities, a re-ranker.

Training documents are held out of further trainings, including that of the tree: a tree that saw a document's labels
finds them better than one that did not (on wordnet, 2.98 points of calibration error at rank 1 with trees of their own,
4.15 with the tree of all documents). Labels that occur in no other document can be found by the whole model but not by
these, so they do not count as the documents' labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.calibrate import Calibration, fit_calibration
from xmc_jax.config import Config, LinearConfig, PrototypeConfig, choose_merge
from xmc_jax.errors import InputError
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
"""Trains all trees on some of the documents; names of stages begin with the second argument."""
_TRIED = 100
"""Number of documents for which the recall of the neighbour search is measured."""
_BOUNDED = ("average", "sigmoid_average", "softmax_average")
"""Combination rules that keep probabilities in [0, 1]."""


class Part(NamedTuple):
    """Documents held out of one training.

    Attributes:
        rest: numbers of the documents that were trained on.
        features: of B held-out documents.
        ranked: predictions of the model of the others.
        truth: CSR [B, L], those of their labels that occur in the others.
    """

    rest: np.ndarray
    features: Features
    ranked: Predictions
    truth: sp.csr_matrix


class Learned(NamedTuple):
    """The maps to probabilities and the re-ranker; None for what is not wanted."""

    calibration: Calibration | None = None
    reranker: Reranker | None = None


def deal_rows(n: int, share: float, folds: int, seed: int) -> list[np.ndarray]:
    """Returns the documents that are held out of each further training, ascending.

    Args:
        n: number of documents.
        share: share of the documents that is held out once.
        folds: number of parts that are all held out in turn; 0 for the share.
        seed: seed of the deal.
    """
    order = np.random.default_rng([seed, n]).permutation(n)
    parts = [order[i::folds] for i in range(min(folds, n))]
    parts = parts or [order[: max(1, round(share * n))]]
    return [np.sort(part) for part in parts if len(part) < n]


def choose_share(config: Config) -> tuple[float, int]:
    """Returns the share and the folds to hold out; (0, 0) if no setting asks for it."""
    if config.calibrate.holds_out:
        return config.calibrate.share or 0.0, config.calibrate.folds or 0
    return (config.rerank.share, 0) if config.rerank.mode != "off" else (0.0, 0)


def list_tuned(n: int, config: Config) -> np.ndarray | None:
    """Returns which of n documents an encoder is fine-tuned on, ascending; None: all, as with folds."""
    share, folds = choose_share(config)
    if folds or not share:
        return None
    (held,) = deal_rows(n, share, 0, config.seed) or [np.zeros(0, np.int64)]
    rest = np.setdiff1d(np.arange(n), held)
    return rest if len(held) and len(rest) else None


def split_once(n: int, config: Config) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns which of n documents to fine-tune an encoder on, and which to hold out; None: hold out none.

    Raises:
        InputError: folds are asked for, but the encoder is fine-tuned only once.
    """
    _, folds = choose_share(config)
    if folds:
        raise InputError(
            f"calibrate.folds={folds} given for an encoder that is fine-tuned on all documents; set "
            "calibrate.share, or give validation documents"
        )
    rest = list_tuned(n, config)
    return None if rest is None else (rest, np.setdiff1d(np.arange(n), rest))


def hold_out(
    config: LinearConfig,
    features: Features,
    labels: sp.csr_matrix,
    train_part: TrainPart,
    progress: Progress,
) -> list[Part]:
    """Returns predictions for held-out documents by models of the other documents.

    Args:
        config: all settings.
        features: features of the N training documents.
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
    """Returns what the settings ask for, fitted to held-out documents; probabilities are those of the re-ranker, if
    any.

    Args:
        config: all settings.
        features: of the N training documents.
        labels: [N, L].
        parts: held-out documents; their memory holds the documents that their model was trained on.
    """
    reranker, ranked = None, concatenate([part.ranked for part in parts])
    truth = sp.vstack([part.truth for part in parts], format="csr")
    settings = config.rerank
    if settings.mode != "off":
        held_out = []
        for part in parts:
            # The sample is spread over all, which are in the order of the training documents.
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
    """Returns whether a model's scores are in [0, 1]."""
    if isinstance(config, PrototypeConfig):
        return True
    kinds = config.search.post_processor
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    shares = all(POST_PROCESSORS[kind].is_probability for kind in kinds)
    return shares and (config.trees == 1 or config.combine in _BOUNDED)


def drop_labels(labels: sp.csr_matrix, known: np.ndarray) -> sp.csr_matrix:
    """Returns the labels [N, L] without those that are not `known`, bool [L]."""
    kept = known[labels.indices]
    ends = np.append(0, np.cumsum(kept))[labels.indptr]
    return sp.csr_matrix((labels.data[kept], labels.indices[kept], ends), labels.shape)


def fit_to(
    predictions: Predictions, truth: sp.csr_matrix, label_counts: np.ndarray, method: str
) -> Calibration:
    """Returns a calibration fitted to ranked labels of documents that the model was not trained on.

    Args:
        predictions: predictions for N documents.
        truth: their labels [N, L].
        label_counts: number of training positives of each label.
        method: see `fit_calibration`.
    """
    hits = find_hits(predictions.ids, truth)
    return fit_calibration(
        predictions.ids, predictions.scores, hits, np.diff(truth.indptr), label_counts, method
    )
