"""Ranking metrics of extreme classification on the host, propensities, and one entry point.

First `find_hits` marks which predicted ids [N, R] are true; every metric is a function of that:

    precision, recall, ndcg        metric(hits, n_true, *, k, drop_unlabelled=False)
    psprecision, psndcg            metric(hits, ids, labels, inverse_propensity, *, k)
    coverage, label_scores         metric(hits, ids, labels, *, k)

They return shares in [0, 1]; `evaluate` does the whole, in percent. Conventions:
- A row of `ids` is ranked, best first, in the order its maker gave it. Where scores are ranked
  here (a CSR matrix), equal scores put the smaller id first. PAD slots and ranks past R are misses.
- A label is true where the matrix [N, L] holds a value above 0: counts are read as 1, and stored
  zeros are not true.
- Documents without a true label count 0 in the means, or are left out by `drop_unlabelled=True`.
- A mean over no document is 0, and so is a ratio to an ideal of 0.

Sources: the Extreme Classification Repository (Bhatia et al. 2016), Jain et al. 2016 (propensity).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from xmc_jax.errors import InputError
from xmc_jax.types import PAD

Ids = Int[np.ndarray, "N R"]
Hits = Bool[np.ndarray, "N R"]
PerLabel = np.ndarray  # [L]
Average = Literal["macro", "micro"]

BLOCK = 1 << 20
"""Slots of `ids` looked up at once: the work space stays at some tens of megabytes."""
PROPENSITY = (0.55, 1.5)
"""A and B of Jain et al. 2016 for data sets without constants of their own."""


class LabelScores(NamedTuple):
    precision: float
    recall: float
    f1: float


class RankedRows(NamedTuple):
    """A CSR matrix's stored entries by row, value (largest first), column (smallest first)."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    ranks: np.ndarray  # in the row, from 0


