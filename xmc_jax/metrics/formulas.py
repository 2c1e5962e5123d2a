"""The metrics, each a value: the counts it reads and its formula over them.

All are in percent. Conventions:
- A row of predictions is ranked, best first. PAD slots and ranks past R are misses.
- Documents without a true label count as 0 in the means, or are left out by `drop_unlabelled=True`.
- A mean over no documents is 0, and so is a ratio to an ideal of 0.

With `hit_ir` = 1 where rank r of document i is a true label, d_r = 1 / log2(r + 1), and propensities p_l:

    P@k          mean_i (hits in the first k) / k, also where fewer are predicted or true
    recall@k     mean_i (hits in the first k) / max(n_true_i, 1)
    nDCG@k       mean_i sum_{r<=k} hit_ir d_r / sum_{r<=min(k, n_true_i)} d_r
    PSP@k        [sum_i sum_{hits l in the first k} 1/p_l] / [sum_i the k largest true 1/p_l in i]
    PSnDCG@k     nDCG with a hit worth 1/p_l, over the same of the true labels by largest 1/p_l
    coverage@k   share of the labels true somewhere that are a hit in the first k of some row
    macro-F1     mean over all L labels, also those never true, of 2 found / (predicted + true)
    micro-F1     2 sum found / (sum predicted + sum true)
    example-F1   mean_i 2 hits / (predicted_i + true_i)
    ECE@k        sum_b (pairs of b / pairs) |hits_b / pairs_b - mean confidence_b|, over 20 bins of
                 equally many of the pairs that the first k results are
    Brier@k      mean over the same pairs of (confidence - hit)²

PSP and PSnDCG are ratios of two means, as in published tables. Sources: the Extreme
Classification Repository (Bhatia et al. 2016), Jain et al. 2016, Guo et al. 2017 (ECE).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xmc_jax.metrics import counts
from xmc_jax.metrics.counts import Cells, Tally, unpack

ECE_BINS = 20


class Scope(NamedTuple):
    """What a formula may read beside its counts: the number `k` of results looked at, None for all of them; the number
    of
    labels; their inverse propensities [L], if known."""

    k: int | None
    n_labels: int
    inverse: np.ndarray | None


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: key of the result, before `@k`.
        tallies: the counts that the formula reads.
        formula: (scope, the sum of each tally) -> percent.
        of_sets: whether it is defined for all predictions of a document together, whatever their number.
    """

    name: str
    tallies: tuple[Tally, ...]
    formula: Callable[..., float]
    of_sets: bool = False

    @property
    def needs(self) -> set[str]:
        """What must be known: some of "inverse" (propensities), "confidence"."""
        return {tally.needs for tally in self.tallies} - {""}


def _precision(scope: Scope, documents: Cells, hits: Cells) -> float:
    assert scope.k is not None
    return percent(int(hits.counts.sum()), int(documents.counts.sum()) * scope.k)


def _recall(scope: Scope, documents: Cells, hits: Cells) -> float:
    return percent(math.fsum(hits.counts / np.maximum(hits.cells, 1)), int(documents.counts.sum()))


def _ndcg(scope: Scope, documents: Cells, hits: Cells) -> float:
    assert scope.k is not None
    sizes, ranks = np.divmod(hits.cells, scope.k)
    gains = hits.counts * discounts(scope.k)[ranks] / ideal_gains(sizes, scope.k)
    return percent(math.fsum(gains), int(documents.counts.sum()))


def _psp(scope: Scope, found: np.ndarray, best: np.ndarray) -> float:
    return percent(math.fsum(found * scope.inverse), math.fsum(best * scope.inverse))


def _psndcg(scope: Scope, hits: Cells, best: Cells) -> float:
    k, inverse = scope.k, scope.inverse
    assert k is not None and inverse is not None

    def gain(part: Cells) -> float:
        labels, ranks, sizes = unpack(part.cells, k)
        worth = inverse[labels] * discounts(k)[ranks] / ideal_gains(sizes, k)
        return math.fsum(part.counts * worth)

    return percent(gain(hits), gain(best))


