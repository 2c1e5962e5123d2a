"""A memory and a re-ranker through every door: kinds of models, saved, restricted, candidates, decisions, reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.rerank.fit import choose_way
from xmc_jax.types import PAD

CORPUS = make_corpus(n_train=240, n_test=60, n_labels=30, branching=4, seed=0)
SETTINGS = dict(max_leaf_size=5, branching=4, min_count=1, beam=3)
RERANK = dict(mode="reranker", share=0.4, neighbours=30, candidates=10, votes=4)
KINDS = {
    "trees": {},
    "mixture of copies": dict(rerank=RERANK | dict(mode="mixture"), copies=2),
    "logistic over a forest": dict(
        rerank=RERANK | dict(learner="logistic"), calibrate=dict(folds=2), trees=2
    ),
    "margins": dict(post_processor="noop"),
}


def train(workdir=None, **settings):
    model = xmc.XRLinear(**SETTINGS | dict(rerank=RERANK) | settings)
    return model.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=workdir)


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return train(**KINDS[request.param])


def test_every_kind_ranks_and_keeps_it(model, tmp_path):
    found = model.predict(CORPUS.test_texts, 6)
    used = found.ids != PAD
    assert used[:, 0].all()
    assert all(len(set(row[ok])) == ok.sum() for row, ok in zip(found.ids, used, strict=True))
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    one, same = (ask(CORPUS.test_texts[:1], top_k=6) for ask in (model.endpoint(), model.predict))
    np.testing.assert_array_equal(one.ids, same.ids)
    np.testing.assert_array_equal(one.scores, same.scores)
    model.save(tmp_path / "model")
    loaded = xmc.load(tmp_path / "model")
    again = loaded.predict(CORPUS.test_texts, 6)
    np.testing.assert_array_equal(again.ids, found.ids)
    np.testing.assert_array_equal(again.scores, found.scores)
    assert loaded.reranker.told == model.reranker.told
    one = model.predict(CORPUS.test_texts[3:4], 6)
    if model.config.search.post_processor == "l3-hinge":
        # Margins have many ties, which the last digit of a score decides.
        np.testing.assert_array_equal(one.ids[0], found.ids[3])
        np.testing.assert_allclose(one.scores[0], found.scores[3], rtol=1e-4)


def test_a_longer_ranking_begins_as_a_shorter_one(model):
    few, many = (model.predict(CORPUS.test_texts, k) for k in (3, 12))
    np.testing.assert_array_equal(few.ids, many.ids[:, :3])
    np.testing.assert_allclose(few.scores, many.scores[:, :3], rtol=1e-5)


def test_restricted_labels_and_candidates(model):
    only = model.predict(CORPUS.test_texts, 3, restrict_to=[1, 4, 7])
    assert set(only.ids[only.ids != PAD]) <= {1, 4, 7}
    asked = sp.csr_matrix(np.ones((60, 30), np.float32))
    scores = model.predict(CORPUS.test_texts, candidates=asked).toarray()
    with pytest.raises(InputError, match="restricted"):
        model.predict(CORPUS.test_texts, candidates=asked, restrict_to=[1])
    assert model.predict([], 3).ids.shape == (0, 3)
    assert model.predict([], candidates=asked[:0]).shape == (0, 30)
    found = model.predict(CORPUS.test_texts, 3)
    row, slot = np.nonzero(found.ids != PAD)
    np.testing.assert_allclose(
        scores[row, found.ids[row, slot]], found.scores[row, slot], rtol=1e-4, atol=1e-6
    )


def test_probabilities_and_decisions_are_of_the_new_ranking(model):
    assert model.calibration is not None
    found = model.predict_proba(CORPUS.test_texts, 5)
    np.testing.assert_array_equal(found.ids, model.predict(CORPUS.test_texts, 5).ids)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    assert model.predict(CORPUS.test_texts, decide="micro-f1", max_k=2).ids.shape == (60, 2)


def test_reasons_name_what_was_seen_and_who_is_near(model):
    text = CORPUS.test_texts[0]
    found = model.predict([text], 4)
    made = model.explain(text, top_k=4)
    assert [r.label for r in made.reasons] == found.ids[0].tolist()
    assert [r.rank for r in made.reasons] == [1, 2, 3, 4]
    np.testing.assert_allclose([r.score for r in made.reasons], found.scores[0], rtol=1e-5)
    assert all("cosine of the nearest" in r.evidence for r in made.reasons)
    assert made.neighbours[0].cosine >= made.neighbours[-1].cosine > 0
    assert json.loads(made.to_json())["neighbours"]
    other = model.explain(text, [i for i in range(30) if i not in found.ids[0]][:2], top_k=4)
    assert all(r.rank is None and r.score <= found.scores[0, -1] + 1e-6 for r in other.reasons)


def test_off_is_among_the_choices():
    plain = {"P@1": 50.0, "P@3": 40.0, "P@5": 30.0}
    worse = {"P@1": 49.9, "P@3": 45.0, "P@5": 35.0}
    better = {"P@1": 50.1, "P@3": 40.1, "P@5": 30.0}
    assert choose_way({"off": plain, "reranker": worse}) == "off"
    assert choose_way({"off": plain, "reranker": worse, "mixture": better}) == "mixture"


def test_a_complete_run_gets_a_memory_and_loses_it(tmp_path):
    run = tmp_path / "run"
    plain = train(run, rerank=dict(mode="off"))
    assert plain.reranker is None
    more = train(run)
    assert more.reranker.mode == "reranker"
    found = xmc.load(run).predict(CORPUS.test_texts, 5)
    np.testing.assert_array_equal(found.ids, more.predict(CORPUS.test_texts, 5).ids)
    less = train(run, rerank=dict(mode="off"))
    assert less.reranker is None
    assert xmc.load(run).reranker is None
    np.testing.assert_array_equal(
        less.predict(CORPUS.test_texts, 5).scores, plain.predict(CORPUS.test_texts, 5).scores
    )
