"""The values that a report shows: the model, and its predictions for documents whose labels are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int

from xmc_jax.calibrate import Calibration
from xmc_jax.explain import Explanation
from xmc_jax.model import LabelTree
from xmc_jax.predict import Predictions
from xmc_jax.report.intervals import Parts
from xmc_jax.types import PAD


@dataclass(frozen=True, eq=False)
class Subject:
    """The facts on a trained model that a report shows.

    Attributes:
        title: title of the page.
        facts: names and values to print.
        name_label: returns the display name of a label.
        label_counts: [L], number of training documents with each label.
        n_train: number of training documents.
        tree: tree whose map is drawn, or None.
        tree_note: which tree it is, or why there is none.
        calibration: the model's calibration, or None.
        logs: lines of `metrics.jsonl` by part of the run; empty for a model without a folder.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    name_label: Callable[[int], str]
    label_counts: Int[np.ndarray, "L"]
    n_train: int
    tree: LabelTree | None = None
    tree_note: str = ""
    calibration: Calibration | None = None
    logs: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The scores of a way to choose labels, in percent.

    Attributes:
        name: name of the way.
        note: what it does.
        precision, recall, micro_f1, example_f1: scores of the labels chosen.
        per_document: mean number of labels chosen.
        chosen: whether a rule of the model chose them, rather than a number of ranks.
    """

    name: str
    note: str
    precision: float
    recall: float
    micro_f1: float
    example_f1: float
    per_document: float
    chosen: bool


@dataclass(frozen=True)
class Worst:
    """A document with wrong results.

    Attributes:
        number: number of the document, from 0.
        text: its text, empty for a vector.
        true: its labels, each with its rank from 1, or None if it is not among the results.
        given: the first results, each with its probability or score and whether it is right.
        explanation: the reasons, or None.
    """

    number: int
    text: str
    true: Sequence[tuple[int, int | None]]
    given: Sequence[tuple[int, float, bool]]
    explanation: Explanation | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """Predictions of a model for N documents, and their scores.

    Attributes:
        data: a phrase on the documents.
        ranked: the first R labels of each.
        hits: [N, R], which of them are right.
        truth: [N, L], the true labels.
        scores: parts of each score, document by document.
        report: the result of `metrics.report`.
        decisions: ways to choose labels.
        refused: ways that the model does not support, with the reason.
        worst: documents with wrong results.
        worst_note: why they are not explained, if they are not.
    """

    data: str
    ranked: Predictions
    hits: Bool[np.ndarray, "N R"]
    truth: sp.csr_matrix
    scores: Mapping[str, Parts]
    report: Mapping[str, Any]
    decisions: Sequence[Decision] = ()
    refused: Sequence[tuple[str, str]] = ()
    worst: Sequence[Worst] = ()
    worst_note: str = ""

    @property
    def n_true(self) -> int:
        """Number of true labels of all documents."""
        return int(self.truth.nnz)

    @property
    def used(self) -> Bool[np.ndarray, "N R"]:
        """Which slots hold a label."""
        return self.ranked.ids != PAD

    @property
    def values(self) -> np.ndarray:
        """Probabilities [N, R], or scores of a model without them."""
        found = self.ranked.probabilities
        return self.ranked.scores if found is None else found

    @property
    def are_shares(self) -> bool:
        """Whether all values are between 0 and 1."""
        values = self.values[self.used]
        return bool(((values >= 0) & (values <= 1)).all())


def decide(
    name: str,
    note: str,
    ids: Int[np.ndarray, "N R"],
    hits: Bool[np.ndarray, "N R"],
    truth: Any,
    chosen: bool,
) -> Decision:
    """Returns the scores of the chosen labels, of which unused slots are PAD."""
    returned, right = (ids != PAD).sum(axis=1), hits.sum(axis=1)
    n_true = np.diff(truth.indptr)
    n = max(len(ids), 1)
    return Decision(
        name,
        note,
        precision=100 * float(right.sum() / max(returned.sum(), 1)),
        recall=100 * float(right.sum() / max(n_true.sum(), 1)),
        micro_f1=100 * float(2 * right.sum() / max(returned.sum() + n_true.sum(), 1)),
        example_f1=100 * float((2 * right / np.maximum(returned + n_true, 1)).sum() / n),
        per_document=float(returned.sum() / n),
        chosen=chosen,
    )


def choose_worst(
    hits: Bool[np.ndarray, "N R"], values: np.ndarray, ids: np.ndarray, truth: Any, most: int
) -> list[int]:
    """Returns documents with the fewest hits among as many first results as they have labels (at most five).

    Those where the model was surest come first. No wrong label is the first result of more than two of them, so that a
    single mistake does not fill the list.
    """
    n_true = np.diff(truth.indptr)
    if not ids.shape[1]:
        return []
    wanted = np.clip(n_true, 1, 5)
    first = np.arange(min(5, hits.shape[1])) < wanted[:, None]
    found = (hits[:, :5] & first).sum(axis=1) / wanted
    order = np.lexsort((-values[:, 0], found))
    order = order[(n_true[order] > 0) & (found[order] < 1) & (ids[order, 0] != PAD)]
    seen: dict[int, int] = {}
    kept = []
    for row in order.tolist():
        top = int(ids[row, 0])
        seen[top] = seen.get(top, 0) + 1
        if seen[top] <= 2:
            kept.append(row)
        if len(kept) >= most:
            break
    return kept
