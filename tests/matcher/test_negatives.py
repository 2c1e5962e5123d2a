from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.matcher import choose_pairs, propagate_pairs
from xmc_jax.model import make_tree

POSITIVES = sp.csr_matrix(np.array([[2.0, 0, 0], [0, 1, 0]]))
MATCHED = sp.csr_matrix((np.array([0.0, 0.5]), np.array([2, 1]), np.array([0, 1, 2])), (2, 3))
USER = sp.csr_matrix(np.array([[0, 1.0, 0], [0, 0, 1]]))


@pytest.mark.parametrize(
    ("kind", "mask"),
    [
        ("tfn", [[1, 0, 0], [0, 1, 0]]),
        ("man", [[0, 0, 1], [0, 1, 0]]),
        ("usn", [[0, 1, 0], [0, 0, 1]]),
        ("tfn+man", [[1, 0, 1], [0, 1, 0]]),
        ("usn+tfn", [[1, 1, 0], [0, 1, 1]]),
        ("usn+man", [[0, 1, 1], [0, 1, 1]]),
        ("usn+tfn+man", [[1, 1, 1], [0, 1, 1]]),
    ],
)
def test_masks_are_united(kind, mask):
    """A score of 0 in the beam is in the beam; what stands in two sources counts once."""
    found = choose_pairs(kind, 1, 2, positives=POSITIVES, matched=MATCHED, user=USER)
    assert found.has_sorted_indices and found.nnz == np.sum(mask)
    np.testing.assert_array_equal(found.toarray(), mask)
    assert POSITIVES.max() == 2.0  # the caller's matrices are left as they were


def test_everybody_trains_the_children_of_the_root():
    np.testing.assert_array_equal(choose_pairs("man", 0, 3).toarray(), np.ones((3, 1)))


def test_what_is_missing_or_misshapen():
    with pytest.raises(InputError, match=r"'tfn\+man' for level 1 given, beams for it needed"):
        choose_pairs("tfn+man", 1, 2, positives=POSITIVES)
    with pytest.raises(InputError, match=r"'man' for level 2 of shape \(2, 2\) given"):
        choose_pairs("tfn+man", 2, 2, positives=POSITIVES, matched=MATCHED[:, :2])


@pytest.fixture
def tree():
    """Clusters 0 {0, 1}, 1 {2} of level 0; label 0 also under cluster 2 of level 1."""
    return make_tree(
        [np.array([0, 0]), np.array([0, 0, 1])],
        np.array([0, 1, 2, 0, 3]),
        np.array([0, 0, 1, 2, 2]),
        4,
    )


def test_pairs_go_up_the_tree(tree):
    labels = sp.csr_matrix(np.array([[1.0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]]))
    clusters = sp.csr_matrix(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1.0]]))
    everybody, above, last = propagate_pairs(tree, {0: labels, 1: clusters}, 3)
    np.testing.assert_array_equal(everybody.toarray(), np.ones((3, 1)))
    np.testing.assert_array_equal(last.toarray(), [[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(above.toarray(), [[1, 1], [1, 0], [0, 1]])
    top = sp.csr_matrix(np.array([[0, 0], [0, 0], [1.0, 0]]))
    _, above, last = propagate_pairs(tree, {2: top}, 3)
    assert last.nnz == 0
    np.testing.assert_array_equal(above.toarray(), top.toarray())


def test_a_users_matrix_that_does_not_fit(tree):
    with pytest.raises(InputError, match=r"3 levels above the labels given, 0 .labels. to 2"):
        propagate_pairs(tree, {3: sp.csr_matrix((3, 1))}, 3)
    with pytest.raises(InputError, match=r"for labels of shape \(3, 5\) given, \(3, 4\) needed"):
        propagate_pairs(tree, {0: sp.csr_matrix((3, 5))}, 3)
    with pytest.raises(InputError, match=r"1 levels above .* \(3, 2\) given, \(3, 3\) needed"):
        propagate_pairs(tree, {1: sp.csr_matrix((3, 2))}, 3)
