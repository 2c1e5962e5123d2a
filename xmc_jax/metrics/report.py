"""Scores of a whole data set, as `xmc evaluate` prints them and a run records them for validation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from xmc_jax.metrics import counts
from xmc_jax.metrics.accumulator import Accumulator, Wanted
from xmc_jax.metrics.formulas import METRICS, label_f1
from xmc_jax.metrics.propensity import PROPENSITY, inverse_propensities

CUTS = (1, 3, 5)
RECALL_CUTS = (1, 3, 5, 10, 100)
REPORTED: dict[str, tuple[int | None, ...]] = {
    "P": CUTS,
    "nDCG": CUTS,
    "PSP": CUTS,
    "recall": RECALL_CUTS,
    "coverage": CUTS,
    "macro-F1": (*CUTS, None),
    "micro-F1": (*CUTS, None),
    "example-F1": (*CUTS, None),
    "ECE": (1, 5),
    "Brier": (5,),
}
"""The metrics of the report and their cuts; None is the labels that were decided on."""
FREQUENCIES = (0, 1, 2, 5, 10, 30, 100, 300, 1000)
"""Smallest numbers of training documents of the groups of labels."""


class Report:
    """The report on documents that are added in batches.

    Args:
        train_counts: number of training documents with each label [L], for propensities and label frequencies.
        n_train: number of training documents.
        a, b: propensity constants (`propensity_constants` knows those of public sets).

    Raises:
        InputError: as `inverse_propensities`.

    Example:
        >>> total = Report(train_counts=np.array([5, 5]), n_train=10)
        >>> total.add(np.array([[0], [1]]), np.array([[1, 0], [1, 0]]))
        >>> total.report()["P@1"]
        50.0
    """

    def __init__(
        self,
        *,
        train_counts: np.ndarray,
        n_train: int,
        a: float = PROPENSITY[0],
        b: float = PROPENSITY[1],
    ) -> None:
        wanted: list[Wanted] = [(METRICS[name], k) for name, cuts in REPORTED.items() for k in cuts]
        inverse = inverse_propensities(train_counts, n_train, a=a, b=b)
        self._total = Accumulator(wanted, inverse=inverse)
        self._train_counts = np.asarray(train_counts)
        self._constants = {"A": float(a), "B": float(b)}

    def add(self, predictions: Any, labels: Any, decisions: Any = None) -> None:
        """Adds a batch: see `Accumulator.add`."""
        self._total.add(predictions, labels, decisions)

    def report(self) -> dict[str, Any]:
        """Returns the report on everything added so far; see the function `report`."""
        total = self._total
        result: dict[str, Any] = total.values()
        if "ECE@1" in result and total.n_documents:
            result["confidence"] = "probabilities" if total.calibrated else "scores"
        result["by_frequency"] = self._tell_frequencies()
        result["n"] = total.n_documents
        result["results_per_document"] = total.n_results or 0
        if total.n_unknown:
            result["unknown_labels"] = total.n_unknown
        result["propensity"] = self._constants
        return result

    def _tell_frequencies(self) -> list[dict[str, Any]]:
        k = max(CUTS)
        tallies = (counts.FOUND, counts.PREDICTED, counts.TRUE)
        found, predicted, true = (self._total.sum(tally, k) for tally in tallies)
        group = np.searchsorted(FREQUENCIES, self._train_counts, side="right") - 1
        rows = []
        for i, low in enumerate(FREQUENCIES):
            if not (of := group == i).any():
                continue
            high = FREQUENCIES[i + 1] - 1 if i + 1 < len(FREQUENCIES) else None
            hits = int(found[of].sum())
            rows.append(
                {
                    "documents": f"{low}+"
                    if high is None
                    else f"{low}-{high}"
                    if high > low
                    else f"{low}",
                    "labels": int(of.sum()),
                    "true": int(true[of].sum()),
                    f"precision@{k}": 100 * hits / max(int(predicted[of].sum()), 1),
                    f"recall@{k}": 100 * hits / max(int(true[of].sum()), 1),
                    f"macro-F1@{k}": 100 * float(label_f1(found, predicted, true)[of].mean()),
                }
            )
        return rows


def report(
    predictions: Any,
    labels: Any,
    *,
    train_counts: np.ndarray,
    n_train: int,
    a: float = PROPENSITY[0],
    b: float = PROPENSITY[1],
    decisions: Any = None,
) -> dict[str, Any]:
    """Scores the predictions of a data set, in percent.

    Args:
        predictions, labels: as `evaluate` takes them; recall@100 needs 100 results or more.
        train_counts, n_train, a, b: see `Report`.
        decisions: the labels decided on, in the same forms as `predictions`.

    Returns:
        `P`, `nDCG`, `PSP`, `coverage`, `macro-F1`, `micro-F1`, `example-F1` at 1, 3, 5 and `recall` at 1, 3, 5, 10, 100
        (keys `P@1` and so on); the F1s of the decisions (`micro-F1` and so on) if there are any; if predictions have
        probabilities, or scores from 0 to 1, `ECE@1`, `ECE@5`, `Brier@5` and which of the two was used (`confidence`);
        `by_frequency`: precision, recall and macro-F1 of the first five results for labels with similar numbers of
        training documents; `n`: the number of documents; `results_per_document`: R (below 100, recall@100 sees only R
        results); `propensity`: the constants {"A", "B"}; and, if there are any, `unknown_labels`: the number of true
        labels left out because the predictions do not know them.

    Raises:
        InputError: as `evaluate`.
    """
    total = Report(train_counts=train_counts, n_train=n_train, a=a, b=b)
    total.add(predictions, labels, decisions)
    return total.report()


def format_table(report: dict[str, Any]) -> str:
    """Returns a report as text: a row per metric, a column per rank, then labels by frequency."""
    cells: dict[str, dict[int, float]] = {}
    for key, value in report.items():
        name, _, k = key.partition("@")
        if name in METRICS:
            cells.setdefault(name, {})[int(k or 0)] = value  # 0 stands for the decisions
    cuts = sorted({k for row in cells.values() for k in row}, key=lambda k: k or np.inf)
    wide = max((len(name) for name in cells), default=0)
    lines = [" " * wide + "".join(f"{f'@{k}' if k else 'decided':>9}" for k in cuts)]
    for name, row in cells.items():
        values = "".join(f"{row[k]:9.2f}" if k in row else " " * 9 for k in cuts)
        lines.append(f"{name:<{wide}}{values}".rstrip())
    return "\n".join([*lines, *_format_frequencies(report["by_frequency"]), *_legend(report, cuts)])


def _format_frequencies(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    names = list(rows[0])
    head = "".join(f"{name:>14}" for name in names[1:])
    lines = ["", f"{'documents':>9}{head}"]
    for row in rows:
        numbers = "".join(
            f"{row[n]:14,}" if n in names[:3] else f"{row[n]:14.2f}" for n in names[1:]
        )
        lines.append(f"{row['documents']:>9}{numbers}")
    return [*lines, ""]


def _legend(report: dict[str, Any], cuts: list[int]) -> list[str]:
    results, constants = report["results_per_document"], report["propensity"]
    lines = [
        f"percent; {report['n']:,} documents, {results} results each; the second table groups labels by "
        "their number of training documents",
        f"propensity constants A = {constants['A']:g}, B = {constants['B']:g}",
    ]
    if "confidence" in report:
        lines.append(f"ECE and Brier are of the {report['confidence']}")
    if results < max(cuts, default=0):
        lines.append(f"ranks beyond {results} hold no results and count as misses")
    if "unknown_labels" in report:
        lines.append(f"{report['unknown_labels']:,} true labels unknown to the model were left out")
    return lines


def to_json(report: dict[str, Any]) -> str:
    """Returns a report as one line of JSON.

    >>> to_json({"P@1": 50.0})
    '{"P@1": 50.0}'
    """
    return json.dumps(report, allow_nan=False)
