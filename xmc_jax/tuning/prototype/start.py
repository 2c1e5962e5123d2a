"""From vectors to the head to train, and from the trained head to the prototypes that predict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from xmc_jax.config import HeadConfig
from xmc_jax.features import normalize_rows
from xmc_jax.model import Prototypes, make_prototypes
from xmc_jax.model.prototypes import Scores
from xmc_jax.tuning.prototype.head import PrototypeHead, cut_labels, join_labels, start_head
from xmc_jax.tuning.prototype.rules import RULES
from xmc_jax.tuning.prototype.sums import LabelSums, sum_labels

_SAMPLE = 1000
"""Number of documents by which the level of a `bce` head's biases is chosen."""
_LEVELS = -60.0, 20.0

SCORES: dict[str, Scores] = {"decoupled": "share", "softmax": "share", "bce": "sigmoid"}
"""Loss → how logits become scores."""


def begin_head(
    labels: sp.csr_matrix,
    documents: Float[np.ndarray, "N H"],
    texts: Float[np.ndarray, "L H"] | None,
    config: HeadConfig,
    seed: int,
) -> PrototypeHead:
    """Returns the head before the first update (host arrays).

    Args:
        labels: the positives, CSR [N, L].
        documents: the documents' vectors, norm 1.
        texts: the vectors of the labels' texts, 0 for a label without one; None: no label has one.
        config: settings.
        seed: the seed of random rows.
    """
    sums = begin_sums(labels, documents, texts, config, seed)
    bias = _begin_bias(labels, documents, sums.rows, config)
    # A label without documents could only be a negative.
    trained = labels.getnnz(axis=0) > 0
    return start_head(
        sums.rows,
        np.where(trained, bias, -np.inf),
        sums.inverse if config.leave_out else np.zeros_like(sums.inverse),
        RULES[config.optimizer],
        chunk=0 if config.chunk == "auto" else config.chunk,
        dtype=np.dtype(config.precision),
    )


def begin_sums(
    labels: sp.csr_matrix,
    documents: Float[np.ndarray, "N H"],
    texts: Float[np.ndarray, "L H"] | None,
    config: HeadConfig,
    seed: int,
) -> LabelSums:
    """Returns the initial directions of the prototypes, by `head.start`."""
    return STARTS[config.start](labels, documents, texts, config, seed)


def _start_sums(
    labels: Any, documents: Any, texts: Any, config: HeadConfig, seed: int
) -> LabelSums:
    del seed
    return sum_labels(labels, documents, texts, config.text_weight)


def _start_texts(
    labels: Any, documents: Any, texts: Any, config: HeadConfig, seed: int
) -> LabelSums:
    del seed
    none = sp.csr_matrix((1, labels.shape[1]), dtype=np.float32)
    named = sum_labels(none, documents[:1], texts, config.text_weight)
    return named._replace(inverse=np.zeros_like(named.inverse))


def _start_random(
    labels: Any, documents: Any, texts: Any, config: HeadConfig, seed: int
) -> LabelSums:
    del texts, config
    shape = labels.shape[1], documents.shape[1]
    rows = np.random.default_rng((seed, 7)).standard_normal(shape, dtype=np.float32)
    return LabelSums(normalize_rows(rows), np.zeros(len(rows), np.float32))


STARTS = {"sums": _start_sums, "texts": _start_texts, "random": _start_random}


def refresh_rows(
    head: PrototypeHead,
    labels: sp.csr_matrix,
    old: tuple[np.ndarray, np.ndarray | None],
    new: tuple[np.ndarray, np.ndarray | None],
    config: HeadConfig,
    seed: int,
) -> PrototypeHead:
    """Returns the head with its sums replaced; what training has added stays (host arrays).

    Args:
        head: the current head.
        labels: the positives.
        old, new: the previous and current (vectors of documents, vectors of texts).
        config, seed: as in `begin_head`.
    """
    before = begin_sums(labels, old[0], old[1], config, seed)
    after = begin_sums(labels, new[0], new[1], config, seed)
    size = head.rows.shape[1]
    moved = cut_labels(after.rows - before.rows, size)
    rows = np.asarray(head.rows, np.float32) + moved
    inverse = cut_labels(after.inverse, size) if config.leave_out else head.inverse
    return replace(head, rows=rows.astype(head.rows.dtype), inverse=inverse)


