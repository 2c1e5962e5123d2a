"""Ensembles of trained models: their predictions combined, whatever they read and however labels are numbered."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.errors import InputError
from xmc_jax.predict import FewResultsWarning, combine

TEXTS = ["red apple", "green pear", "red pear", "green apple"] * 3
LABELS = [["apple", "red"], ["pear"], ["pear", "red"], ["apple"]] * 3
NAMES = ["apple", "pear", "red"]
MATRIX = sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]] * 3, np.float32))
VECTORS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]] * 3, np.float32)
OTHER = ["red", "apple", "pear"]

pytestmark = pytest.mark.filterwarnings("ignore:rows of features are scaled")


@pytest.fixture(scope="module")
def texts():
    return xmc.XRLinear(min_count=1).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def cheap():
    return xmc.XRLinear(min_count=1, cost_positive=0.1).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def vectors():
    """A model on vectors whose labels are numbered otherwise."""
    order = [NAMES.index(name) for name in OTHER]
    return xmc.XRLinear().fit(VECTORS, MATRIX[:, order], label_names=OTHER)


def same(a, b):
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("rule", ["average", "softmax_average", "round_robin"])
def test_members_are_combined(texts, cheap, tmp_path, rule):
    cheap.save(tmp_path / "cheap")
    ensemble = xmc.Ensemble([texts, tmp_path / "cheap"], rule=rule)
    each = [model.predict(TEXTS, top_k=3) for model in (texts, cheap)]
    found = ensemble.predict(TEXTS, top_k=3)
    same(found, combine(each, rule, 3))
    assert found.names()[1][0] == "pear"
    few = ensemble.predict(TEXTS, top_k=1)
    np.testing.assert_array_equal(few.ids, found.ids[:, :1])
    assert ensemble.predict(TEXTS).ids.shape == (12, 3)  # no wider than there are labels
    assert (ensemble.n_train, ensemble.label_names) == (12, NAMES)
    assert ensemble.label_counts.tolist() == [6, 6, 6]


def test_each_member_takes_what_it_reads_and_labels_go_by_name(texts, vectors):
    ensemble = xmc.Ensemble([texts, vectors])
    assert ensemble.reads_text and ensemble.reads_vectors
    found = ensemble.predict((TEXTS, VECTORS), top_k=3)
    of_texts, of_vectors = texts.predict(TEXTS, top_k=3), vectors.predict(VECTORS, top_k=3)
    mean = {}
    for part in (of_texts, of_vectors):
        for name, score in zip(part.names()[0], part.scores[0].tolist(), strict=True):
            mean[name] = mean.get(name, 0.0) + score / 2
    assert found.names()[0] == sorted(mean, key=lambda name: -mean[name])
    np.testing.assert_allclose(found.scores[0], sorted(mean.values(), reverse=True), rtol=1e-6)
    asked = sp.csr_matrix(np.ones((12, 3), np.float32))
    scores = ensemble.predict((TEXTS, VECTORS), candidates=asked).toarray()
    np.testing.assert_allclose(scores, found.to_csr().toarray(), rtol=1e-4)
    for wanted in (["red"], [2]):
        only = ensemble.predict((TEXTS, VECTORS), top_k=1, restrict_to=wanted)
        assert only.names() == [["red"]] * 12
    with pytest.raises(InputError, match=r"a pair \(texts, vectors\)"):
        ensemble.predict(TEXTS)


def test_a_beam_for_all_members_and_its_warning():
    rng = np.random.default_rng(0)
    x = rng.random((64, 8), dtype=np.float32)
    y = sp.csr_matrix(np.eye(16, dtype=np.float32)[np.arange(64) % 16])
    members = [
        xmc.XRLinear(max_leaf_size=4, branching=4, seed=i, trees=n, tolerance=0.5).fit(x, y)
        for i, n in enumerate((1, 2))
    ]
    ensemble = xmc.Ensemble(members)
    assert (ensemble.predict(x, top_k=16).ids >= 0).all()
    with pytest.warns(FewResultsWarning, match="beam=1 finds at most 4"):
        found = ensemble.predict(x, top_k=16, beam=1)
    assert (found.ids < 0).any()
    ensemble.predict(x, top_k=3, beam=1)  # as many as wanted: no warning


@pytest.mark.parametrize("rule", ["mean", "rank"])
def test_rules_are_known(texts, rule):
    with pytest.raises(InputError, match=f"combination rule '{rule}' given"):
        xmc.Ensemble([texts], rule=rule)


def test_members_are_trained_models_of_the_same_labels(texts, vectors, tmp_path):
    for members, message in (
        ([], "no members given"),
        ("runs/a", "members given as str, a list"),
        (texts, "members given as XRLinear, a list"),
        ([texts, xmc.XRLinear()], "member 1 is not trained"),
        ([texts, 3], "member 1 given as int"),
        ([texts, tmp_path / "none"], "no such folder"),
        ([texts, xmc.XRLinear().fit(TEXTS, MATRIX[:, :2])], "member 1: 2 labels, the first has 3"),
        ([texts, xmc.XRLinear().fit(TEXTS, MATRIX)], "member 1: labels with and without names"),
    ):
        with pytest.raises(InputError, match=message):
            xmc.Ensemble(members)


@pytest.mark.slow
def test_models_with_an_encoder_may_be_members(tiny_encoder):
    from xmc_jax.data.synthetic import make_corpus

    corpus = make_corpus(n_train=60, n_test=12, n_labels=20, branching=4, seed=0)
    tree = dict(branching=4, max_leaf_size=8)
    settings = dict(tree=tree, features=dict(min_count=1))
    linear = xmc.XRLinear(**settings).fit(corpus.train_texts, corpus.train_labels)
    mixed = xmc.XRTransformer(
        **settings,
        preliminary=tree,
        encoder=dict(name=str(tiny_encoder), max_length=16, pooling="mean"),
        tuning=dict(steps=0),
    ).fit(corpus.train_texts, corpus.train_labels)
    found = xmc.Ensemble([linear, mixed]).predict(corpus.test_texts, top_k=5)
    each = [model.predict(corpus.test_texts, top_k=20) for model in (linear, mixed)]
    same(found, combine(each, "average", 5))
