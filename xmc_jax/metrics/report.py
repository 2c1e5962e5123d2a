"""The report on a whole data set, in batches: only counts are summed, so batching changes no digit.

A batch leaves behind: hits at each rank, by their row's number of true labels (gives P, nDCG and
recall), and for each label how often it was true, predicted, a hit, and among the best k by
propensity (gives PSP, coverage and F1). Memory: a batch, and 10 counters a label, for any number of
documents.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.metrics import ranking as metrics
from xmc_jax.types import PAD

CUTS = (1, 3, 5)
RECALL_CUTS = (1, 3, 5, 10, 100)


class Accumulator:
    """Sums what the report needs over batches of documents.

    Args:
        train_counts: training documents of each label [L], for propensities.
        n_train: training documents.
        a, b: propensity constants (`metrics.propensity_constants` knows those of public sets).
    """

    def __init__(
        self,
        *,
        train_counts: np.ndarray,
        n_train: int,
        a: float = metrics.PROPENSITY[0],
        b: float = metrics.PROPENSITY[1],
    ) -> None:
        self._inverse = metrics.inverse_propensities(train_counts, n_train, a=a, b=b)
        self._constants = {"A": float(a), "B": float(b)}
        size = len(self._inverse)
        self._rows: dict[int, int] = {}  # by number of true labels
        self._hits: dict[int, np.ndarray] = {}  # the same: hits at each rank, int64 [100]
        self._true = np.zeros(size, np.int64)
        self._found = np.zeros((len(CUTS), size), np.int64)
        self._predicted = np.zeros((len(CUTS), size), np.int64)
        self._best = np.zeros((len(CUTS), size), np.int64)
        self._n_results: int | None = None
        self._unknown = 0

    def add(self, predictions: Any, labels: Any) -> None:
        """Adds a batch, in any form that `metrics.evaluate` takes; label matrices are the fastest.

        Raises:
            InputError: bad predictions or labels; nothing of the batch is added then.
        """
        ids, truth, unknown = metrics.align(predictions, labels, max(RECALL_CUTS))
        size = len(self._inverse)
        if truth.shape[1] != size:
            raise InputError(f"{truth.shape[1]} labels in a batch, {size} as in training needed")
        hits, n_true = metrics.find_hits(ids, truth), metrics.count_true(truth)
        self._add_ranks(hits, n_true)
        np.add.at(self._true, truth.indices, 1)
        weights = type(truth)(
            (self._inverse[truth.indices], truth.indices, truth.indptr), truth.shape
        )
        best = metrics.rank_rows(weights)
        for i, k in enumerate(CUTS):
            top, found = ids[:, :k], hits[:, :k]
            np.add.at(self._found[i], top[found], 1)
            np.add.at(self._predicted[i], top[top != PAD], 1)
            np.add.at(self._best[i], best.columns[best.ranks < k], 1)
        width = ids.shape[1]
        self._n_results = width if self._n_results is None else min(self._n_results, width)
        self._unknown += unknown

    def report(self) -> dict[str, Any]:
        """Returns the report on all that was added: see `report`."""
        n = sum(self._rows.values())
        sizes = sorted(self._rows)
        n_true = np.array(sizes, np.int64)
        hits = np.array([self._hits[s] for s in sizes], np.int64).reshape(
            len(sizes), max(RECALL_CUTS)
        )
        result: dict[str, Any] = {}
        for k in CUTS:
            result[f"P@{k}"] = _percent(int(hits[:, :k].sum()), n * k)
        for k in CUTS:
            gains = hits[:, :k] * metrics.discounts(k) / metrics.ideal_gains(n_true, k)[:, None]
            result[f"nDCG@{k}"] = _percent(math.fsum(gains.ravel()), n)
        for i, k in enumerate(CUTS):
            weighed = [math.fsum(counts[i] * self._inverse) for counts in (self._found, self._best)]
            result[f"PSP@{k}"] = _percent(*weighed)
        for k in RECALL_CUTS:
            shares = hits[:, :k].sum(axis=1) / np.maximum(n_true, 1)
            result[f"recall@{k}"] = _percent(math.fsum(shares), n)
        for i, k in enumerate(CUTS):
            seen = [int((counts > 0).sum()) for counts in (self._found[i], self._true)]
            result[f"coverage@{k}"] = _percent(*seen)
        averages: tuple[metrics.Average, ...] = ("macro", "micro")
        for average in averages:
            for i, k in enumerate(CUTS):
                counts = (self._found[i], self._predicted[i], self._true)
                result[f"{average}-F1@{k}"] = 100 * metrics.average_labels(*counts, average).f1
        result["n"] = n
        result["results_per_document"] = self._n_results or 0
        if self._unknown:
            result["unknown_labels"] = self._unknown
        result["propensity"] = self._constants
        return result

    def _add_ranks(self, hits: np.ndarray, n_true: np.ndarray) -> None:
        sizes, group, rows = np.unique(n_true, return_inverse=True, return_counts=True)
        documents, ranks = np.nonzero(hits)
        width = max(RECALL_CUTS)
        flat = np.bincount(group[documents] * width + ranks, minlength=len(sizes) * width)
        for size, count, by_rank in zip(
            sizes.tolist(), rows.tolist(), flat.reshape(-1, width), strict=True
        ):
            self._rows[size] = self._rows.get(size, 0) + count
            self._hits[size] = self._hits.get(size, 0) + by_rank


def report(
    predictions: Any,
    labels: Any,
    *,
    train_counts: np.ndarray,
    n_train: int,
    a: float = metrics.PROPENSITY[0],
    b: float = metrics.PROPENSITY[1],
) -> dict[str, Any]:
    """Scores the predictions of a data set, in percent.

    Args:
        predictions, labels: as `metrics.evaluate` takes them; recall@100 needs 100 results or more.
        train_counts, n_train, a, b: see `Accumulator`.

    Returns:
        `P`, `nDCG`, `PSP`, `coverage`, `macro-F1`, `micro-F1` at 1, 3, 5, `recall` at 1, 3, 5, 10,
        100 (keys `P@1` ...); `n` documents; `results_per_document`: R, and where it is below 100
        recall@100 saw R results only; `propensity`: the constants {"A", "B"}; and, if there are
        any, `unknown_labels`: true labels left out because the predictions do not know them.
    """
    total = Accumulator(train_counts=train_counts, n_train=n_train, a=a, b=b)
    total.add(predictions, labels)
    return total.report()


def format_table(report: dict[str, Any]) -> str:
    """Returns a report as lines for reading: a row a metric, a column a rank, and a legend."""
    cells: dict[str, dict[int, float]] = {}
    for key, value in report.items():
        name, at, k = key.partition("@")
        if at:
            cells.setdefault(name, {})[int(k)] = value
    cuts = sorted({k for row in cells.values() for k in row})
    wide = max((len(name) for name in cells), default=0)
    lines = [" " * wide + "".join(f"{f'@{k}':>9}" for k in cuts)]
    for name, row in cells.items():
        values = "".join(f"{row[k]:9.2f}" if k in row else " " * 9 for k in cuts)
        lines.append(f"{name:<{wide}}{values}".rstrip())
    lines.append(
        f"percent; {report['n']:,} documents, {report['results_per_document']} results each"
    )
    lines.append(
        f"propensity constants A = {report['propensity']['A']:g}, B = {report['propensity']['B']:g}"
    )
    if report["results_per_document"] < max(cuts, default=0):
        lines.append(
            f"ranks beyond {report['results_per_document']} hold no results and count as misses"
        )
    if "unknown_labels" in report:
        lines.append(f"{report['unknown_labels']:,} true labels unknown to the model were left out")
    return "\n".join(lines)


def to_json(report: dict[str, Any]) -> str:
    """Returns a report as one line of JSON."""
    return json.dumps(report, allow_nan=False)


def _percent(part: float | int, whole: float | int) -> float:
    return 100 * part / whole if whole > 0 else 0.0