def finish_head(
    head: PrototypeHead,
    labels: sp.csr_matrix,
    documents: Float[np.ndarray, "N H"],
    texts: Float[np.ndarray, "L H"] | None,
    config: HeadConfig,
    seed: int,
) -> Prototypes:
    """Returns the prototypes that predict (host arrays).

    If the start uses texts, a label without documents is predicted from its text as if it had the number of documents
    that `expect_unseen` returns; one without either cannot be predicted.
    """
    del documents, seed
    n_labels = labels.shape[1]
    rows = np.asarray(join_labels(np.asarray(head.rows), n_labels), np.float32)
    bias = join_labels(np.asarray(head.bias), n_labels)
    has_text = np.zeros(n_labels, bool)
    if texts is not None and config.start != "random":
        has_text = np.asarray(texts.any(axis=1))
    counts = labels.getnnz(axis=0)
    level = find_level(bias, counts, config)
    bias = settle_bias(bias, counts, has_text, level, config)
    return make_prototypes(rows, bias, config.scale, SCORES[config.loss])


def find_level(
    bias: Float[np.ndarray, "L"], counts: Int[np.ndarray, "L"], config: HeadConfig
) -> float:
    """Returns what a label's bias is beside prior · log n: 0, but for `bce`, whose biases have a level."""
    trained = counts > 0
    if config.loss != "bce" or not trained.any():
        return 0.0
    return float(np.median(bias[trained] - config.prior * np.log(counts[trained])))


def settle_bias(
    bias: Float[np.ndarray, "L"],
    counts: Int[np.ndarray, "L"],
    has_text: Bool[np.ndarray, "L"],
    level: float,
    config: HeadConfig,
) -> Float[np.ndarray, "L"]:
    """Returns biases with those of the labels without documents: of a text as if they had as many as `expect_unseen`
    says, of nothing −∞.

    Args:
        bias: of the labels with documents.
        counts: documents of each label.
        has_text: whether a label without documents can be predicted from its text.
        level: of `find_level`.
        config: settings.
    """
    trained = counts > 0
    zero_shot = ~trained & has_text
    expected = config.unseen
    if expected == "auto":
        expected = expect_unseen(counts, int(zero_shot.sum()))
    unseen = np.where(zero_shot, level + config.prior * np.log(expected), -np.inf)
    return np.where(trained, bias, unseen)


def expect_unseen(counts: Int[np.ndarray, "L"], n_unseen: int) -> float:
    """Returns how many documents a label without any is expected to have in a set of the same size.

    The Good-Turing estimate (Good 1953) is the number of labels with one document divided by the number without. It
    assumes that these are missing by chance; a few labels known to be new would get a large number, so it is limited to
    the mean of the others.

    Args:
        counts: the number of training documents of each label.
        n_unseen: the number of labels without documents that can be predicted.
    """
    seen = counts[counts > 0]
    if not n_unseen or not len(seen):
        return 1.0
    return float(np.clip((counts == 1).sum() / n_unseen, 1 / n_unseen, seen.mean()))


def _begin_bias(
    labels: sp.csr_matrix, documents: np.ndarray, rows: np.ndarray, config: HeadConfig
) -> Float[np.ndarray, "L"]:
    """Returns prior · log n, for `bce` shifted so that a document's probabilities sum to its mean number of labels."""
    counts = labels.getnnz(axis=0)
    bias = config.prior * np.log(np.maximum(counts, 1))
    if config.loss != "bce":
        return bias
    trained = counts > 0
    sample = documents[:_SAMPLE]
    logits = config.scale * sample @ rows[trained].T + bias[trained][None]
    wanted = labels.nnz / labels.shape[0]
    low, high = _LEVELS
    for _ in range(40):
        middle = (low + high) / 2
        found = (1 / (1 + np.exp(-np.clip(logits + middle, -80, 80)))).sum(axis=1).mean()
        low, high = (middle, high) if found < wanted else (low, middle)
    return bias + middle
