"""What holds for any assignment: the limits, the optimum, who stays, who is never left alone."""

import math

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.disentangle import count_matches, disentangle, measure_agreement, route_positives
from xmc_jax.disentangle.overlap import choose_limit
from xmc_jax.errors import InputError
from xmc_jax.model import labels_at, make_tree
from xmc_jax.tree import flat_tree

N, L, C = 200, 40, 8


@pytest.fixture(scope="module")
def tree():
    return make_tree([np.array([0, 0]), np.arange(C) // 4], np.arange(L), np.arange(L) // 5, L)


@pytest.fixture(scope="module")
def data():
    """Labels of documents and beams; popular clusters are in most beams, labels 0 and 7 in no document."""
    rng = np.random.default_rng(0)
    labels = (rng.random((N, L)) < 0.06).astype(np.float32)
    labels[:, [0, 7]] = 0
    beams = rng.random((N, C)) < np.linspace(0.05, 0.6, C)
    return sp.csr_matrix(labels), sp.csr_matrix(beams.astype(np.float32))


def members(tree):
    dense = np.zeros((tree.n_labels, tree.n_parents(-1)), int)
    np.add.at(dense, (tree.edge_label, tree.edge_cluster), 1)
    return dense


@pytest.mark.parametrize("copies", [1, 2, 3, 6])
@pytest.mark.parametrize("capacity", [1.0, 1.5, None])
def test_limits(tree, data, copies, capacity):
    new = disentangle(*data, tree, copies=copies, capacity=capacity).tree
    where = members(new)
    assert where.max() == 1, "a label twice in one cluster"
    assert (where.sum(axis=1) >= 1).all() and (where.sum(axis=1) <= copies).all()
    assert (where.sum(axis=0) >= 1).all(), "an empty cluster"
    if capacity:
        assert where.sum(axis=0).max() <= math.ceil(capacity * copies * L / C)
    assert all(np.array_equal(a, b) for a, b in zip(new.parents, tree.parents, strict=True))


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_without_a_capacity_it_is_the_optimum(tree, data, copies):
    found = disentangle(*data, tree, copies=copies, capacity=None)
    counts = np.asarray((data[0].T @ data[1]).todense())
    best = np.sort(counts, axis=1)[:, ::-1][:, :copies].sum()
    # No cluster was emptied here, so nothing was given up.
    assert found.after.objective == best == (counts * members(found.tree)).sum()
    assert found.after.gap == 0
    assert found.before.objective == (counts * members(tree)).sum() < best


def test_a_capacity_costs_some_of_it(tree, data):
    free = disentangle(*data, tree, copies=2, capacity=None).after
    tight = disentangle(*data, tree, copies=2, capacity=1.0).after
    assert tight.largest == 10 < free.largest
    assert free.objective / 2 <= tight.objective < free.objective
    assert tight.gap == pytest.approx(1 - tight.objective / free.objective)


@pytest.mark.parametrize("capacity", [1.0, None])
def test_a_label_that_no_beam_reaches_keeps_its_cluster(tree, data, capacity):
    new = disentangle(*data, tree, copies=2, capacity=capacity).tree
    for label in (0, 7):
        assert new.edge_cluster[new.edge_label == label].tolist() == [label // 5]


def test_no_cluster_is_emptied(tree):
    """All documents are routed to cluster 7; every other one keeps the label that is most at home there."""
    labels = sp.csr_matrix(np.eye(L, dtype=np.float32)[np.arange(N) % L])
    beams = np.zeros((N, C), np.float32)
    beams[:, 7] = 1
    beams[3, 0] = 1  # label 3 has been seen in cluster 0
    new = disentangle(labels, sp.csr_matrix(beams), tree, copies=1, capacity=None).tree
    where = members(new)
    assert where.sum(axis=0).tolist() == [1] * 7 + [L - 7]
    assert where[3, 0] == 1 and where[5, 1] == 1


def test_labels_without_room_go_home_or_to_a_free_place(tree):
    """Everyone wants cluster 7, which takes 5 of 40: those of cluster 7 with the most documents, then by id."""
    labels = sp.csr_matrix(np.eye(L, dtype=np.float32)[np.arange(N) % L])
    beams = np.zeros((N, C), np.float32)
    beams[:, 7] = 1
    new = disentangle(labels, sp.csr_matrix(beams), tree, copies=1, capacity=1.0).tree
    where = members(new)
    assert (where.sum(axis=0) == 5).all() and (where.sum(axis=1) == 1).all()


def test_reached_share_and_counts_by_hand():
    tree = make_tree([np.array([0, 0])], np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
    labels = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32))
    beams = sp.csr_matrix(np.array([[1, 0], [1, 1], [1, 0]], np.float32))
    counts = count_matches(labels, beams).counts
    assert counts.toarray().tolist() == [[1, 0], [2, 1], [1, 0]]
    agreement = measure_agreement(counts, labels, beams, tree, copies=2)
    assert agreement.objective == 1 + 2 + 1 and agreement.gap == pytest.approx(1 - 4 / 5)
    assert agreement.reached == pytest.approx(3 / 4)  # document 2 misses label 2
    routed = route_positives(labels, beams, tree).toarray()
    #       edges: (0, c0) (1, c0) (1, c1) (2, c1)
    assert routed.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def test_a_beam_over_all_clusters_routes_to_all_copies(tree, data):
    labels, beams = data
    overlapping = disentangle(labels, beams, tree, copies=3).tree
    everything = sp.csr_matrix(np.ones((N, C), np.float32))
    routed = route_positives(labels, everything, overlapping)
    np.testing.assert_array_equal(
        routed.toarray(), labels_at(overlapping, -1, labels).toarray() > 0
    )
    nothing = sp.csr_matrix((N, C), dtype=np.float32)
    assert (route_positives(labels, nothing, overlapping) != routed).nnz == 0


def test_a_stored_zero_is_no_label_but_in_the_beam():
    labels = sp.csr_matrix((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2])), (1, 2))
    beams = sp.csr_matrix((np.array([0.0]), np.array([1]), np.array([0, 1])), (1, 2))
    assert count_matches(labels, beams).counts.toarray().tolist() == [[0, 1], [0, 0]]


