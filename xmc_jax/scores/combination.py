"""How the ranked labels of several models become one ranking.

Of a document, model i of n = 0 … n − 1 names up to R labels; the label at place r = 0, 1, … of its row has score s.
A label's score in the outcome, where a model that does not name it adds nothing:

    average            Σ s / n
    sigmoid_average    Σ 1 / (1 + e^−s) / n
    softmax_average    Σ e^s / (Σ e^s over the model's row) / n
    rank_average       Σ (R − r) / n
    round_robin        max(R − r + (n − i) / (n + 1)) / n

`round_robin` takes the models' first labels, in the models' order, then their second ones, …; a label that is there
already is passed over.

Source: the ensembles of Zhang et al. 2021 ("XR-Transformer") and Yu et al. 2022 ("PECOS").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Ranking(NamedTuple):
    """What one model says of some documents, one entry for each label that it names, by document.

    Attributes:
        score: float64 [E].
        place: r of each entry [E].
        n_results: R of each entry's document [E], or one for all.
        counts: entries of each document that has some [N].
    """

    score: Any
    place: Any
    n_results: Any
    counts: Any


@dataclass(frozen=True)
class Combination:
    """One rule.

    Attributes:
        weigh: (ranking, i, n) to what model i of n says of each entry, float64 [E].
        takes_largest: whether a label has the largest of what the models say, and not their sum; both are divided by n.
    """

    weigh: Callable[[Ranking, int, int], Any]
    takes_largest: bool = False


def _weigh_score(ranking: Ranking, i: int, n: int) -> Any:
    return ranking.score


def _weigh_sigmoid(ranking: Ranking, i: int, n: int) -> Any:
    from scipy.special import expit

    return expit(ranking.score)


def _weigh_softmax(ranking: Ranking, i: int, n: int) -> Any:
    import numpy as np

    score, counts = ranking.score, ranking.counts
    if not len(score):
        return score
    first = np.cumsum(counts) - counts
    powers = np.exp(score - np.repeat(np.maximum.reduceat(score, first), counts))
    return powers / np.repeat(np.add.reduceat(powers, first), counts)


def _weigh_rank(ranking: Ranking, i: int, n: int) -> Any:
    return ranking.n_results - ranking.place * 1.0


def _weigh_turn(ranking: Ranking, i: int, n: int) -> Any:
    return _weigh_rank(ranking, i, n) + (n - i) / (n + 1)


COMBINATIONS = {
    "average": Combination(_weigh_score),
    "rank_average": Combination(_weigh_rank),
    "sigmoid_average": Combination(_weigh_sigmoid),
    "softmax_average": Combination(_weigh_softmax),
    "round_robin": Combination(_weigh_turn, takes_largest=True),
}
"""By the name that `combine` gives."""
