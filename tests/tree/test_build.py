"""Chains of levels: regrouping to a branching, given levels, flat trees."""

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.tree import build_tree, cluster_labels, flat_tree, tree_from_levels


@pytest.mark.parametrize(
    ("n_labels", "leaf", "branching", "min_clusters", "sizes"),
    [
        (101, 7, 4, "auto", (4, 16, 101)),
        (101, 7, 2, "auto", (2, 4, 8, 16, 101)),
        (101, 7, 16, "auto", (16, 101)),
        (101, 7, 8, "auto", (2, 16, 101)),
        (101, 7, 4, 16, (16, 101)),
        (101, 101, 4, "auto", (101,)),
        (5, 1, 2, "auto", (2, 3, 5, 5)),  # leaves without a label are left out
        (2, 1, 16, "auto", (2, 2)),
    ],
)
def test_binary_leaves_are_regrouped(n_labels, leaf, branching, min_clusters, sizes):
    Z = np.random.default_rng(0).standard_normal((n_labels, 12)).astype(np.float32)
    config = TreeConfig(max_leaf_size=leaf, branching=branching, min_clusters=min_clusters)
    tree = build_tree(Z, config, seed=3)
    assert tree.level_sizes == sizes
    assert tree.max_children(tree.n_levels - 1) <= leaf
    widest = branching if min_clusters == "auto" else max(branching, min_clusters)
    assert all(tree.max_children(t) <= widest for t in range(tree.n_levels - 1))
    assert tree.copies_per_label.tolist() == [1] * n_labels
    leaves = np.diff(tree.children_offsets(-1))
    assert leaves.max() - leaves.min() <= 1
    assert build_tree(Z, config, seed=3).equals(tree)


def test_flat_kind_needs_no_clustering():
    tree = build_tree(sp.csr_matrix((500, 1)), TreeConfig(kind="flat", max_leaf_size=2))
    assert tree.equals(flat_tree(500))
    assert tree.level_sizes == (500,) and tree.max_children(0) == 500
    assert flat_tree(1).n_labels == 1
    with pytest.raises(InputError, match="0 labels"):
        flat_tree(0)


def test_leaf_assignment_alone_is_completed():
    C = sp.csr_matrix(np.eye(10)[[0, 9, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2]])
    tree = tree_from_levels([C], branching=3)
    assert tree.level_sizes == (2, 4, 10, 12)
    assert tree.parents[1].tolist() == [0, 0, 0, 1]
    assert tree.parents[2].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert tree.edge_label.tolist() == [0, 9, 10, 2, 11, 3, 4, 5, 6, 7, 8, 1]
    same = tree_from_levels([np.array([0, 9, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2])], branching=3)
    assert same.equals(tree)
    assert tree_from_levels([C], branching=3, min_clusters=10).level_sizes == (10, 12)


def test_levels_are_renumbered_and_empty_clusters_dropped():
    top = np.array([[1], [1], [1]])  # from the root; cluster 1 will be empty
    middle = np.array([2, 0, 1, 2, 0])  # cluster 2 of these (the only one below 1) is empty
    labels = sp.csr_matrix(np.eye(5)[[0, 1, 3, 4, 4, 0]])
    tree = tree_from_levels([top, middle, labels])
    assert [p.tolist() for p in tree.parents] == [[0, 0], [0, 0, 1, 1]]
    # Below old cluster 0: 1 and 4; below old cluster 2: 0 and 3.
    assert tree.edge_cluster.tolist() == [0, 1, 1, 2, 2, 3]
    assert tree.edge_label.tolist() == [1, 3, 4, 0, 5, 2]


def test_labels_may_have_several_clusters():
    C = np.array([[1, 1, 0], [0, 2, 0], [0, 1, 1]])
    tree = tree_from_levels([C])
    assert tree.copies_per_label.tolist() == [2, 1, 2]
    assert tree.assignment(-1).shape == (5, 3)
    assert tree_from_levels([np.ones((4, 1))]).equals(flat_tree(4))


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "no levels"),
        ([np.array([[1, 0], [0, 0]])], "label 1 (1 in all) has no cluster"),
        (
            [np.array([[1, 1], [0, 1]]), np.array([0, 1])],
            "level 0 of the tree: cluster 0 has 2 parents",
        ),
        ([np.array([0, 0]), np.array([0, 1, 2])], "level 1 of the tree names 3 clusters"),
        ([np.zeros((3, 2))], "without members"),
        ([np.array([0, -1])], "parent -1 given"),
        ([np.array(["a"])], "a matrix [children, parents] or a list"),
    ],
)
def test_wrong_levels_are_refused(levels, message):
    with pytest.raises(InputError) as error:
        tree_from_levels(levels)
    assert message in str(error.value)
    with pytest.raises(InputError, match="branching=1"):
        tree_from_levels([np.array([0])], branching=1)


@pytest.mark.parametrize("dense", [True, False])
def test_splits_may_begin_between_random_members(dense):
    Z = np.random.default_rng(0).integers(-4, 5, (101, 12)).astype(np.float32)
    embeddings = Z if dense else sp.csr_matrix(Z)
    trees = {
        start: build_tree(embeddings, TreeConfig(max_leaf_size=7, start=start), seed=3)
        for start in ("auto", "principal", "random")
    }
    assert trees["auto"].equals(trees["principal"])
    assert not trees["random"].equals(trees["principal"])
    leaf = cluster_labels(embeddings, 4, seed=3, power_steps=0)
    cluster = np.empty(101, np.int64)
    cluster[trees["random"].edge_label] = trees["random"].edge_cluster
    np.testing.assert_array_equal(cluster, np.unique(leaf, return_inverse=True)[1])
    with pytest.raises(InputError, match="'principle' is not a choice; did you mean 'principal'"):
        TreeConfig(start="principle")