def _coverage(scope: Scope, found: np.ndarray, true: np.ndarray) -> float:
    return percent(int((found > 0).sum()), int((true > 0).sum()))


def _macro_f1(scope: Scope, found: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    return percent(float(label_f1(found, predicted, true).sum()) / max(len(found), 1))


def _micro_f1(scope: Scope, found: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    return percent(2 * int(found.sum()) / max(int(predicted.sum() + true.sum()), 1))


def _example_f1(scope: Scope, documents: Cells, rows: Cells) -> float:
    parts, hits = rows.cells >> 32, rows.cells & 0xFFFFFFFF
    shares = rows.counts * (2 * hits / np.maximum(parts, 1))
    return percent(math.fsum(shares), int(documents.counts.sum()))


def _ece(scope: Scope, pairs: Cells) -> float:
    """If pairs of one confidence are in two bins, hits and misses are split in proportion."""
    values, n, hits = by_confidence(pairs)
    ends = np.append(0, np.cumsum(n))
    edges = np.linspace(0, ends[-1], ECE_BINS + 1)
    sums = (np.append(0, np.cumsum(part)) for part in (n * values, hits))
    confident, right = (np.diff(np.interp(edges, ends, part)) for part in sums)
    return percent(math.fsum(np.abs(right - confident)), int(ends[-1]))


def _brier(scope: Scope, pairs: Cells) -> float:
    values, n, hits = by_confidence(pairs)
    return percent(math.fsum(n * values**2 - 2 * hits * values + hits), int(n.sum()))


def by_confidence(pairs: Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the confidences that occur, ascending, the number of pairs with each, and the number of hits among
    them."""
    bits, start = np.unique(pairs.cells >> 1, return_index=True)
    hits = pairs.counts * (pairs.cells & 1)
    if not len(bits):
        return np.zeros(0), pairs.counts, hits
    values = bits.astype(np.int32).view(np.float32).astype(np.float64)
    return values, np.add.reduceat(pairs.counts, start), np.add.reduceat(hits, start)


def label_f1(found: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns 2 found / (predicted + true) of each label, 0 for 0 / 0."""
    return 2 * found / np.maximum(predicted + true, 1)


def discounts(k: int) -> np.ndarray:
    """Returns 1 / log2(r + 1) of the ranks r = 1 ... k."""
    return 1 / np.log2(np.arange(2, k + 2))


def ideal_gains(n_true: np.ndarray, k: int) -> np.ndarray:
    """Returns the largest DCG@k of documents with `n_true` true labels; 1 where there are none."""
    return np.cumsum(discounts(k))[np.clip(n_true, 1, k) - 1]


def percent(part: float, whole: float = 1) -> float:
    return float(100 * part / whole) if whole > 0 else 0.0


_F1 = (counts.FOUND, counts.PREDICTED, counts.TRUE)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("P", (counts.DOCUMENTS, counts.HIT_SIZES), _precision),
        Metric("nDCG", (counts.DOCUMENTS, counts.HIT_RANKS), _ndcg),
        Metric("PSP", (counts.FOUND, counts.BEST), _psp),
        Metric("PSnDCG", (counts.RANKED_HITS, counts.RANKED_BEST), _psndcg),
        Metric("recall", (counts.DOCUMENTS, counts.HIT_SIZES), _recall, of_sets=True),
        Metric("coverage", (counts.FOUND, counts.TRUE), _coverage, of_sets=True),
        Metric("macro-F1", _F1, _macro_f1, of_sets=True),
        Metric("micro-F1", _F1, _micro_f1, of_sets=True),
        Metric("example-F1", (counts.DOCUMENTS, counts.ROW_SCORES), _example_f1, of_sets=True),
        Metric("ECE", (counts.PAIRS,), _ece, of_sets=True),
        Metric("Brier", (counts.PAIRS,), _brier, of_sets=True),
    )
}
"""Every metric by name. `evaluate`, `fit` and the command line know each metric in this table."""
