from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.errors import InputError
from xmc_jax.model import build_weights, keep_largest, select_nodes, to_matrix


def test_entries_in_any_order_make_the_same_level():
    rng = np.random.default_rng(0)
    offsets = np.array([0, 2, 2, 5])
    entries = [(0, 7, 1, 0.5), (0, 3, 0, -1.0), (2, 7, 2, 2.0), (2, 7, 0, 3.0), (2, 1, 1, -0.25)]
    expected = np.zeros((9, 5), np.float32)
    for c, f, k, v in entries:
        expected[f, offsets[c] + k] = v
    for _ in range(3):
        shuffled = [entries[i] for i in rng.permutation(len(entries))]
        c, f, k, v = (np.array(x) for x in zip(*shuffled, strict=True))
        weights = build_weights(offsets, c, f, k, v, np.arange(5), np.zeros((5, 0)))
        np.testing.assert_array_equal(to_matrix(weights, 9).toarray(), expected)
        assert weights.row_feature.tolist() == [3, 7, 1, 7]
        assert weights.row_offsets.tolist() == [0, 2, 2, 4]
        assert weights.entry_child.tolist() == [0, 1, 1, 0, 2]


def test_silenced_nodes_have_no_finite_bias():
    weights = build_weights(
        np.array([0, 2]), *(np.zeros(0, int),) * 3, np.zeros(0), np.ones(2), np.zeros((2, 0))
    )
    assert select_nodes(weights, np.array([True, False])).bias.tolist() == [1.0, -np.inf]
    with pytest.raises(InputError):
        select_nodes(weights, np.array([True]))


def test_keep_largest_prefers_the_smaller_feature_of_equals():
    node = np.array([0, 0, 0, 1])
    feature, value = np.array([5, 2, 9, 1]), np.array([1.0, -1.0, 0.5, 0.1])
    assert keep_largest(node, feature, value, 1).tolist() == [False, True, False, True]
    assert keep_largest(node, feature, value, 2).tolist() == [True, True, False, True]
