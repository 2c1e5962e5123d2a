"""Combines predictions of several models: pure functions of their ranked labels, by a rule of `scores/combination.py`.

R is the largest number of results (slots of a row) that a model was asked for, so that a row of the outcome depends
only on its document. Among equal scores, the smaller label comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import CombinationName, SearchConfig, replace_field
from xmc_jax.errors import InputError, suggest
from xmc_jax.predict.predictions import Predictions
from xmc_jax.scores import COMBINATIONS, Ranking
from xmc_jax.types import PAD

_ROWS_AT_ONCE = 4096


def combine(
    predictions: Sequence[Predictions], rule: CombinationName = "average", top_k: int | None = None
) -> Predictions:
    """Combines the predictions of several models for the same documents.

    A model's labels beyond its R are unknown here, so each model should return more labels than are finally wanted.

    Args:
        predictions: predictions of n models, one or more, for the same N documents in the same order and the same
            labels; labels with names may be numbered differently, and the outcome has the numbers of the first.
        rule: a name in `COMBINATIONS`.
        top_k: most results per document; R if None.

    Returns:
        Predictions [N, top_k], or [N, L] if that is less; rows of documents with fewer labels are padded.

    Raises:
        InputError: no predictions, different documents or labels, a label twice in a row, or an unknown rule.

    >>> one = Predictions([[0, 1]], [[0.9, 0.5]], None, 3)
    >>> two = Predictions([[1, 2]], [[0.8, 0.1]], None, 3)
    >>> combine([one, two], top_k=2).ids.tolist()
    [[1, 0]]
    """
    check_rule(rule)
    parts = list(predictions)
    if not parts or not all(isinstance(part, Predictions) for part in parts):
        given = ", ".join(type(part).__name__ for part in parts) or "none"
        raise InputError(f"{given} given, a list of Predictions needed, one per model")
    first = parts[0]
    orders = [match_labels(first, part, f"predictions {i}") for i, part in enumerate(parts)]
    for i, part in enumerate(parts):
        if len(part) != len(first):
            raise InputError(
                f"predictions {i} of {len(part)} documents and predictions 0 of {len(first)} given, "
                "the same documents needed"
            )
    width = max(part.ids.shape[1] for part in parts)
    n_results = width
    if top_k is not None:
        wanted = replace_field(SearchConfig(), "top_k", top_k).top_k
        n_results = min(wanted, first.n_labels)
    ids = np.full((len(first), n_results), PAD, np.int32)
    scores = np.zeros(ids.shape, np.float32)
    for start in range(0, len(first), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = [
            (renumber(part.ids[rows], order), part.scores[rows])
            for part, order in zip(parts, orders, strict=True)
        ]
        best, values = _combine_rows(block, rule, width, start)
        n = min(n_results, best.shape[1])
        ids[rows, :n], scores[rows, :n] = best[:, :n], values[:, :n]
    return Predictions(ids, scores, first.label_names, first.n_labels)


def combine_candidates(
    matrices: Sequence[sp.csr_matrix], rule: CombinationName = "average"
) -> sp.csr_matrix:
    """Combines the scores that several models give to the same candidates.

    Args:
        matrices: CSR [N, L] with the same stored entries (also scores of 0) and sorted indices.
        rule: as in `combine`; R of a row is the number of its candidates.

    Returns:
        float32 CSR [N, L] of the same entries.
    """
    check_rule(rule)
    first, n, chosen = matrices[0], len(matrices), COMBINATIONS[rule]
    counts = np.diff(first.indptr)
    row = np.repeat(np.arange(first.shape[0]), counts)
    total = np.zeros(first.nnz)
    gather = np.maximum if chosen.takes_largest else np.add
    for i, matrix in enumerate(matrices):
        score, place = matrix.data.astype(np.float64), np.empty(first.nnz)
        place[np.lexsort((matrix.indices, -score, row))] = np.arange(first.nnz) - first.indptr[row]
        ranking = Ranking(score, place, counts[row], counts[counts > 0])
        total = gather(total, chosen.weigh(ranking, i, n))
    return sp.csr_matrix(((total / n).astype(np.float32), first.indices, first.indptr), first.shape)


def check_rule(rule: str) -> None:
    """Raises InputError, with a suggestion, for an unknown rule."""
    if rule not in COMBINATIONS:
        raise InputError(f"combination rule {rule!r} given{suggest(str(rule), COMBINATIONS)}")


def match_labels(first: Predictions, other: Predictions, who: str) -> np.ndarray | None:
    """Returns the first model's number of each label of the other [L], or None if the numbers are the same.

    Raises:
        InputError: the labels differ; `who` names the other model.
    """
    return match_names(first.label_names, first.n_labels, other.label_names, other.n_labels, who)


def match_names(
    names: Sequence[str] | None,
    n_labels: int,
    other_names: Sequence[str] | None,
    n_other: int,
    who: str,
) -> np.ndarray | None:
    """Does the same as `match_labels` for lists of L label names, or None."""
    if n_labels != n_other:
        raise InputError(f"{who}: {n_other} labels, the first has {n_labels}; the same needed")
    if names is None or other_names is None:
        if names is not other_names:
            raise InputError(f"{who}: labels with and without names given, one kind needed")
        return None
    if names is other_names or list(names) == list(other_names):
        return None
    number = {name: i for i, name in enumerate(names)}
    unknown = next((name for name in other_names if name not in number), None)
    if unknown is not None or len(set(other_names)) != len(number) or len(number) != n_labels:
        what = f"label {unknown!r:.80} is none of the first's" if unknown else "a name is repeated"
        raise InputError(f"{who}: {what}; the same labels needed")
    return np.array([number[name] for name in other_names], np.int32)


def renumber(ids: Int[np.ndarray, "N R"], order: np.ndarray | None) -> Int[np.ndarray, "N R"]:
    """Returns ids in the first model's numbers, as given by `match_labels`; PAD stays."""
    return ids if order is None else np.where(ids == PAD, PAD, order[ids])


