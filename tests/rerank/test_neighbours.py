"""Neighbours and their votes against dense products and sums."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.rerank import find_neighbours, make_keys, measure_recall
from xmc_jax.rerank import neighbours as room
from xmc_jax.rerank.votes import count_votes, find_votes, soften, top_votes
from xmc_jax.types import PAD, Features


def draw(n=120, d=40, h=0, seed=0):
    rng = np.random.default_rng(seed)
    sparse = sp.random(n, d, 0.15, "csr", np.float32, random_state=rng)
    sparse.sort_indices()
    return Features(sparse, rng.normal(size=(n, h)).astype(np.float32))


def cosines(a, b):
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    return a @ b.T


@pytest.mark.parametrize("h", [0, 8])
def test_all_features_find_the_nearest(h, monkeypatch):
    monkeypatch.setattr(room, "_KEYS", 50)
    train, test = draw(h=h), draw(30, h=h, seed=1)
    ids, values = find_neighbours(make_keys(train, 1.0), test, 5)
    dense = [x.dense if h else x.sparse.toarray() for x in (test, train)]
    exact = cosines(*dense)
    np.testing.assert_allclose(values, -np.sort(-exact, axis=1)[:, :5], atol=1e-5)
    used = ids != PAD
    row, slot = np.nonzero(used)
    np.testing.assert_allclose(values[used], exact[row, ids[row, slot]], atol=1e-5)


def test_frequent_features_are_left_out(monkeypatch):
    monkeypatch.setattr(room, "_FEWEST", 1)
    train = draw()
    counts = np.bincount(train.sparse.indices, minlength=40)
    keys = make_keys(train, 0.15)
    kept = np.diff(keys.inverted.indptr) > 0
    assert (kept == (counts <= 0.15 * 120)).all()
    assert 0 < kept.sum() < 40


def test_blocks_change_nothing_and_recall_is_told(monkeypatch):
    monkeypatch.setattr(room, "_FEWEST", 1)
    train, test = draw(), draw(40, seed=1)
    keys = make_keys(train, 0.15)
    whole, _ = find_neighbours(keys, test, 5)
    monkeypatch.setattr(room, "_PRODUCTS", 50)
    assert len(room._cut_rows(keys, test)) > 5
    np.testing.assert_array_equal(find_neighbours(keys, test, 5)[0], whole)
    exact, _ = find_neighbours(make_keys(train, 1.0), test, 5)
    same = [len(set(a) & set(b) - {PAD}) for a, b in zip(whole, exact, strict=True)]
    share = measure_recall(train, test, 5, 0.15)
    assert share == pytest.approx(sum(same) / (exact != PAD).sum())
    assert 0 < share < 1
    assert measure_recall(train, test, 5, 1.0) == 1


def test_documents_without_neighbours_have_none():
    train = draw()
    nothing = Features(sp.csr_matrix((2, 40), dtype=np.float32), np.zeros((2, 0), np.float32))
    ids, values = find_neighbours(make_keys(train, 1.0), nothing, 5)
    assert (ids == PAD).all()
    assert (values == 0).all()
    ids, _ = find_neighbours(make_keys(train, 1.0), draw(3, seed=2), 500)
    assert ids.shape == (3, 500)
    assert find_neighbours(make_keys(train, 1.0), draw(3)[:0], 4)[0].shape == (0, 4)


def test_votes_are_sums_over_neighbours():
    rng = np.random.default_rng(0)
    labels = sp.random(50, 12, 0.2, "csr", random_state=rng)
    near = np.stack([rng.permutation(50)[:30] for _ in range(6)])
    near[2, 10:] = PAD
    near[3] = PAD
    cosine = -np.sort(-rng.random(near.shape), axis=1) * (near != PAD)
    votes = count_votes(near, cosine, labels)
    dense = (labels.toarray() > 0).astype(float)
    for values, width, tau in ((votes.near, 20, 0.1), (votes.wide, 30, 0.05)):
        weight = soften(cosine[:, :width], near[:, :width] != PAD, tau)
        expected = np.einsum("bj,bjl->bl", weight, dense[near[:, :width]])
        found = np.zeros((6, 12))
        found.ravel()[votes.key] = values
        np.testing.assert_allclose(found, expected, atol=1e-12)
    at = find_votes(votes, np.arange(12)[None].repeat(6, 0))
    assert ((at >= 0) == ((dense[near] > 0) & (near != PAD)[..., None]).any(axis=1)).all()
    coarse = np.round(votes.wide, 1)  # with ties
    table = np.zeros((6, 12))
    for values in (votes.wide, coarse):
        table.ravel()[votes.key] = values
        for k in (0, 1, 3, 12, 20):
            top = top_votes(votes, values, 6, k)
            for row in range(6):
                mine = votes.key[votes.key // 12 == row] % 12
                best = mine[np.argsort(-table[row, mine], kind="stable")][:k]
                assert top[row].tolist() == [*best, *[PAD] * (k - len(best))]
