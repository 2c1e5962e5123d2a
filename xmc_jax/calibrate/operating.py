"""What thresholds on the probability return for documents that the model did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from xmc_jax.errors import InputError

_POINTS = 1024
_PRIOR = 10.0
"""Number of a label's pairs that weigh as much as what is known of labels of similar frequency."""


@dataclass(frozen=True, eq=False)
class OperatingCurve:
    """Counts over a set of documents, per threshold.

    Attributes:
        threshold: descending probabilities.
        returned: number of labels with at least that probability.
        right: number of them that are true.
        n_true: number of true labels of the documents, found or not.
    """

    threshold: Float[np.ndarray, "T"]
    returned: Int[np.ndarray, "T"]
    right: Int[np.ndarray, "T"]
    n_true: int

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"threshold": self.threshold, "returned": self.returned, "right": self.right}

    @property
    def precision(self) -> Float[np.ndarray, "T"]:
        return self.right / np.maximum(self.returned, 1)

    @property
    def recall(self) -> Float[np.ndarray, "T"]:
        return self.right / max(self.n_true, 1)

    @property
    def f1(self) -> Float[np.ndarray, "T"]:
        return 2 * self.right / np.maximum(self.returned + self.n_true, 1)

    def find_best_f1(self) -> float:
        """Returns the threshold with the largest micro-F1."""
        return float(self.threshold[np.argmax(self.f1)])

    def find_precision(self, wanted: float) -> float:
        """Returns the smallest threshold with at least this precision.

        Raises:
            InputError: no threshold reaches it; the message says what can be reached.
        """
        reached = np.flatnonzero(self.precision >= wanted)
        if not len(reached):
            best = int(np.argmax(self.precision))
            raise InputError(
                f"decide=precision:{wanted:g} given, at most {self.precision[best]:.3f} was reached on held-out "
                f"documents (threshold {self.threshold[best]:.3f}); ask for less"
            )
        return float(self.threshold[reached[-1]])

    def find_recall(self, wanted: float) -> float:
        """Returns the largest threshold with at least this recall.

        Raises:
            InputError: no threshold reaches it; the message says what can be reached.
        """
        reached = np.flatnonzero(self.recall >= wanted)
        if not len(reached):
            raise InputError(
                f"decide=recall:{wanted:g} given, at most {self.recall.max(initial=0):.3f} was reached on held-out "
                "documents; ask for less, or rank more labels (calibrate.depth, search.beam)"
            )
        return float(self.threshold[reached[0]])


def count_operating(
    probability: Float[np.ndarray, "Q"], hit: Bool[np.ndarray, "Q"], n_true: int
) -> OperatingCurve:
    """Counts at every probability that occurs, or at evenly chosen ones if there are too many."""
    order = np.argsort(-probability, kind="stable")
    ordered = probability[order]
    # The last pair of each run of equal probabilities: all of it is returned or nothing.
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))[: len(ordered)]
    if len(last) > _POINTS:
        last = last[np.unique(np.linspace(0, len(last) - 1, _POINTS).astype(int))]
    right = np.cumsum(hit[order], dtype=np.int64)
    return OperatingCurve(ordered[last].astype(np.float32), last + 1, right[last], n_true)


def find_label_thresholds(
    label: Int[np.ndarray, "Q"],
    probability: Float[np.ndarray, "Q"],
    label_counts: Int[np.ndarray, "L"],
) -> Float[np.ndarray, "L"]:
    """Returns for each label the smallest probability at which returning it raises its expected F1.

    Of the pairs of a label, most probable first, the first k are returned that make 2 Σ_{j≤k} p_j / (k + Σ_j p_j)
    largest; a pair raises it as long as its p is half of it or more (the same rule as that of one document's labels
    for example-F1). A label with few pairs is pulled towards the mean of the labels of similar frequency.
    """
    n_labels = len(label_counts)
    order = np.lexsort((-probability, label))
    label, probability = label[order], probability[order].astype(float)
    counts = np.bincount(label, minlength=n_labels)
    first = np.cumsum(counts) - counts
    total = np.cumsum(np.append(0.0, probability))
    rank = np.arange(len(label)) - first[label] + 1
    whole = np.bincount(label, probability, minlength=n_labels)
    f1 = 2 * (total[1:] - total[first[label]]) / (rank + whole[label])
    best = np.zeros(n_labels)
    np.maximum.at(best, label, f1)
    bucket = np.log2(np.maximum(label_counts, 1)).astype(int)
    seen = counts > 0
    sums = np.bincount(bucket, best * seen), np.bincount(bucket, seen)
    everywhere = best[seen].mean() if seen.any() else 1.0
    like = np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1), everywhere)[bucket]
    return ((counts * best + _PRIOR * like) / (counts + _PRIOR) / 2).astype(np.float32)