def find_hits(ids: Ids, labels: sp.csr_matrix) -> Hits:
    """Marks the predicted ids, in [0, L) or PAD, that are true labels [N, L] of their row.

    Raises:
        InputError: an id out of range, an id twice in a row (it would hit twice), or other
            numbers of rows.
    """
    ids, truth = _check_ids(ids), as_truth(labels)
    n_rows, n_labels = truth.shape
    _check_equal("documents", len(ids), n_rows)
    hits = np.zeros(ids.shape, bool)
    step = max(1, BLOCK // max(1, ids.shape[1]))
    for start in range(0, n_rows, step):
        block = ids[start : start + step].astype(np.int64)
        _check_block(block, n_labels, start)
        starts = truth.indptr[start : start + step + 1]
        rows = np.arange(len(block))
        # (row, label) as one number; the true pairs ascend. -1 stands behind them and equals none.
        pairs = np.repeat(rows, np.diff(starts)) * n_labels
        pairs += truth.indices[starts[0] : starts[-1]]
        wanted = rows[:, None] * n_labels + block
        found = np.append(pairs, -1)[np.searchsorted(pairs, wanted)] == wanted
        hits[start : start + step] = found & (block != PAD)
    return hits


def count_true(labels: sp.csr_matrix) -> Int[np.ndarray, "N"]:
    """Counts the true labels of every row."""
    return np.diff(as_truth(labels).indptr)


def precision(hits: Hits, n_true: np.ndarray, *, k: int, drop_unlabelled: bool = False) -> float:
    """P@k = mean_i (hits in the first k of row i) / k, also where fewer are predicted or true."""
    return _mean(_top(hits, k).sum(axis=1) / k, n_true, drop_unlabelled)


def recall(hits: Hits, n_true: np.ndarray, *, k: int, drop_unlabelled: bool = False) -> float:
    """recall@k = mean_i (hits in the first k of row i) / max(n_true_i, 1)."""
    return _mean(_top(hits, k).sum(axis=1) / np.maximum(n_true, 1), n_true, drop_unlabelled)


def ndcg(hits: Hits, n_true: np.ndarray, *, k: int, drop_unlabelled: bool = False) -> float:
    """nDCG@k = mean_i sum_{r<=k} hit_ir d_r / sum_{r<=min(k, n_true_i)} d_r, d_r = 1/log2(r+1)."""
    top = _top(hits, k)
    gains = top @ discounts(k)[: top.shape[1]]
    return _mean(gains / ideal_gains(n_true, k), n_true, drop_unlabelled)


def psprecision(
    hits: Hits, ids: Ids, labels: sp.csr_matrix, inverse_propensity: PerLabel, *, k: int
) -> float:
    """PSP@k = [sum_i sum_{hits l in the first k} 1/p_l] / [sum_i the k largest true 1/p_l in i].

    A ratio of two means, as the published tables have it, and not a mean of ratios.
    """
    gained = inverse_propensity[_top(ids, k)[_top(hits, k)]].sum()
    best = _rank_true(labels, inverse_propensity)
    return _ratio(gained, best.values[best.ranks < k].sum())


def psndcg(
    hits: Hits, ids: Ids, labels: sp.csr_matrix, inverse_propensity: PerLabel, *, k: int
) -> float:
    """PSnDCG@k: nDCG@k with a hit worth 1/p_l, over the same of the true labels by largest 1/p_l.

    Again a ratio of two means. In both a row is divided by nDCG's ideal, without propensities.
    """
    rows, ranks = np.nonzero(_top(hits, k))
    best, discount = _rank_true(labels, inverse_propensity), discounts(k)
    ideal, kept = ideal_gains(count_true(labels), k), best.ranks < k
    gained = inverse_propensity[ids[rows, ranks]] * discount[ranks] / ideal[rows]
    most = best.values[kept] * discount[best.ranks[kept]] / ideal[best.rows[kept]]
    return _ratio(gained.sum(), most.sum())


def coverage(hits: Hits, ids: Ids, labels: sp.csr_matrix, *, k: int) -> float:
    """coverage@k = share of the labels true somewhere that are a hit in the first k of some row."""
    found = np.unique(_top(ids, k)[_top(hits, k)])
    return _ratio(len(found), len(np.unique(as_truth(labels).indices)))


def label_scores(
    hits: Hits, ids: Ids, labels: sp.csr_matrix, *, k: int, average: Average = "macro"
) -> LabelScores:
    """Precision, recall and F1 of the first k as a classification: see `average_labels`."""
    truth, top = as_truth(labels), _top(ids, k)
    parts = (top[_top(hits, k)], top[top != PAD], truth.indices)
    found, predicted, true = (np.bincount(part, minlength=truth.shape[1]) for part in parts)
    return average_labels(found, predicted, true, average)


def average_labels(
    found: PerLabel, predicted: PerLabel, true: PerLabel, average: Average
) -> LabelScores:
    """Averages over labels, from how many times each was a hit, predicted, and true.

    Of a label P = found / predicted, R = found / true, F1 = 2 found / (predicted + true); 0 / 0 is
    0. `macro`: means over all L labels, also those never true; `micro`: the formulas of the sums.
    """
    if average not in ("macro", "micro"):
        raise InputError(f"average={average!r} given, 'macro' or 'micro' needed")
    if average == "micro":
        found, predicted, true = (x.sum(keepdims=True) for x in (found, predicted, true))
    shares = ((found, predicted), (found, true), (2 * found, predicted + true))
    sums = (float((part / np.maximum(whole, 1)).sum()) for part, whole in shares)
    return LabelScores(*(_ratio(total, len(found)) for total in sums))


def inverse_propensities(
    label_counts: PerLabel, n_train: int, *, a: float = PROPENSITY[0], b: float = PROPENSITY[1]
) -> Float[np.ndarray, "L"]:
    """1/p_l = 1 + C (N_l + b)^-a with C = (ln N - 1)(b + 1)^a (Jain et al. 2016).

    Args:
        label_counts: N_l [L], training documents of each label, in [0, N].
        n_train: N. Of one or two documents C would be negative; it is 0 then and every weight 1.
        a, b: a >= 0, b > 0; the values used for public sets: `propensity_constants`.
    """
    counts = np.asarray(label_counts, np.float64)
    low, high = counts.min(initial=0), counts.max(initial=0)
    if counts.ndim != 1 or n_train < 1 or not (low >= 0 and high <= n_train):  # nan fails too
        given = f"label counts of shape {counts.shape}, {low:g} to {high:g}, n_train={n_train}"
        raise InputError(f"{given} given, each label's training documents in [0, n_train] needed")
    if not (0 <= a < np.inf and 0 < b < np.inf):
        raise InputError(f"propensity constants a={a}, b={b} given, a >= 0 and b > 0 needed")
    return 1 + max(np.log(n_train) - 1, 0) * (b + 1) ** a * (counts + b) ** -a


def propensity_constants(dataset_name: str) -> tuple[float, float]:
    """Returns the constants (A, B) of published tables for a data set, however it is spelled.

    Wikipedia-500K and kin (0.5, 0.4), the Amazon product sets (0.6, 2.6), all others (0.55, 1.5):
    among these AmazonCat, Wiki10 and WikiSeeAlso, whose names only look like the former.
    """
    name = re.sub(r"[^a-z0-9]", "", dataset_name.lower())
    if re.match(r"(lf)?wiki(pedia|lshtc|titles)?(large)?(500k|325k)", name):
        return 0.5, 0.4
    return (0.6, 2.6) if re.match(r"(lf)?amazon(titles)?\d+[km]", name) else PROPENSITY


def evaluate(
    predictions: Any,
    labels: Any,
    k: int | Sequence[int] = (1, 3, 5),
    *,
    train_labels: Any = None,
    train_counts: PerLabel | None = None,
    n_train: int | None = None,
    a: float = PROPENSITY[0],
    b: float = PROPENSITY[1],
    drop_unlabelled: bool = False,
) -> dict[str, Any]:
    """Scores predictions, in percent.

    Args:
        predictions: `Predictions` (anything with `.ids` [N, R]), an integer array [N, R] of ids,
            best first, PAD for none, or a CSR matrix [N, L] whose stored entries are scores.
        labels: a matrix [N, L] (CSR or dense), lists of ids, or lists of names if the predictions
            carry label names. Names they do not know are left out of the truth, and counted.
        k: ranks to cut at, 1 or more.
        train_labels: the training set's labels, in a form as `labels`; or `train_counts` [L] and
            `n_train`. Without them there are no PSP and PSnDCG.
        a, b: propensity constants, see `propensity_constants`.
        drop_unlabelled: leaves documents without true labels out of P, nDCG and recall.

    Returns:
        `P@k`, `nDCG@k`, `recall@k` of each k; with training labels `PSP@k`, `PSnDCG@k` and the
        constants used (`propensity`); `n` documents; `unknown_labels`, where names were left out.
    """
    cuts = _check_cuts(k)
    ids, truth, unknown = align(predictions, labels, max(cuts))
    hits, n_true = find_hits(ids, truth), count_true(truth)
    result: dict[str, Any] = {}
    for name, metric in (("P", precision), ("nDCG", ndcg), ("recall", recall)):
        for cut in cuts:
            share = metric(hits, n_true, k=cut, drop_unlabelled=drop_unlabelled)
            result[f"{name}@{cut}"] = 100 * share
    if train_labels is not None:
        train = _read_labels(train_labels, predictions, truth.shape[1])[0]
        train_counts, n_train = train.sum(axis=0).A1, train.shape[0]
    if (train_counts is None) != (n_train is None):
        raise InputError("one of train_counts and n_train given, both needed for propensities")
    if train_counts is not None and n_train is not None:
        inverse = inverse_propensities(train_counts, n_train, a=a, b=b)
        _check_equal("labels (in training)", truth.shape[1], len(inverse))
        for name, scored in (("PSP", psprecision), ("PSnDCG", psndcg)):
            for cut in cuts:
                result[f"{name}@{cut}"] = 100 * scored(hits, ids, truth, inverse, k=cut)
        result["propensity"] = {"A": a, "B": b}
    return result | {"n": len(ids)} | ({"unknown_labels": unknown} if unknown else {})


def align(predictions: Any, labels: Any, n_results: int) -> tuple[Ids, sp.csr_matrix, int]:
    """Reads predictions and labels in any form that `evaluate` takes.

    Returns:
        ids [N, R <= n_results], the true labels [N, L] as `as_truth` gives them, and the number of
        true labels left out because the predictions do not know their names.
    """
    if sp.issparse(predictions):
        ids, n_labels = top_ids(predictions, n_results), predictions.shape[1]
    else:
        ids = _check_ids(getattr(predictions, "ids", predictions))[:, :n_results]
        names = getattr(predictions, "label_names", None)
        n_labels = getattr(predictions, "n_labels", None if names is None else len(names))
    truth, unknown = _read_labels(labels, predictions, n_labels)
    _check_equal("documents", len(ids), truth.shape[0])
    _check_equal("labels", truth.shape[1] if n_labels is None else n_labels, truth.shape[1])
    return ids, truth, unknown


def as_truth(labels: Any) -> sp.csr_matrix:
    """Returns a label matrix as CSR of True, indices sorted and unique; `labels` is not changed."""
    matrix = sp.csr_matrix(labels)
    if not (matrix.data >= 0).all():  # nan fails too
        raise InputError("a label matrix with negative values or nan given, 1 (or a count) needed")
    if not (matrix.has_canonical_format and matrix.data.all()):
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return sp.csr_matrix((np.ones(matrix.nnz, bool), matrix.indices, matrix.indptr), matrix.shape)


def label_matrix(
    rows: Iterable[Iterable[str | int]], label_names: Sequence[str] | None, n_labels: int
) -> tuple[sp.csr_matrix, int]:
    """Reads lists of label names, or of ids, into a matrix of true labels [N, L].

    Also returns how many labels were left out because `label_names` does not hold them. A label
    given twice for a document counts once.
    """
    known = {name: i for i, name in enumerate(() if label_names is None else label_names)}
    columns, ends, unknown = [], [0], 0
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Iterable):
            raise InputError(f"labels of document {i} are {row!r}, a list needed: [{row!r}]")
        for label in set(row):
            if isinstance(label, str) and label_names is not None:
                columns += [known[label]] if label in known else []
                unknown += label not in known
            elif isinstance(label, (int, np.integer)) and 0 <= label < n_labels:
                columns.append(int(label))
            else:
                need = f"an id below {n_labels}" + (" or a name" if known else "")
                raise InputError(f"label {label!r} given for document {i}, {need} needed")
        ends.append(len(columns))
    matrix = sp.csr_matrix((np.ones(len(columns)), columns, ends), (len(ends) - 1, n_labels))
    return as_truth(matrix), unknown


