"""Explanations: the walk is the search, the parts add up to the margin and the paths to the score."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.config import choose_merge
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.explain import (
    Explanation,
    Reason,
    merge_paths,
    read_row,
    say_verdict,
    sum_terms,
    trace,
    walk,
)
from xmc_jax.predict import matched_clusters

pytestmark = pytest.mark.filterwarnings("ignore:rows of features are scaled")

CORPUS = make_corpus(n_train=200, n_test=30, n_labels=40, branching=4, seed=0)
SETTINGS = dict(max_leaf_size=5, branching=4, min_count=1, beam=3)
KINDS = {
    "plain": {},
    "copies": dict(copies=2),
    "forest": dict(trees=2),
    "margins": dict(post_processor="noop"),
    "logs": dict(post_processor="log-sigmoid"),
}


@pytest.fixture(scope="module", params=[*KINDS, "hybrid"])
def model(request):
    if request.param != "hybrid":
        return xmc.XRLinear(**SETTINGS, **KINDS[request.param]).fit(
            CORPUS.train_texts, CORPUS.train_labels
        )
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(40, 6)).astype(np.float32)
    labels = np.arange(200) % 40
    return xmc.XRLinear(max_leaf_size=5, branching=4, beam=3).fit(
        centers[labels] + 0.1 * rng.normal(size=(200, 6)).astype(np.float32),
        sp.csr_matrix(np.eye(40, dtype=np.float32)[labels]),
    )


def take(model, n=8):
    if model.vectorizer is None:
        return model.featurize(np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32))
    return model.featurize(CORPUS.test_texts[:n])


def test_the_walk_is_the_search(model):
    features, tree = take(model), model.models[0]
    for depth in range(1, len(tree.levels)):
        above = xmc.XRLinear.__module__ and type(tree)(
            tree.tree, tree.levels[:depth], tree.post_processors, tree.n_sparse, tree.n_dense
        )
        matched = matched_clusters(above, features, 3)
        for i in range(len(features)):
            level = walk(tree, read_row(features, i), 3)[depth - 1]
            found = dict(zip(level.node[level.kept], level.score[level.kept], strict=True))
            expected = dict(zip(matched[i].indices, matched[i].data, strict=True))
            assert found.keys() == expected.keys()
            np.testing.assert_allclose(
                [found[k] for k in expected], list(expected.values()), rtol=1e-4, atol=1e-6
            )


def test_parts_add_up(model):
    features = take(model)
    names = None if model.vectorizer is None else model.vectorizer.vocabulary
    beams = [model.config.search.choose_beam(m.tree.has_copies) for m in model.models]
    x = (
        CORPUS.test_texts[:8]
        if names
        else np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    )
    ranked = model.predict(x, 5)
    merge = choose_merge(model.config)
    for i in range(len(features)):
        used = ranked.ids[i][ranked.ids[i] >= 0]
        for label, score, paths in zip(
            used,
            ranked.scores[i],
            trace(model.models, read_row(features, i), used, beams, names),
            strict=False,
        ):
            for path in paths:
                for step in path.steps:
                    whole = sum(t.gave for t in step.terms) + step.others + step.vector + step.bias
                    assert whole == pytest.approx(step.margin, abs=1e-5)
            # A tree that did not reach the label adds nothing.
            total = 0.0
            for number in range(len(model.models)):
                mine = [p for p in paths if p.tree == number]
                assert [p.steps[-1].node for p in mine] == np.flatnonzero(
                    model.models[number].tree.edge_label == label
                ).tolist()
                if any(p.reached for p in mine):
                    total += merge_paths(mine, merge) / len(model.models)
            assert total == pytest.approx(float(score), rel=1e-3, abs=1e-5)


def test_a_label_that_was_dropped_says_where(model):
    features = take(model)
    beams = [model.config.search.choose_beam(m.tree.has_copies) for m in model.models]
    row = read_row(features)
    n_labels = model.models[0].tree.n_labels
    dropped = 0
    for paths in trace(model.models, row, range(n_labels), beams, None):
        for path in paths:
            levels = walk(model.models[path.tree], row, 3)
            last = levels[-1].node
            assert path.reached == (path.steps[-1].node in last)
            if path.dropped is not None:
                dropped += 1
                step = path.steps[path.dropped]
                assert step.rank > step.beam
                assert step.score <= step.least
                assert all(s.rank == 0 for s in path.steps[path.dropped + 1 :])
        if not any(p.reached for p in paths):
            assert "dropped by the beam at level" in say_verdict(paths, None, 0.1, 0.2)
    assert dropped


def test_pictures_and_json():
    model = xmc.XRLinear(**SETTINGS).fit(CORPUS.train_texts, CORPUS.train_labels)
    row = read_row(model.featurize(CORPUS.test_texts[:1]))
    paths = trace(model.models, row, [0, 3], [3], model.vectorizer.vocabulary, n_terms=2)
    reasons = [
        Reason(i, f"<{i}>", None, p[0].score, 0.5, "rank 1", p, *sum_terms(p[0], 3), {})
        for i, p in zip((0, 3), paths, strict=True)
    ]
    made = Explanation("<b>a text</b> " * 50, tuple(reasons))
    again = json.loads(made.to_json())
    assert [r["label"] for r in again["reasons"]] == [0, 3]
    assert again["reasons"][0]["paths"][0]["steps"][-1]["least"] is None
    text = str(made)
    assert "level 0" in text
    assert len(max(text.splitlines(), key=len)) < 260
    html = made._repr_html_()
    assert "<b>a text" not in html
    assert "&lt;0&gt;" in html
    assert html.count("<table") == html.count("</table>") == 2
    assert made.path.steps[0].level == 0
    assert all(t.gave > 0 for t in reasons[0].added)


def test_no_features_at_all():
    model = xmc.XRLinear(**SETTINGS).fit(CORPUS.train_texts, CORPUS.train_labels)
    row = read_row(model.featurize(["zzzz"]))
    (paths,) = trace(model.models, row, [0], [3], None)
    assert all(
        not step.terms and step.margin == pytest.approx(step.bias) for step in paths[0].steps
    )
