"""What a model says of documents that it was not trained on: training documents, by levels trained without them.

The trees stay, so a part costs one training of their levels. Labels that occur in no other document cannot be found
there, as they can by the whole model: they do not count as the documents' labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from xmc_jax.calibrate import Calibration, fit_calibration
from xmc_jax.config import CalibrateConfig, LinearConfig, choose_merge
from xmc_jax.metrics import find_hits
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.predict import Predictions, find_depth, predict_forest
from xmc_jax.predict.predictions import concatenate
from xmc_jax.types import Features, Progress

Retrain = Callable[[LabelTree, np.ndarray, str], XRModel]
"""Trains all levels of a tree on some of the documents; the stages' names begin with the third."""


def deal_rows(n: int, config: CalibrateConfig, seed: int) -> list[np.ndarray]:
    """Returns the documents that are held out of each further training, ascending.

    Args:
        n: documents.
        config: `share` or `folds`.
        seed: of the deal.
    """
    order = np.random.default_rng([seed, n]).permutation(n)
    if config.folds:
        parts = [order[i :: config.folds] for i in range(min(config.folds, n))]
    else:
        parts = [order[: max(1, round(config.share * n))]]
    return [np.sort(part) for part in parts if len(part) < n]


def rank_held_out(
    config: LinearConfig,
    models: Sequence[XRModel],
    features: Features,
    labels: sp.csr_matrix,
    retrain: Retrain,
    progress: Progress,
) -> tuple[Predictions, sp.csr_matrix, np.ndarray]:
    """Returns the ranked labels of held-out documents, which labels they have, and their numbers.

    Args:
        config: all settings.
        models: of the trees.
        features: of the N training documents.
        labels: [N, L].
        retrain: see `Retrain`.
        progress: told about the work.
    """
    parts, truths, rows = [], [], []
    search = replace(config.search, top_k=find_depth(models, config.search, config.calibrate.depth))
    held_out = deal_rows(len(features), config.calibrate, config.seed)
    for i, part in enumerate(held_out):
        name = f"held-out part {i + 1} of {len(held_out)}"
        rest = np.setdiff1d(np.arange(len(features)), part, assume_unique=True)
        other = [
            retrain(m.tree, rest, f"{name}, tree {t + 1}" if len(models) > 1 else name)
            for t, m in enumerate(models)
        ]
        parts.append(
            predict_forest(
                other,
                features[part],
                search,
                rule=config.combine,
                merge=choose_merge(config),
                progress=progress,
            )
        )
        known = np.bincount(labels[rest].indices, minlength=labels.shape[1]) > 0
        truths.append(drop_labels(labels[part], known))
        rows.append(part)
    return concatenate(parts), sp.vstack(truths, format="csr"), np.concatenate(rows)


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
