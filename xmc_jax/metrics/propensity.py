"""Propensities of labels (Jain et al. 2016): the probability that a true label of a document is recorded at all."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Float

from xmc_jax.errors import InputError

PROPENSITY = (0.55, 1.5)
"""A and B of Jain et al. 2016 for data sets without constants of their own."""


def inverse_propensities(
    label_counts: np.ndarray, n_train: int, *, a: float = PROPENSITY[0], b: float = PROPENSITY[1]
) -> Float[np.ndarray, "L"]:
    """Returns 1/p_l = 1 + C (N_l + b)^-a with C = (ln N - 1)(b + 1)^a (Jain et al. 2016), float64 [L].

    Args:
        label_counts: N_l [L], number of training documents with each label, in [0, N].
        n_train: N. With one or two documents, C would be negative; it is then 0, and every weight is 1.
        a, b: a >= 0, b > 0; `propensity_constants` has the values used for public sets.

    Raises:
        InputError: counts or constants out of range.

    Example:
        >>> inverse_propensities(np.array([1, 100]), 1000).round(2).tolist()
        [6.91, 1.77]
    """
    counts = np.asarray(label_counts, np.float64)
    low, high = counts.min(initial=0), counts.max(initial=0)
    if counts.ndim != 1 or n_train < 1 or not (low >= 0 and high <= n_train):  # NaN fails too
        given = f"label counts of shape {counts.shape}, {low:g} to {high:g}, n_train={n_train}"
        raise InputError(f"{given} given, numbers of training documents in [0, n_train] needed")
    if not (0 <= a < np.inf and 0 < b < np.inf):
        raise InputError(f"propensity constants a={a}, b={b} given, a >= 0 and b > 0 needed")
    return 1 + max(np.log(n_train) - 1, 0) * (b + 1) ** a * (counts + b) ** -a


def propensity_constants(dataset_name: str) -> tuple[float, float]:
    """Returns the constants (A, B) used in published tables for a data set, whatever the spelling of its name.

    They are (0.5, 0.4) for Wikipedia-500K and its relatives, (0.6, 2.6) for the Amazon product sets, and (0.55, 1.5)
    for all others, including AmazonCat, Wiki10 and WikiSeeAlso.

    Example:
        >>> propensity_constants("LF-Amazon-131K")
        (0.6, 2.6)
    """
    name = re.sub(r"[^a-z0-9]", "", dataset_name.lower())
    if re.match(r"(lf)?wiki(pedia|lshtc|titles)?(large)?(500k|325k)", name):
        return 0.5, 0.4
    return (0.6, 2.6) if re.match(r"(lf)?amazon(titles)?\d+[km]", name) else PROPENSITY
