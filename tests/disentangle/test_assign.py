"""The assignment in rounds against the greedy loop that it stands for."""

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.disentangle import assign_clusters


def random_counts(seed, n_labels=60, n_clusters=9, highest=6):
    """Few different counts, so that ties are many."""
    counts = sp.random(n_labels, n_clusters, 0.5, "csr", rng=np.random.default_rng(seed))
    counts.data = np.random.default_rng(seed + 1).integers(1, highest, counts.nnz).astype(np.int32)
    return counts


def assign_slowly(counts, label_room, cluster_room):
    """Entry after entry in descending order."""
    entries = counts.tocoo()
    label_room, cluster_room = label_room.copy(), cluster_room.copy()
    pairs = []
    for _, label, cluster in sorted(
        zip(-entries.data, entries.row, entries.col, strict=True), key=lambda e: tuple(e)
    ):
        if label_room[label] and cluster_room[cluster]:
            label_room[label] -= 1
            cluster_room[cluster] -= 1
            pairs.append((int(label), int(cluster)))
    return sorted(pairs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("copies, room", [(1, 8), (2, 10), (3, 15), (2, 60), (6, 21)])
def test_rounds_give_the_greedy_order_exactly(seed, copies, room):
    counts = random_counts(seed)
    rooms = np.full(60, copies), np.full(9, room)
    label, cluster = assign_clusters(counts, *rooms)
    assert list(zip(label.tolist(), cluster.tolist(), strict=True)) == assign_slowly(counts, *rooms)


def test_rooms_may_differ_and_be_none():
    counts = random_counts(7)
    rng = np.random.default_rng(0)
    rooms = rng.integers(0, 4, 60), rng.integers(0, 20, 9)
    label, cluster = assign_clusters(counts, *rooms)
    assert list(zip(label.tolist(), cluster.tolist(), strict=True)) == assign_slowly(counts, *rooms)
    assert (np.bincount(label, minlength=60) <= rooms[0]).all()
    assert (np.bincount(cluster, minlength=9) <= rooms[1]).all()


def test_without_a_limit_every_label_takes_its_largest_counts():
    counts = random_counts(3)
    label, cluster = assign_clusters(counts, np.full(60, 2), np.full(9, 60))
    for row in range(60):
        dense = counts[[row]].toarray()[0]
        best = np.lexsort((np.arange(9), -dense))[:2]
        assert set(cluster[label == row]) == {c for c in best if dense[c]}


def test_nothing_to_assign():
    label, cluster = assign_clusters(sp.csr_matrix((5, 3), dtype=np.int32), np.ones(5), np.ones(3))
    assert len(label) == len(cluster) == 0