def top_ids(scores: sp.csr_matrix, n_results: int) -> Ids:
    """Returns the ids of the `n_results` best stored entries a row, PAD where there are fewer.

    Stored zeros and negative scores are predictions like others; what is not stored is none.
    """
    matrix = sp.csr_matrix(scores)
    if np.isnan(matrix.data).any():
        raise InputError("a score of the predictions is nan, a number needed")
    ranked = rank_rows(matrix)
    kept = ranked.ranks < n_results
    width = min(n_results, int(np.diff(matrix.indptr).max(initial=0)))
    ids = np.full((matrix.shape[0], width), PAD, np.int32)
    ids[ranked.rows[kept], ranked.ranks[kept]] = ranked.columns[kept]
    return ids


def rank_rows(matrix: sp.csr_matrix) -> RankedRows:
    """Sorts the stored entries of every row, largest first, equal values by column."""
    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((matrix.indices, -matrix.data.astype(np.float64), rows))
    ranks = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], sizes)
    return RankedRows(rows, matrix.indices[order], matrix.data[order], ranks)


def discounts(k: int) -> Float[np.ndarray, "k"]:
    """1 / log2(r + 1) of the ranks r = 1 ... k."""
    return 1 / np.log2(np.arange(2, k + 2))


def ideal_gains(n_true: np.ndarray, k: int) -> Float[np.ndarray, "N"]:
    """The largest DCG@k of rows with `n_true` true labels; 1 where there are none."""
    return np.cumsum(discounts(k))[np.clip(n_true, 1, k) - 1]


