"""Intervals, bins and tiles: what a report computes beside the scores of `metrics`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.metrics import inverse_propensities
from xmc_jax.metrics.counts import Batch
from xmc_jax.metrics.report import report
from xmc_jax.metrics.truth import read
from xmc_jax.predict import Predictions
from xmc_jax.report.confusion import find_confusions
from xmc_jax.report.findings import choose_worst
from xmc_jax.report.intervals import Parts, find_intervals, score_documents
from xmc_jax.report.reliability import bin_pairs
from xmc_jax.report.tree_map import lay_out, squarify
from xmc_jax.tree import tree_from_levels

RNG = np.random.default_rng(0)


def draw(n=60, n_labels=40, width=12):
    ids = np.stack([RNG.permutation(n_labels)[:width] for _ in range(n)]).astype(np.int32)
    ids[3, 5:] = -1
    scores = -np.sort(-RNG.random((n, width)).astype(np.float32), axis=1)
    truth = (RNG.random((n, n_labels)) < 0.1).astype(np.float32)
    truth[7] = 0
    return Predictions(ids, scores, None, n_labels), sp.csr_matrix(truth)


def test_sums_over_documents_are_the_scores_of_the_report():
    ranked, truth = draw()
    counts, n = RNG.integers(0, 50, 40), 500
    whole = report(ranked, truth, train_counts=counts, n_train=n)
    parts = score_documents(Batch(read(ranked, truth), inverse_propensities(counts, n)))
    assert set(parts) == {
        key for key in whole if key.split("@")[0] in ("P", "nDCG", "PSP", "recall")
    }
    for key, part in parts.items():
        assert 100 * part.above.sum() / part.below.sum() == pytest.approx(100 * whole[key]), key


def test_the_interval_of_a_mean_is_that_of_theory():
    values = RNG.random(2000) * 100
    low, high = find_intervals({"x": Parts(values, np.ones(2000))})["x"]
    half = 1.96 * values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=0.12 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.12 * half)
    assert find_intervals({"x": Parts(np.zeros(0), np.zeros(0))}) == {"x": (0.0, 0.0)}
    assert find_intervals({"x": Parts(np.full(9, 50.0), np.ones(9))}) == {"x": (50.0, 50.0)}


def test_bins_hold_all_pairs_and_never_part_equal_ones():
    values = np.round(RNG.random(500), 1)
    hits = RNG.random(500) < values
    bins = bin_pairs(values, hits, 15)
    assert bins.pairs.sum() == 500
    assert (bins.confidence * bins.pairs).sum() == pytest.approx(values.sum())
    assert (bins.share * bins.pairs).sum() == pytest.approx(hits.sum())
    assert len(bins.pairs) <= len(np.unique(values))
    assert (bins.low < bins.share + 1e-9).all() and (bins.share < bins.high + 1e-9).all()
    assert len(bin_pairs(np.zeros(0), np.zeros(0, bool)).pairs) == 0
    one = bin_pairs(np.full(4, 0.5), np.array([True, True, False, False]))
    assert one.pairs.tolist() == [4] and one.share.tolist() == [0.5]


def test_confusions_are_between_siblings():
    tree = tree_from_levels([[0, 0, 0, 1, 1]])
    ids = np.array([[1, 0], [1, 0], [3, 1], [2, 4]], np.int32)
    truth = sp.csr_matrix(
        np.array([[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    )
    hits = np.array([[False, True], [False, True], [False, False], [True, False]])
    found = find_confusions(ids, hits, truth, tree)
    assert [tuple(pair) for pair in found.pairs] == [(0, 1, 2)]
    assert (found.among_siblings, found.all) == (2, 3)
    without = find_confusions(ids, hits, truth, None)
    assert [tuple(pair) for pair in without.pairs] == [(0, 1, 2), (0, 3, 1)]


def test_the_worst_documents_are_those_that_the_model_was_surest_of():
    hits = np.array([[True], [False], [False], [False], [False]])
    ids = np.array([[0], [1], [2], [1], [1]])
    truth = sp.csr_matrix(np.ones((5, 3)))
    values = np.array([[0.9], [0.5], [0.8], [0.7], [0.6]])
    assert choose_worst(hits, values, ids, truth, 9) == [2, 3, 4, 0]  # label 1 twice at most
    assert choose_worst(hits, values, ids, truth, 1) == [2]


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_tiles_fill_their_box_without_overlap(n):
    sizes = sorted((RNG.random(n) + 0.01).tolist(), reverse=True)
    places = np.array(squarify(sizes))
    assert places[:, 2] * places[:, 3] == pytest.approx(np.array(sizes) / sum(sizes))
    assert places.min() >= -1e-9
    assert (places[:, 0] + places[:, 2]).max() == pytest.approx(1)
    assert (places[:, 1] + places[:, 3]).max() == pytest.approx(1)
    for i in range(n):
        a, b = places[i], places[i + 1 :]
        across = np.minimum(a[0] + a[2], b[:, 0] + b[:, 2]) - np.maximum(a[0], b[:, 0])
        down = np.minimum(a[1] + a[3], b[:, 1] + b[:, 3]) - np.maximum(a[1], b[:, 1])
        assert not ((across > 1e-9) & (down > 1e-9)).any()


def test_a_map_of_many_labels_gathers_the_small_ones():
    n_labels = 30_000
    clusters = np.arange(n_labels) // 30
    tree = tree_from_levels([np.arange(clusters.max() + 1) // 50, clusters])
    counts = RNG.integers(0, 30, n_labels)
    true = RNG.integers(0, 3, n_labels)
    tiles = lay_out(tree, counts, true, true, lambda i: f"label {i}", tiles=4500)
    assert len(tiles) <= 4500
    parent = np.array(tiles.parent)
    has_children = np.isin(np.arange(len(tiles)), parent)
    for column in (tiles.labels, tiles.documents, tiles.true, tiles.found):
        sums = np.bincount(parent[1:], np.array(column)[1:], minlength=len(tiles))
        assert (sums == column)[has_children].all()
    assert any("smaller" in name for name in tiles.name)
