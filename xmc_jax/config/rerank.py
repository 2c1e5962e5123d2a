"""Settings of re-ranking by a memory of the training set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import QUIET, check, check_choices


@dataclass(frozen=True)
class RerankConfig:
    """Re-ranking of the labels of the model and of the nearest training documents.

    The nearest documents vote for their labels. How the votes are used is learned from training documents held out of
    further trainings of the levels, as in `calibrate`, whose `share` or `folds` are used where they are set.
    """

    mode: Literal["off", "mixture", "reranker", "auto"] = field(default="off", metadata=QUIET)
    """`mixture`: score^λ · vote^(1 − λ); `reranker`: a learned model; `auto`: whichever does best on the held-out
    documents, possibly neither."""
    learner: Literal["trees", "network", "logistic"] = field(default="trees", metadata=QUIET)
    """Kind of re-ranker: gradient-boosted trees, a network with one hidden layer, or logistic regression."""
    neighbours: int = field(default=200, metadata=QUIET)
    """Number of training documents that vote."""
    rare_share: float = field(default=0.01, metadata=QUIET)
    """Neighbours are found by the features that occur in at most this share of the documents (or in at most 200
    documents); 1: by all features."""
    candidates: int = field(default=20, metadata=QUIET)
    """Number of the model's labels that are re-ranked."""
    votes: int = field(default=8, metadata=QUIET)
    """Number of labels with the most votes that are re-ranked too, for each of two ways to weigh the votes."""
    share: float = field(default=0.1, metadata=QUIET)
    """Share of the documents held out if `calibrate` holds none out."""
    most: int = field(default=8000, metadata=QUIET)
    """Largest number of held-out documents to learn from."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(1 <= self.neighbours <= 10_000, self, "neighbours", "1 to 10000")
        check(0 < self.rare_share <= 1, self, "rare_share", "a share in (0, 1]")
        check(1 <= self.candidates <= 1000, self, "candidates", "1 to 1000")
        check(0 <= self.votes <= 1000, self, "votes", "0 to 1000")
        check(0 < self.share <= 0.5, self, "share", "a share in (0, 0.5]")
        check(self.most >= 100, self, "most", "100 or more")
