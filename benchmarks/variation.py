"""How far the two copies of a label separate its two meanings: variation of information.

For labels that were merged from two (the synthetic experiment of Liu et al. 2021): documents fall into S₁, S₂ by the
meaning that they truly have and into K₁, K₂ by the copy whose cluster they are routed to. The variation of information
of the two splits, in nats, is 0 where they agree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_TINY = 1e-8  # keeps the logarithm of an empty part finite


class Split(NamedTuple):
    """Documents of one merged label [n]; each is in one part of every split, or in both meanings."""

    meaning: Bool[np.ndarray, "n 2"]
    copy: Bool[np.ndarray, "n 2"]


class Separation(NamedTuple):
    """Variation of information of a split by copies, and the mean of random splits of the same sizes."""

    found: float
    random: float


def variation_of_information(
    meaning: Bool[np.ndarray, "n S"], copy: Bool[np.ndarray, "*m n K"]
) -> Float[np.ndarray, "*m"] | float:
    """Returns −Σ r_ab (ln r_ab/p_a + ln r_ab/q_b), r the shares of documents in part a of one and b of the other.

    Args:
        meaning: which documents belong to which part of the first split.
        copy: the second split, or a stack of them.
    """
    n = meaning.shape[0]
    first, second = meaning.astype(np.float64), copy.astype(np.float64)
    joint = np.swapaxes(second, -1, -2) @ first / n + _TINY
    p = first.mean(axis=0) + _TINY
    q = second.mean(axis=-2)[..., None] + _TINY
    return -(joint * (np.log(joint / p) + np.log(joint / q))).sum(axis=(-1, -2))


def measure_splits(split: Split, rng: np.random.Generator, n_random: int = 100) -> Separation:
    """Compares a split by copies with random ones, the same documents put into parts of the same sizes.

    Args:
        split: documents of one merged label.
        rng: draws the random splits.
        n_random: how many.
    """
    found = float(variation_of_information(split.meaning, split.copy))
    shuffled = rng.permuted(
        np.broadcast_to(np.arange(len(split.copy)), (n_random, len(split.copy))), axis=1
    )
    return Separation(
        found, float(np.mean(variation_of_information(split.meaning, split.copy[shuffled])))
    )
