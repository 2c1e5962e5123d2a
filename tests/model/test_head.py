from __future__ import annotations

import jax
import numpy as np
import pytest

from xmc_jax.model import Head, find_touched, inherit_head, init_head, score_nodes
from xmc_jax.types import PAD


@pytest.mark.parametrize("n_nodes", [20, 400])  # one product of all nodes, or gathered rows
def test_candidates_are_scored_as_all_nodes_are(n_nodes):
    head = init_head(n_nodes, 6, (0, 1))
    head = Head(head.weights, np.linspace(-1, 1, n_nodes, dtype=np.float32))
    vectors = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    every = np.asarray(score_nodes(head, vectors, None))
    np.testing.assert_allclose(every, vectors @ head.weights.T + head.bias[None], atol=1e-6)
    nodes = np.array([[0, 3, PAD], [7, 19, 2], [PAD] * 3], np.int32)
    real = nodes != PAD
    want = np.take_along_axis(every, np.maximum(nodes, 0), axis=1)
    np.testing.assert_allclose(
        np.asarray(score_nodes(head, vectors, nodes))[real], want[real], atol=1e-6
    )

    def total(head, mask):
        return (score_nodes(head, vectors, nodes) * mask).sum()

    gradient = jax.grad(total)(head, real.astype(np.float32))
    touched = np.asarray(find_touched(nodes, n_nodes))
    assert sorted(np.flatnonzero(touched)) == [0, 2, 3, 7, 19]
    np.testing.assert_array_equal(np.asarray(gradient.bias) != 0, touched)
    assert not np.asarray(gradient.weights)[~touched].any()


def test_children_inherit():
    above = init_head(3, 4, (5,))
    below = inherit_head(above, np.array([0, 0, 1, 2, 2]))
    np.testing.assert_array_equal(below.weights, above.weights[[0, 0, 1, 2, 2]])
    assert below.n_nodes == 5 and abs(float(np.std(init_head(500, 8, (1,)).weights)) - 0.02) < 1e-3
