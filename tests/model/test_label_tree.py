"""The shape of a tree: ranges of children, counts up the levels, what is refused."""

import jax
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, edges_at, labels_at, make_tree


@pytest.fixture
def overlapping() -> LabelTree:
    """Two top clusters over three; label 1 sits in clusters 0 and 1, label 3 in 1 and 2."""
    return make_tree(
        [np.array([0, 0]), np.array([0, 0, 1])],
        np.array([0, 1, 1, 2, 3, 3, 4]),
        np.array([0, 0, 1, 1, 1, 2, 2]),
        5,
    )


def test_sizes_and_ranges(overlapping):
    assert overlapping.level_sizes == (2, 3, 7)
    assert (overlapping.n_levels, overlapping.n_edges, overlapping.n_labels) == (3, 7, 5)
    assert overlapping.children_offsets(0).tolist() == [0, 2]
    assert overlapping.children_offsets(1).tolist() == [0, 2, 3]
    assert overlapping.children_offsets(2).tolist() == [0, 2, 5, 7]
    assert [overlapping.max_children(t) for t in range(3)] == [2, 2, 3]
    assert overlapping.copies_per_label.tolist() == [1, 2, 1, 2, 1]
    assert overlapping.children_offsets(-1).dtype == np.int32


def test_assignment_is_one_parent_each(overlapping):
    for level, size in enumerate(overlapping.level_sizes):
        matrix = overlapping.assignment(level)
        assert matrix.shape == (size, overlapping.n_parents(level))
        assert (matrix.sum(axis=1) == 1).all()
        children = np.asarray(matrix.sum(axis=0)).ravel()
        assert children.tolist() == np.diff(overlapping.children_offsets(level)).tolist()


def test_counts_multiply_up_the_tree(overlapping):
    rng = np.random.default_rng(0)
    Y = sp.csr_matrix(rng.integers(0, 2, (6, 5)).astype(np.float32))
    edges = labels_at(overlapping, 2, Y)
    np.testing.assert_array_equal(edges.toarray(), Y.toarray()[:, overlapping.edge_label])
    middle = edges @ overlapping.assignment(2)
    np.testing.assert_array_equal(labels_at(overlapping, 1, Y).toarray(), middle.toarray())
    top = middle @ overlapping.assignment(1)
    np.testing.assert_array_equal(labels_at(overlapping, 0, Y).toarray(), top.toarray())
    np.testing.assert_array_equal(labels_at(overlapping, -1, Y).toarray(), edges.toarray())
    assert edges.dtype == np.float32 and edges.has_sorted_indices


def test_tree_passes_through_jit(overlapping):
    @jax.jit
    def double(tree: LabelTree) -> LabelTree:
        assert tree.n_labels == 5  # static
        return jax.tree.map(lambda a: a * 2, tree)

    out = double(overlapping)
    assert isinstance(out, LabelTree)
    np.testing.assert_array_equal(out.edge_label, overlapping.edge_label * 2)
    assert overlapping.equals(jax.tree.map(np.array, overlapping))
    assert not overlapping.equals(out)


@pytest.mark.parametrize(
    ("parents", "label", "cluster", "n_labels", "message"),
    [
        ([], [0, 1], [0, 0], 3, "label 2 (1 in all) has no cluster"),
        ([], [0, 3], [0, 0], 2, "label 3 in the tree"),
        ([], [0, 1], [0, 1], 2, "parent 1 given, ids 0 to 0"),
        ([[0, 0]], [0, 1], [0, 0], 2, "cluster 1 above it is empty"),
        ([[0, 0], [1, 0]], [0, 1], [0, 1], 2, "level 1 of the tree: parents do not ascend"),
        ([[0, 0]], [0, 0, 1], [0, 0, 1], 2, "label 0 is in cluster 0 twice"),
        ([[0, 0]], [1, 0, 1], [0, 0, 1], 2, "not sorted"),
        ([[0.5]], [0], [0], 1, "a list of parent ids needed"),
        ([], [0, 1], [0], 2, "as many needed"),
        ([], [], [], 0, "1 or more needed"),
    ],
)
def test_wrong_trees_are_refused(parents, label, cluster, n_labels, message):
    with pytest.raises(InputError) as error:
        make_tree([np.array(p) for p in parents], np.array(label), np.array(cluster), n_labels)
    assert message in str(error.value)


def test_wrong_level_and_matrix(overlapping):
    with pytest.raises(InputError, match="level 3 asked for"):
        overlapping.max_children(3)
    with pytest.raises(InputError, match="level 7 asked for"):
        labels_at(overlapping, 7, sp.csr_matrix((2, 5)))
    with pytest.raises(InputError, match="4 columns given, the tree has 5"):
        labels_at(overlapping, 0, sp.csr_matrix((2, 4)))


def test_edges_are_summed_up_the_levels(overlapping):
    edges = sp.csr_matrix(np.arange(14, dtype=np.float32).reshape(2, 7))
    assert edges_at(overlapping, -1, edges).toarray().tolist() == edges.toarray().tolist()
    middle = [[0 + 1, 2 + 3 + 4, 5 + 6], [7 + 8, 9 + 10 + 11, 12 + 13]]
    assert edges_at(overlapping, 1, edges).toarray().tolist() == middle
    assert edges_at(overlapping, 0, edges).toarray().tolist() == [[10, 11], [45, 25]]
    Y = sp.csr_matrix(np.eye(5, dtype=np.float32))
    for level in range(3):
        up = edges_at(overlapping, level, labels_at(overlapping, -1, Y))
        assert (up != labels_at(overlapping, level, Y)).nnz == 0
    with pytest.raises(InputError, match="7 edges"):
        edges_at(overlapping, 0, Y)
