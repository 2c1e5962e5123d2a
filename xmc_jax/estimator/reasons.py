"""Why a trained model gives labels to a document, or does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.config import choose_merge
from xmc_jax.data import tell_label
from xmc_jax.explain import (
    Explanation,
    Neighbour,
    Path,
    Reason,
    Step,
    merge_paths,
    read_row,
    say_verdict,
    sum_terms,
    trace,
)
from xmc_jax.features import Vectorizer
from xmc_jax.model import Prototypes
from xmc_jax.predict import Asked, Predictions
from xmc_jax.rerank import FEATURES, Known, find_neighbours
from xmc_jax.types import PAD, Features

if TYPE_CHECKING:
    from xmc_jax.estimator.linear import XRLinear
    from xmc_jax.estimator.prototype import PrototypeModel

_NEIGHBOURS = 5
_NAMED = 3
"""Number of labels that a cluster is named by."""


def explain(
    model: XRLinear,
    features: Features,
    text: str,
    labels: Sequence[int] | None,
    vectorizer: Vectorizer | None,
    *,
    top_k: int,
    beam: int | None,
    n_terms: int,
    ranker: Any = None,
    mixed: Callable[[int, float], float] = lambda label, score: score,
) -> Explanation:
    """Returns reasons for labels of one document.

    Args:
        model: trained.
        features: the document's features, one row.
        text: the document's text, or empty.
        labels: numbers of the labels; if None, the first `top_k` of the ranking.
        vectorizer: names the sparse features, or None.
        top_k: number of labels in the ranking.
        beam: number of nodes kept on each level; if None, as in the settings.
        n_terms: number of features shown separately in each step.
        ranker: the model that `model` is a part of, whose ranking it is; None: `model`.
        mixed: from a label and what its paths give to the score that it has with the ranker's other parts.
    """
    ranker = model if ranker is None else ranker
    ranked = ranker._predict(features, top_k, Asked(), beam=beam)
    assert isinstance(ranked, Predictions)
    used = ranked.ids[0] != PAD
    order, scores = ranked.ids[0][used].tolist(), ranked.scores[0][used].tolist()
    asked = order if labels is None else [int(label) for label in labels]
    search = model.config.search if beam is None else replace(model.config.search, beam=beam)
    beams = [search.choose_beam(m.tree.has_copies) for m in model.models]
    names = None if vectorizer is None else vectorizer.vocabulary

    def name_labels(below: np.ndarray) -> tuple[str, ...]:
        counts = np.ones(len(below)) if model.label_counts is None else model.label_counts[below]
        first = below[np.lexsort((below, -counts))[:_NAMED]]
        return tuple(_name(model, int(label)) for label in first)

    row = read_row(features)
    paths = trace(model.models, row, asked, beams, names, n_terms, name_labels)
    probable = None
    if model.calibration is not None:
        probable = model.calibration.apply(ranked.ids, ranked.scores)[0].tolist()
    evidence, reranked = _find_evidence(ranker, features, asked, beam)
    reasons = []
    for i, (label, mine) in enumerate(zip(asked, paths, strict=True)):
        rank = order.index(label) + 1 if label in order else None
        alone = mixed(label, _combine(model, mine))
        score = scores[rank - 1] if rank else reranked[i] if evidence else alone
        chance = None if probable is None or rank is None else probable[rank - 1]
        if chance is None and model.calibration is not None:
            chance = float(model.calibration.score_pairs(np.array([score]))[0])
        name = _name(model, label)
        best = max(mine, key=lambda path: (path.reached, path.score))
        verdict = say_verdict(mine, rank, score, scores[-1] if scores else 0.0)
        added, took = sum_terms(best, n_terms)
        seen = evidence[i] if evidence else {}
        reasons.append(Reason(label, name, rank, score, chance, verdict, mine, added, took, seen))
    return Explanation(text, tuple(reasons), _find_nearest(model, features))


def _name(model: Any, label: int) -> str:
    """Returns the name of a label, or its number."""
    return str(label) if model.label_names is None else tell_label(model.label_names, label)


def _combine(model: XRLinear, paths: Sequence[Path]) -> float:
    """Returns the score of a label that is not ranked: the mean over the trees of what its paths give."""
    merge, by_tree = choose_merge(model.config), []
    for tree in range(len(model.models)):
        by_tree.append(merge_paths([path for path in paths if path.tree == tree], merge))
    return float(np.mean(by_tree))


def _find_evidence(
    model: Any, features: Features, labels: Sequence[int], beam: int | None
) -> tuple[list[dict[str, float]], list[float]]:
    """Returns what a re-ranker saw of labels and the scores that it gave; nothing without one."""
    reranker = model.reranker
    if reranker is None or reranker.mode == "off":
        return [], []
    known = model.rank_first(features, max(reranker.config.candidates, 1), beam)
    found = Known(known.ids, known.scores)
    pool = reranker.describe_labels(features, found, np.array([labels]))
    asked = sp.csr_matrix(
        (np.ones(len(labels), np.float32), ([0] * len(labels), labels)), (1, known.n_labels)
    )
    scores = reranker.score_labels(features, found, asked).toarray()[0]
    seen = [dict(zip(FEATURES, map(float, row), strict=True)) for row in pool.features[0]]
    return seen, [float(scores[label]) for label in labels]


def _find_nearest(model: Any, features: Features) -> tuple[Neighbour, ...]:
    """Returns the nearest training documents, of a model that remembers them."""
    if model.reranker is None:
        return ()
    memory = model.reranker.memory
    ids, cosine = find_neighbours(memory.keys, features, _NEIGHBOURS)
    found = []
    for document, value in zip(ids[0].tolist(), cosine[0].tolist(), strict=True):
        if document != PAD:
            theirs = memory.labels[document].indices.tolist()
            labels = tuple(_name(model, label) for label in theirs)
            found.append(Neighbour(document, value, labels))
    return tuple(found)


def explain_prototypes(
    model: PrototypeModel, features: Features, text: str, labels: Sequence[int] | None, top_k: int
) -> Explanation:
    """Returns reasons for labels by prototypes: one step each, whose margin is that of the vector and the bias.

    Args:
        model: trained.
        features: the document's features, one row.
        text: the document.
        labels: numbers of the labels; if None, the first `top_k` of the ranking.
        top_k: number of labels in the ranking.
    """
    prototypes, maps = model.prototypes, model.calibration
    assert prototypes is not None
    steps, shares = _compare(prototypes, features.dense[0])
    ranked = model._predict(features, top_k, Asked())
    assert isinstance(ranked, Predictions)
    ids, scores = ranked.ids[0].tolist(), ranked.scores[0].tolist()
    n_given = int((ranked.ids[0] != PAD).sum())
    probable = None if maps is None else maps.apply(ranked.ids, ranked.scores)[0].tolist()
    asked = ids[:n_given] if labels is None else [int(label) for label in labels]
    evidence, reranked = _find_evidence(model, features, asked, None)
    reasons = []
    for i, label in enumerate(asked):
        step = steps(label)
        rank = ids.index(label) + 1 if label in ids[:n_given] else None
        score = scores[rank - 1] if rank else reranked[i] if evidence else float(shares[label])
        if rank:
            verdict = f"rank {rank}"
        elif step.rank and not evidence:
            verdict = f"rank {step.rank}, {n_given} were asked for"
        elif step.rank:
            verdict = f"not among the first {n_given}; nearest but {step.rank - 1}"
        else:
            verdict = "never predicted: neither documents nor a text of it are known"
        chance = None
        if maps is not None and probable is not None:
            chance = probable[rank - 1] if rank else float(maps.score_pairs(np.array([score]))[0])
        path, seen = Path(0, (step,), step.score, step.rank > 0), evidence[i] if evidence else {}
        given = label, _name(model, label), rank, score, chance, verdict, (path,), (), (), seen
        reasons.append(Reason(*given))
    return Explanation(text, tuple(reasons), _find_nearest(model, features))


def _compare(
    prototypes: Prototypes, vector: Float[np.ndarray, "H"]
) -> tuple[Callable[[int], Step], Float[np.ndarray, "L"]]:
    """Returns what gives the step of a label, and the scores of all."""
    unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
    (unit,) = prototypes.project(unit[None])
    near = np.asarray(prototypes.rows, np.float32) @ unit * prototypes.factor
    margin = (near + prototypes.bias).astype(float)
    shares = 1 / (1 + np.exp(-margin))
    if prototypes.scores == "share":
        shares = np.exp(margin - margin.max())
        shares /= shares.sum()
    order = np.lexsort((np.arange(len(margin)), -margin))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(1, len(order) + 1)

    def step(label: int) -> Step:
        rank = int(place[label]) if margin[label] > -np.inf else 0
        given = float(margin[label]), (), 0.0, float(near[label]), float(prototypes.bias[label])
        score = float(shares[label])
        return Step(0, label, *given, score, score, rank, 0, None, rank > 0)

    return step, shares
