"""How the scores of a label that was found under several clusters become one.

| name | score of a label with copies s₁ … sₙ in the beam |
| --- | --- |
| `mean` | Σ s / n |
| `max` | the largest |
| `noisy-or` | 1 − Π (1 − s), for probabilities |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Merge:
    """One way to merge copies, one copy after the other.

    Attributes:
        join: (xp, merged, score, count) to the merged score of one copy more: `xp` is the namespace of the arrays,
            `jax.numpy` or `numpy`; `merged` that of the `count` copies before.
        needs_probabilities: whether scores must lie in [0, 1].
    """

    join: Callable[[Any, Any, Any, Any], Any]
    needs_probabilities: bool = False


def _join_mean(xp: Any, merged: Any, score: Any, count: Any) -> Any:
    # A running mean: a sum of scores as large as floats get would overflow.
    share = 1.0 / (count + 1)
    return merged * (1.0 - share) + score * share


def _join_max(xp: Any, merged: Any, score: Any, count: Any) -> Any:
    return xp.maximum(merged, score)


def _join_noisy_or(xp: Any, merged: Any, score: Any, count: Any) -> Any:
    return merged + score * (1.0 - merged)


MERGES = {
    "mean": Merge(_join_mean),
    "max": Merge(_join_max),
    "noisy-or": Merge(_join_noisy_or, needs_probabilities=True),
}
"""By the name that `disentangle.merge` gives."""
