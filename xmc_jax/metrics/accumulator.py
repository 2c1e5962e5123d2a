"""Metrics over batches of documents, and of a single batch: `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xmc_jax.errors import InputError, suggest
from xmc_jax.metrics.counts import NOTHING, Batch, Cells, Tally
from xmc_jax.metrics.formulas import METRICS, Metric, Scope
from xmc_jax.metrics.propensity import PROPENSITY, inverse_propensities
from xmc_jax.metrics.truth import check_cuts, check_equal, read, read_labels

Wanted = tuple[Metric, int | None]
"""A metric and the number of results that it looks at; None for all of a decision."""


class Accumulator:
    """Adds up what metrics need over batches of documents; it holds one batch and a few counters per label.

    Args:
        wanted: the metrics.
        inverse: inverse propensity of each label [L]; without it, metrics that need it are left out.
        drop_unlabelled: whether documents without true labels are left out of means over documents.

    Example:
        >>> total = Accumulator([(METRICS["P"], 1)])
        >>> for ids, truth in (([[0]], [[1, 0]]), ([[1]], [[1, 0]])):
        ...     total.add(np.array(ids), np.array(truth))
        >>> total.values()
        {'P@1': 50.0}
    """

    def __init__(
        self,
        wanted: Iterable[Wanted],
        *,
        inverse: np.ndarray | None = None,
        drop_unlabelled: bool = False,
    ) -> None:
        known = set() if inverse is None else {"inverse"}
        self._wanted = [(m, k) for m, k in wanted if m.needs <= known | {"confidence"}]
        self._width = max((k for _, k in self._wanted if k is not None), default=1)
        self._inverse, self._drop = inverse, drop_unlabelled
        self._n_labels = None if inverse is None else len(inverse)
        self._sums: dict[tuple[Tally, int | None], np.ndarray | Cells] = {}
        self._has = {"inverse", "confidence"}
        self._decides = False
        self.n_documents = 0
        self.n_results: int | None = None
        """The smallest number of results of a document in any batch."""
        self.n_unknown = 0
        """Number of true labels left out because the predictions do not know their names."""
        self.calibrated = True
        """Whether the confidences are probabilities."""

    def add(self, predictions: Any, labels: Any, decisions: Any = None) -> None:
        """Adds a batch.

        Args:
            predictions, labels: in any form that `evaluate` takes; label matrices are the fastest.
            decisions: the labels decided on, in the same forms as `predictions`; metrics of all predictions of a
                document look at these. Either every batch has them or none.

        Raises:
            InputError: bad predictions or labels; then nothing of the batch is added.
        """
        ranked = self._make_batch(predictions, labels, self._width)
        decided = None if decisions is None else self._make_batch(decisions, labels, None)
        self._n_labels = ranked.reading.truth.shape[1]
        self._decides |= decided is not None
        if ranked.reading.confidence is None:
            self._has.discard("confidence")
        done = set()
        for metric, k in self._wanted:
            batch = decided if k is None else ranked
            for tally in metric.tallies:
                key = _key(tally, k)
                if batch is not None and key not in done and tally.needs in self._has | {""}:
                    self._count(key, tally.cells(batch, k))
                    done.add(key)
        width = ranked.reading.ids.shape[1]
        self.n_documents += len(ranked.reading.ids)
        self.n_results = width if self.n_results is None else min(self.n_results, width)
        self.n_unknown += ranked.reading.n_unknown
        self.calibrated &= ranked.reading.calibrated

    def _make_batch(self, predictions: Any, labels: Any, width: int | None) -> Batch:
        batch = Batch(read(predictions, labels, width), self._inverse, self._drop)
        size = batch.reading.truth.shape[1]
        if self._n_labels not in (None, size):
            raise InputError(f"{size} labels in a batch, {self._n_labels} as in training needed")
        batch.hits.any()  # found now, so that a refused batch adds nothing
        return batch

    def _count(self, key: tuple[Tally, int | None], cells: np.ndarray) -> None:
        total = self.sum(*key)
        if isinstance(total, Cells):
            self._sums[key] = total.add(cells)
        else:
            np.add.at(total, cells, 1)
            self._sums[key] = total

    def sum(self, tally: Tally, k: int | None) -> Any:
        """Returns the counts of a tally: an array [L], or `Cells`."""
        key = _key(tally, k)
        if key in self._sums:
            return self._sums[key]
        return np.zeros(self._n_labels or 0, np.int64) if tally.per_label else NOTHING

    def values(self) -> dict[str, float]:
        """Returns every metric that can be computed, in percent: `P@5`, or `micro-F1` of decisions."""
        scope = Scope(None, self._n_labels or 0, self._inverse)
        result = {}
        for metric, k in self._wanted:
            if (k is not None or self._decides) and metric.needs <= self._has:
                sums = [self.sum(tally, k) for tally in metric.tallies]
                name = metric.name if k is None else f"{metric.name}@{k}"
                result[name] = metric.formula(scope._replace(k=k), *sums)
        return result


def evaluate(
    predictions: Any,
    labels: Any,
    k: int | Sequence[int] = (1, 3, 5),
    *,
    metrics: Sequence[str | Metric] | None = None,
    train_labels: Any = None,
    train_counts: np.ndarray | None = None,
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
        metrics: names of `METRICS`, or metrics of your own; None for P, nDCG and recall, and with training labels PSP
            and PSnDCG. Named metrics that are defined for sets of labels (recall, coverage, the F1s, ECE, Brier) are
            also given for all predictions of a document.
        train_labels: the training set's labels, in the same forms as `labels`; or `train_counts` [L] and `n_train`.
            Without them there are no PSP and PSnDCG.
        a, b: propensity constants, see `propensity_constants`.
        drop_unlabelled: whether documents without true labels are left out of means over documents.

    Returns:
        `P@k` and the like for each metric and k; if metrics are named, `micro-F1` and the like of all predictions; with
        training labels, the constants used (`propensity`); `n`, the number of documents; `unknown_labels`, the number
        of names left out, if any.

    Raises:
        InputError: predictions or labels in another form, an unknown metric, only one of `train_counts` and `n_train`,
            a metric that needs something that was not given.

    Example:
        >>> ids, truth = np.array([[2, 0], [1, 3]]), np.array([[0, 0, 1, 1], [1, 0, 0, 0]])
        >>> evaluate(ids, truth, k=2, metrics=["P", "recall"])
        {'P@2': 25.0, 'recall@2': 25.0, 'recall': 25.0, 'n': 2}
    """
    cuts = check_cuts(k)
    if train_labels is not None:
        n_labels = read(predictions, labels, 1).truth.shape[1]
        train = read_labels(train_labels, predictions, n_labels)[0]
        train_counts, n_train = train.sum(axis=0).A1, train.shape[0]
    if (train_counts is None) != (n_train is None):
        raise InputError("one of train_counts and n_train given, both needed for propensities")
    inverse = None
    if train_counts is not None and n_train is not None:
        inverse = inverse_propensities(train_counts, n_train, a=a, b=b)
        n_labels = read(predictions, labels, 1).truth.shape[1]
        check_equal("labels (in training)", n_labels, len(inverse))
    chosen = [find_metric(m) for m in metrics or ("P", "nDCG", "recall", "PSP", "PSnDCG")]
    wanted: list[Wanted] = [(m, cut) for m in chosen for cut in cuts]
    if metrics is not None:
        wanted += [(m, None) for m in chosen if m.of_sets]
    total = Accumulator(wanted, inverse=inverse, drop_unlabelled=drop_unlabelled)
    total.add(predictions, labels, predictions if metrics is not None else None)
    result: dict[str, Any] = total.values()
    for metric in chosen if metrics is not None else ():
        if f"{metric.name}@{cuts[0]}" not in result:
            raise InputError(f"metric '{metric.name}' asked for; {_NEEDED[min(metric.needs)]}")
    if inverse is not None:
        result["propensity"] = {"A": a, "B": b}
    unknown = {"unknown_labels": total.n_unknown} if total.n_unknown else {}
    return result | {"n": total.n_documents} | unknown


_NEEDED = {
    "inverse": "train_labels (or train_counts and n_train) needed",
    "confidence": "predictions with probabilities, or with scores from 0 to 1, needed",
}


def find_metric(metric: str | Metric) -> Metric:
    """Returns the metric with a name; a metric is returned as it is.

    Raises:
        InputError: no metric has this name.
    """
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}{suggest(str(metric), METRICS)}")
    return METRICS[metric]


def _key(tally: Tally, k: int | None) -> tuple[Tally, int | None]:
    return tally, k if tally.at_k else 0
