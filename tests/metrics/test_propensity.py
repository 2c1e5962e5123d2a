"""Propensities: the formula, the constants of published tables, what is refused."""

import math

import numpy as np
import pytest

from xmc_jax import metrics
from xmc_jax.errors import InputError


def test_inverse_propensities():
    a, b, n = 0.6, 2.6, 1000
    c = (math.log(n) - 1) * (b + 1) ** a
    got = metrics.inverse_propensities(np.array([0, 1, 999]), n, a=a, b=b)
    assert got == pytest.approx([1 + c * (x + b) ** -a for x in (0, 1, 999)])
    np.testing.assert_array_equal(metrics.inverse_propensities(np.array([0, 1]), 2), [1, 1])


@pytest.mark.parametrize(
    ("counts", "n_train", "constants"),
    [([1, 11], 10, {}), ([-1], 10, {}), ([float("nan")], 10, {}), ([0], 0, {}), ([[1]], 3, {}),
     ([1], 10, {"b": 0.0}), ([1], 10, {"a": -1.0}), ([1], 10, {"a": float("nan")})],
)  # fmt: skip
def test_bad_counts_and_constants_are_refused(counts, n_train, constants):
    with pytest.raises(InputError, match="needed"):
        metrics.inverse_propensities(np.array(counts), n_train, **constants)


@pytest.mark.parametrize(
    ("constants", "names"),
    [
        ((0.5, 0.4), ["Wikipedia-500K", "wiki-500k", "LF-Wikipedia-500K", "WikiLSHTC-325K",
                      "WikiTitles-500K", "LF-WikiTitles-500K", "WikipediaLarge-500K"]),
        ((0.6, 2.6), ["Amazon-670K", "amazon_3m", "AmazonTitles-670K", "LF-Amazon-131K",
                      "LF-AmazonTitles-131K", "LF-AmazonTitles-1.3M", "AmazonTitles-3M"]),
        ((0.55, 1.5), ["Eurlex-4K", "Wiki10-31K", "wiki10-31k", "AmazonCat-13K", "AmazonCat-14K",
                       "LF-WikiSeeAlso-320K", "LF-WikiSeeAlsoTitles-320K", "Bibtex", ""]),
    ],
)  # fmt: skip
def test_propensity_constants(constants, names):
    assert {name: metrics.propensity_constants(name) for name in names} == dict.fromkeys(
        names, constants
    )
