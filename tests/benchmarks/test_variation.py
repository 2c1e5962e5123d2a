"""Variation of information by hand, and against random splits."""

import numpy as np
import pytest
from variation import Split, measure_splits, variation_of_information


def split_of(values):
    return np.stack([np.asarray(values) == 0, np.asarray(values) == 1], axis=1)


def test_values():
    same = split_of([0, 0, 1, 1])
    assert variation_of_information(same, same) == pytest.approx(0, abs=1e-6)
    assert variation_of_information(same, same[:, ::-1]) == pytest.approx(0, abs=1e-6)
    # Independent halves: H(S|K) + H(K|S) = 2 ln 2.
    crossed = split_of([0, 1, 0, 1])
    assert variation_of_information(same, crossed) == pytest.approx(2 * np.log(2), abs=1e-6)
    both = np.stack([same, crossed])
    np.testing.assert_allclose(variation_of_information(same, both), [0, 2 * np.log(2)], atol=1e-6)


def test_a_random_split_is_far_from_the_meanings_and_a_right_one_is_not():
    rng = np.random.default_rng(0)
    meaning = split_of(rng.integers(0, 2, 60))
    right = measure_splits(Split(meaning, meaning), rng)
    assert right.found == pytest.approx(0, abs=1e-6) and right.random > 1.2
    wrong = measure_splits(Split(meaning, split_of(rng.integers(0, 2, 60))), rng)
    assert abs(wrong.found - wrong.random) < 0.1
