"""The whole-tree search against loops over nodes; its invariants and the programs it compiles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xmc_jax.ops import pack_rows
from xmc_jax.predict import build_index, search
from xmc_jax.predict.search import match
from xmc_jax.types import PAD


def run(model, features, beam, top_k, **options):
    index = build_index(model)
    ids, values = pack_rows(features.sparse, 32, pad=PAD)
    found = search(index, ids, values, features.dense, top_k, beam=beam, top_k=top_k, **options)
    return tuple(np.asarray(x) for x in found)


def assert_same(tools, ids, scores, expected):
    for row, score, found in zip(ids, scores, expected, strict=True):
        used = row != PAD
        want = tools.rank(found, len(row))
        assert row[used].tolist() == want
        np.testing.assert_allclose(score[used], [found[n] for n in want], rtol=1e-3, atol=1e-7)
        assert not score[~used].any() and (row[len(want) :] == PAD).all()


# Every post-processor on some level; what each does is tested by its values.
@pytest.mark.parametrize(
    "kinds",
    [
        ("noop", "sigmoid", "l4-hinge"),
        ("log-sigmoid", "log-l1-hinge", "log-l4-hinge"),
        ("l1-hinge", "l2-hinge", "l3-hinge"),
        ("log-l3-hinge", "log-l2-hinge", "noop"),
    ],
)
def test_equals_loops_for_every_post_processor(tools, kinds):
    model, features = tools.model(kinds), tools.features()
    ids, scores = run(model, features, 4, 7)
    assert (ids != PAD).all()
    assert_same(tools, ids, scores, tools.slowly(model, features, 4))


@pytest.mark.parametrize("merge", ["mean", "max", "noisy-or"])
@pytest.mark.parametrize("beam", [3, 10])
def test_copies_of_a_label_are_merged(tools, merge, beam):
    model, features = tools.model(copies=True, dense=tools.H), tools.features(dense=tools.H)
    ids, scores = run(model, features, beam, tools.L, merge=merge)
    expected = tools.slowly(model, features, beam, merge)
    assert_same(tools, ids, scores, expected)
    assert all(len(set(r[r != PAD])) == (r != PAD).sum() for r in ids)
    if beam == 10:
        plain = tools.slowly(model, features, beam, "max" if merge == "mean" else "mean")
        assert any(a != b for a, b in zip(expected, plain, strict=True))


def test_a_beam_that_covers_the_levels_is_exhaustive(tools):
    model, features = tools.model(), tools.features()
    ids, scores = run(model, features, 10, tools.L)
    every = tools.slowly(model, features, 10**6)
    assert all(len(found) == tools.L for found in every)
    assert_same(tools, ids, scores, every)


def test_a_row_depends_on_its_query_alone(tools):
    model, features = tools.model(copies=True), tools.features()
    ids, scores = run(model, features, 3, 5)
    for i in (0, 7, 16):
        one_ids, one_scores = run(model, features[i : i + 1], 3, 5)
        assert (one_ids[0] == ids[i]).all()
        np.testing.assert_array_equal(one_scores[0], scores[i])


def test_an_empty_query_is_ranked_by_the_biases(tools):
    model, features = tools.model("noop"), tools.features(3, density=0.0)
    ids, scores = run(model, features, 10, 5)
    bias = np.empty(tools.L)
    bias[model.tree.edge_label] = model.levels[-1].bias
    assert (ids == np.argsort(-bias)[:5]).all()
    np.testing.assert_allclose(scores[0], np.sort(bias)[::-1][:5], rtol=1e-6)


def test_equal_scores_are_ordered_by_label(tools):
    model, features = tools.model(), tools.features(2, density=0.0)
    levels = [dataclasses.replace(w, bias=np.full_like(w.bias, 2.0)) for w in model.levels]
    model = dataclasses.replace(model, levels=tuple(levels))
    ids, scores = run(model, features, 10, tools.L)
    assert (ids == np.arange(tools.L)).all() and (scores == 1.0).all()
    # A narrow beam keeps the clusters of smaller number.
    ids, _ = run(model, features, 2, tools.L)
    tree = model.tree
    kept = np.flatnonzero(np.isin(tree.parents[1], [0, 1]))[:2]
    assert set(ids[0]) - {PAD} == set(tree.edge_label[np.isin(tree.edge_cluster, kept)])


def test_scores_beyond_floats_stay_candidates(tools):
    model, features = tools.model("log-l4-hinge"), tools.features(2, density=0.0)
    levels = [dataclasses.replace(w, bias=np.full_like(w.bias, -1e12)) for w in model.levels]
    ids, scores = run(dataclasses.replace(model, levels=tuple(levels)), features, 10, tools.L)
    assert (ids == np.arange(tools.L)).all() and np.isfinite(scores).all()


def test_match_returns_the_beam_of_a_prefix(tools):
    model, features = tools.model(), tools.features()
    prefix = dataclasses.replace(model, levels=model.levels[:2])
    ids, values = pack_rows(features.sparse, 32, pad=PAD)
    nodes, scores = match(build_index(prefix), ids, values, features.dense, beam=4)
    for row, score, found in zip(
        np.asarray(nodes),
        np.asarray(scores),
        tools.slowly(model, features, 4, depth=2),
        strict=True,
    ):
        assert row.tolist() == sorted(found)
        np.testing.assert_allclose(score, [found[n] for n in row], rtol=2e-4)


def test_batches_of_one_shape_compile_once(tools):
    model = tools.model(seed=5)
    run(model, tools.features(seed=2), 4, 3)
    before = search._cache_size()
    run(model, tools.features(seed=3), 4, 3)
    assert search._cache_size() == before
    run(model, tools.features(seed=3), 5, 3)
    assert search._cache_size() == before + 1
