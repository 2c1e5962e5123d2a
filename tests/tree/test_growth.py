"""Trees that grow: labels retired and added, clusters emptied and split, where every node comes from."""

from __future__ import annotations

import numpy as np

from xmc_jax.tree import grow_tree, tree_from_levels

TREE = tree_from_levels([[0, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3]])  # 2 - 4 - 8


def halve(labels, depth):
    return np.arange(len(labels)) * (1 << depth) // len(labels)


def grow(origin, new=(), at=(), capacity=4):
    new, at = np.array(new, int), np.array(at, int)
    return grow_tree(TREE, np.array(origin), new, at, capacity=capacity, split=halve)


def test_nothing_changes():
    grown = grow(range(8))
    assert grown.tree.equals(TREE) and not grown.n_split
    for origin, size in zip(grown.origins, TREE.level_sizes, strict=True):
        np.testing.assert_array_equal(origin, np.arange(size))


def test_new_labels_come_under_their_clusters():
    grown = grow([*range(8), -1], [8, 8], [0, 3])
    assert grown.tree.level_sizes == (2, 4, 10)
    np.testing.assert_array_equal(grown.tree.edge_cluster[grown.tree.edge_label == 8], [0, 3])
    np.testing.assert_array_equal(grown.origins[2], [0, 1, -1, 2, 3, 4, 5, 6, 7, -1])


def test_clusters_without_labels_go_and_those_above_them_too():
    grown = grow([0, 1, 2, 3])  # labels 4 to 7 are retired, and with them half of the tree
    assert grown.tree.level_sizes == (1, 2, 4)
    grown = grow([0, 1, 4, 5, 6, 7])
    assert grown.tree.level_sizes == (2, 3, 6)
    np.testing.assert_array_equal(grown.origins[1], [0, 2, 3])
    np.testing.assert_array_equal(grown.origins[2], [0, 1, 4, 5, 6, 7])
    np.testing.assert_array_equal(grown.tree.edge_label, np.arange(6))


def test_a_full_cluster_is_split_into_siblings():
    grown = grow([*range(8), -1, -1, -1], [8, 9, 10], [1, 1, 1])
    assert grown.n_split == 1 and grown.tree.level_sizes == (2, 5, 11)
    np.testing.assert_array_equal(grown.origins[1], [0, -1, -1, 2, 3])
    np.testing.assert_array_equal(grown.tree.parents[1], [0, 0, 0, 1, 1])
    assert grown.tree.max_children(-1) <= 4
    # Labels that were there keep their edges as a start.
    np.testing.assert_array_equal(np.sort(grown.origins[2][grown.origins[2] >= 0]), np.arange(8))
    assert grow([*range(8), -1, -1, -1], [8, 9, 10], [1, 1, 1], None).n_split == 0


def test_flat_trees_take_labels_and_are_not_split():
    flat = tree_from_levels([[0, 0, 0]])
    grown = grow_tree(
        flat, np.array([0, 2, -1]), np.array([2]), np.array([0]), capacity=1, split=halve
    )
    assert grown.tree.level_sizes[-1] == 3
    np.testing.assert_array_equal(grown.origins[-1], [0, 2, -1])
