"""What is added to a table of scores can be set, trained and searched with, like what is there."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.scores import COMBINATIONS, MERGES, POST_PROCESSORS, Combination, Merge, PostProcessor

SMALL = dict(tree=dict(max_leaf_size=8, branching=4), features=dict(min_count=1))


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=200, n_test=30, n_labels=32, branching=4, seed=0)


def fit(corpus, **settings):
    return xmc.XRLinear(**SMALL, **settings).fit(corpus.train_texts, corpus.train_labels)


def test_a_post_processor(corpus, monkeypatch):
    toy = PostProcessor(lambda z: jnp.tanh(z), lambda own, parent: own + parent)
    monkeypatch.setitem(POST_PROCESSORS, "toy", toy)
    model = fit(corpus, post_processor="toy")
    found = model.predict(corpus.test_texts, top_k=5)
    asked = found.to_csr()
    assert asked.data.max() > 1  # a sum over levels
    scores = model.predict(corpus.test_texts, candidates=asked)
    np.testing.assert_allclose(scores.data, asked.data, rtol=1e-4)


def test_a_merge(corpus, monkeypatch):
    monkeypatch.setitem(MERGES, "last", Merge(lambda xp, merged, score, count: 0 * merged + 0.25))
    model = fit(corpus, disentangle=dict(copies=2, merge="last"))
    asked = model.predict(corpus.test_texts, top_k=32).to_csr()
    assert (asked.data == 0.25).any()
    assert (model.predict(corpus.test_texts, candidates=asked).data == 0.25).any()


def test_a_merge_of_probabilities_wants_some(monkeypatch):
    monkeypatch.setitem(MERGES, "toy", Merge(MERGES["max"].join, needs_probabilities=True))
    with pytest.raises(xmc.InputError, match=r"disentangle\.merge=toy given"):
        xmc.XRLinear(post_processor="noop", disentangle=dict(merge="toy"))


def test_a_rule(corpus, monkeypatch):
    toy = Combination(lambda ranking, i, n: 1.0 / (1.0 + ranking.place), takes_largest=True)
    monkeypatch.setitem(COMBINATIONS, "toy", toy)
    model = fit(corpus, trees=2, combine="toy")
    found = model.predict(corpus.test_texts, top_k=5)
    np.testing.assert_allclose(found.scores[:, 0], 0.5)  # of the largest, 1, divided by two models
    asked = model.predict(corpus.test_texts, candidates=found.to_csr())
    assert asked.data.max() == 0.5


def test_unknown_names_are_refused_with_those_of_the_table():
    with pytest.raises(xmc.InputError, match="did you mean 'l3-hinge'"):
        xmc.XRLinear(post_processor="l3hinge")
    with pytest.raises(xmc.InputError, match="is not a choice; did you mean 'average'"):
        xmc.XRLinear(trees=2, combine="averge")
