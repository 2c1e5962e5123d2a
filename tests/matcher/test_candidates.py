from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.matcher import count_candidates, list_candidates
from xmc_jax.types import PAD

OFFSETS = np.array([0, 3, 5, 9])  # three clusters over nine nodes
MASK = sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], np.float32))
LABELS = sp.csr_matrix(
    np.array([[0, 2, 0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0], [0] * 9], np.float32)
)


def list_all(limit: int = 0, seed: int = 0, mask=MASK, labels=LABELS):
    width = count_candidates(mask, labels, OFFSETS, limit)
    return list_candidates(mask, labels, OFFSETS, width, limit, np.random.default_rng(seed))


def test_children_of_the_clusters_and_the_positives():
    nodes, values = list_all()
    assert nodes.shape == (3, 16) and nodes.dtype == np.int32 and values.dtype == np.float32
    assert nodes[0][nodes[0] != PAD].tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert values[0][:7].tolist() == [0, 2, 0, 0, 0, 1, 0]
    assert nodes[1][nodes[1] != PAD].tolist() == [0, 3, 4]  # the positive lies outside
    assert values[1][:3].tolist() == [1, 0, 0]
    assert (nodes[2] == PAD).all() and not values[2].any()


@pytest.mark.parametrize("limit", [1, 2, 4, 8])
def test_the_limit_holds_and_keeps_the_positives(limit):
    seen = set()
    for seed in range(20):
        nodes, values = list_all(limit, seed)
        assert nodes.shape == (3, 8)
        count = (nodes != PAD).sum(axis=1)
        assert count.tolist() == [min(limit, 7), min(limit, 3), 0]
        assert (values > 0).sum(axis=1).tolist() == [min(limit, 2), 1, 0]
        seen |= set(nodes[0][nodes[0] != PAD].tolist())
    # Over the draws every candidate comes, but those that the positives leave no room for.
    assert seen == ({1, 7} if limit <= 2 else {0, 1, 2, 5, 6, 7, 8})


def test_equal_draws_give_equal_candidates():
    for a, b in zip(list_all(4, 1), list_all(4, 1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (list_all(4, 1)[0] != list_all(4, 3)[0]).any()


def test_against_a_loop():
    rng = np.random.default_rng(0)
    offsets = np.append(0, np.cumsum(rng.integers(1, 6, 12)))
    mask = sp.random(30, 12, 0.2, "csr", np.float32, rng)
    labels = sp.random(30, int(offsets[-1]), 0.1, "csr", np.float32, rng)
    width = count_candidates(mask, labels, offsets)
    nodes, values = list_candidates(mask, labels, offsets, width, 0, rng)
    for i in range(30):
        children = [np.arange(offsets[c], offsets[c + 1]) for c in mask[i].indices]
        want = np.unique(np.concatenate([*children, labels[i].indices]))
        got = nodes[i] != PAD
        np.testing.assert_array_equal(nodes[i][got], want)
        np.testing.assert_array_equal(values[i][got], labels[i].toarray()[0, want])