def _read_labels(labels: Any, predictions: Any, n_labels: int | None) -> tuple[sp.csr_matrix, int]:
    if sp.issparse(labels) or (isinstance(labels, np.ndarray) and labels.ndim == 2):
        return as_truth(labels), 0
    if n_labels is None:
        raise InputError("lists of labels and bare ids given, a label matrix or Predictions needed")
    return label_matrix(labels, getattr(predictions, "label_names", None), n_labels)


def _rank_true(labels: sp.csr_matrix, inverse_propensity: PerLabel) -> RankedRows:
    truth = as_truth(labels)
    weights = (inverse_propensity[truth.indices], truth.indices, truth.indptr)
    return rank_rows(sp.csr_matrix(weights, truth.shape))


def _top(slots: np.ndarray, k: int) -> np.ndarray:
    return slots[:, : _check_cuts((k,))[0]]


def _mean(values: np.ndarray, n_true: np.ndarray, drop_unlabelled: bool) -> float:
    values = values[n_true > 0] if drop_unlabelled else values
    return _ratio(values.sum(), len(values))


def _ratio(part: float | int, whole: float | int) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _check_cuts(k: int | Sequence[int]) -> tuple[int, ...]:
    cuts = tuple(k) if isinstance(k, Iterable) and not isinstance(k, str) else (k,)
    whole = (isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in cuts)
    if not cuts or not all(whole) or min(cuts) < 1:
        raise InputError(f"k={k!r} given, a whole number of 1 or more, or a tuple of such, needed")
    return tuple(int(c) for c in cuts)


def _check_equal(what: str, predicted: int, labelled: int) -> None:
    if predicted != labelled:
        raise InputError(f"{predicted} {what} predicted, {labelled} labelled; the same set needed")


def _check_ids(ids: Any) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        given = f"predictions of type {ids.dtype} and shape {ids.shape}"
        raise InputError(f"{given} given, integer ids [N, R] or a CSR of scores [N, L] needed")
    return ids


def _check_block(ids: np.ndarray, n_labels: int, first_row: int) -> None:
    ordered = np.sort(ids, axis=1)
    outside = (ordered < PAD) | (ordered >= n_labels)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    for bad, need in ((outside, f"ids from 0 to {n_labels - 1} (or {PAD})"), (twice, "it once")):
        if bad.any():
            row, slot = np.argwhere(bad)[0]
            given = f"id {ordered[row, slot]}{' twice' if bad is twice else ''}"
            raise InputError(f"{given} in row {first_row + row} of the predictions, {need} needed")