def _combine_rows(
    block: Sequence[tuple[np.ndarray, np.ndarray]], rule: CombinationName, width: int, start: int
) -> tuple[Int[np.ndarray, "B M"], Float[np.ndarray, "B M"]]:
    """Returns labels and scores of some documents, best first; M = n R, PAD at the end.

    Args:
        block: (ids, scores) [B, R of the model] by model.
        width: R.
        start: number of the first document, for the message.
    """
    n = len(block)
    label = np.concatenate([ids for ids, _ in block], axis=1).astype(np.int64)
    value = np.concatenate(
        [_weigh(ids, scores, rule, i, n, width) for i, (ids, scores) in enumerate(block)], axis=1
    )
    member = np.repeat(np.arange(n), [ids.shape[1] for ids, _ in block])
    if not label.size:
        return label.astype(np.int32), value.astype(np.float32)
    last = np.iinfo(np.int64).max
    label[label == PAD] = last
    order = np.argsort(label, axis=1, kind="stable")
    label, value = (np.take_along_axis(a, order, axis=1) for a in (label, value))
    new = np.ones(label.shape, bool)
    new[:, 1:] = label[:, 1:] != label[:, :-1]
    again = ~new[:, 1:] & (label[:, 1:] != last) & (member[order[:, 1:]] == member[order[:, :-1]])
    if again.any():
        row, column = np.argwhere(again)[0]
        raise InputError(
            f"document {start + row}: one model names label {label[row, column]} twice, once needed"
        )
    # A label's entries are consecutive, and a row begins with a new label, so no sum crosses rows.
    gather = np.maximum if COMBINATIONS[rule].takes_largest else np.add
    total = np.full(label.shape, -np.inf, np.float32)
    total[new] = gather.reduceat(value.reshape(-1), np.flatnonzero(new)) / n
    total[label == last] = -np.inf
    # The sort is stable and labels ascend, so the smaller label comes first among equal scores.
    best = np.argsort(-total, axis=1, kind="stable")
    ids, scores = (np.take_along_axis(a, best, axis=1) for a in (label, total))
    unused = scores == -np.inf
    return np.where(unused, PAD, ids).astype(np.int32), np.where(unused, np.float32(0), scores)


def _weigh(
    ids: np.ndarray, scores: np.ndarray, rule: CombinationName, i: int, n: int, width: int
) -> Float[np.ndarray, "B R"]:
    """Returns the share of model i in the score of each label of its rows; 0 in PAD slots."""
    used = ids != PAD
    counts = used.sum(axis=1)
    place = np.cumsum(used, axis=1)[used] - 1
    ranking = Ranking(scores[used].astype(np.float64), place, width, counts[counts > 0])
    out = np.zeros(ids.shape)
    out[used] = COMBINATIONS[rule].weigh(ranking, i, n)
    return out