def test_equal_counts_go_by_the_places_in_the_beams():
    """One document a label: of the clusters in its beam the two with the highest scores are taken, below zero too."""
    tree = make_tree([np.arange(4) * 0], np.arange(4), np.arange(4), 4)
    labels = sp.csr_matrix(np.eye(4, dtype=np.float32))
    scores = np.array([[-4, -1, -2, -3], [-1, -4, -3, -2], [-1, -2, -3, -4], [-3, -4, -1, -2]])
    new = disentangle(labels, sp.csr_matrix(scores), tree, copies=2, capacity=None).tree
    assert members(new).tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
    order = count_matches(labels + labels[[1, 1, 1, 1]], sp.csr_matrix(scores)).order
    assert (order.toarray()[1] > order.toarray()[[0, 2, 3]].max(axis=0)).all(), "counts go first"


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(copies=0), "copies=0"),
        (dict(capacity=0.5), "capacity=0.5"),
        (dict(labels=sp.csr_matrix((N, L + 1))), "needed"),
        (dict(matched=sp.csr_matrix((N, C - 1))), "needed"),
        (dict(tree=flat_tree(L)), "one level"),
    ],
)
def test_what_is_refused(tree, data, change, message):
    given = dict(labels=data[0], matched=data[1], tree=tree, copies=2) | change
    with pytest.raises(InputError, match=message):
        disentangle(**given)


def test_a_tree_with_more_copies_than_asked_for_is_refused(tree, data):
    three = disentangle(*data, tree, copies=3).tree
    with pytest.raises(InputError, match="3 clusters and copies=2"):
        disentangle(*data, three, copies=2)
    again = disentangle(*data, three, copies=3)
    assert again.tree.equals(three) and again.before == again.after


@pytest.mark.parametrize(
    ("capacity", "mean", "limit"),
    [
        (1.5, 40.1, 61),
        (1.5, 174, 256),  # 261
        (1.5, 182, 288),  # 273
        (1.0, 130, 160),  # 128 would not hold all
        (1.0, 128, 128),
    ],
)
def test_large_clusters_fill_whole_words(capacity, mean, limit):
    assert choose_limit(capacity, mean) == limit
