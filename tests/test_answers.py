"""Probabilities and decisions of every kind of model, saved, loaded, restricted, of candidates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.calibrate import RULES
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.predict import Asked, UncalibratedWarning, search
from xmc_jax.types import PAD

CORPUS = make_corpus(n_train=200, n_test=80, n_labels=20, branching=4, seed=0)
SETTINGS = dict(max_leaf_size=5, branching=4, min_count=1, beam=10)
KINDS = {
    "share": dict(calibrate=dict(share=0.2)),
    "folds": dict(calibrate=dict(folds=2, method="isotonic")),
    "copies": dict(calibrate=dict(share=0.2), copies=2),
    "routed": dict(calibrate=dict(share=0.2), disentangle=dict(copies=2, positives="routed")),
    "forest": dict(calibrate=dict(share=0.2), trees=2),
}


def train(**settings):
    return xmc.XRLinear(**SETTINGS, **settings).fit(CORPUS.train_texts, CORPUS.train_labels)


@pytest.fixture(scope="module")
def plain():
    return train()


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return train(**KINDS[request.param])


def check(found, plain_found):
    """Probabilities beside the same labels in the same order."""
    np.testing.assert_array_equal(found.ids, plain_found.ids)
    np.testing.assert_array_equal(found.scores, plain_found.scores)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    assert ((found.probabilities > 0) == (found.ids != PAD)).all()


ENDPOINTS = [
    dict(top_k=4),
    dict(probabilities=True, beam=5),
    dict(threshold=0.2, min_k=1),
    dict(decide="micro-f1", max_k=3),
    dict(restrict_to=[1, 5, 7], probabilities=True),
]


@pytest.mark.parametrize("options", ENDPOINTS)
def test_an_endpoint_answers_what_predict_answers(model, options):
    endpoint = model.endpoint(**options)
    given = {k: v for k, v in options.items() if k != "probabilities"}
    ask = model.predict_proba if "probabilities" in options else model.predict
    for text in CORPUS.test_texts[:2]:
        found, expected = endpoint(text), ask([text], **given)
        for name in ("ids", "scores", "probabilities"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert endpoint(text, 2).ids.shape[1] <= 3
    found.scores[:] = 0  # an answer is the caller's own
    np.testing.assert_array_equal(endpoint(text).scores, expected.scores)


def test_an_endpoint_answers_from_the_model_as_it_is_now():
    model = xmc.XRLinear(**SETTINGS).fit(CORPUS.train_texts, CORPUS.train_labels)
    endpoint = model.endpoint()
    endpoint(CORPUS.test_texts[0])
    model.fit(CORPUS.train_texts[:40], CORPUS.train_labels[:40])
    for text in CORPUS.test_texts[:2]:
        np.testing.assert_array_equal(endpoint(text).scores, model.predict([text]).scores)


def test_an_endpoint_is_called_from_threads_and_compiles_nothing_after_its_warm_up(model):
    endpoint = model.endpoint(top_k=3).warm_up()
    before = search._cache_size()
    texts = [" ".join(CORPUS.test_texts[:n]) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(endpoint, texts))
    assert search._cache_size() == before
    for text, one in zip(texts, found, strict=True):
        np.testing.assert_array_equal(one.ids, model.predict([text], top_k=3).ids)


@pytest.mark.parametrize(
    "options",
    [{"top_k": "3"}, {"top_k": 1.5}, {"top_k": True}, {"min_k": "x"}, {"max_k": 0}, {"threshold": "high"},
     {"threshold": np.array([0.1, 0.2])}, {"threshold": float("inf")}],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(plain, options):
    [name] = options
    with pytest.raises(InputError, match=f"{name}=.* given, "):
        plain.predict(CORPUS.test_texts[:1], **options)


def test_an_endpoint_wants_one_document_and_a_model_that_can(plain):
    endpoint = plain.endpoint()
    with pytest.raises(InputError, match="2 documents given to an endpoint"):
        endpoint(["a", "b"])
    with pytest.raises(InputError, match="texts"):
        endpoint(np.zeros(3))
    with pytest.raises(InputError, match="no probabilities"):
        plain.endpoint(probabilities=True)
    with pytest.raises(InputError, match="not trained"):
        xmc.XRLinear().endpoint()
    with pytest.raises(InputError, match=r"unknown option 'tresh'.* 'threshold'"):
        plain.endpoint(tresh=0.2)
    with pytest.raises(InputError, match="unknown option 'k'"):
        endpoint(CORPUS.test_texts[0], k=2)
    endpoint(CORPUS.test_texts[0], 1)
    for top_k in (True, 1.5, [2], "2"):
        with pytest.raises(InputError, match="top_k"):
            endpoint(CORPUS.test_texts[0], top_k)


def test_every_kind_has_probabilities_and_keeps_them(model, tmp_path):
    found = model.predict_proba(CORPUS.test_texts, 5)
    check(found, model.predict(CORPUS.test_texts, 5))
    model.save(tmp_path / "model")
    again = xmc.load(tmp_path / "model").predict_proba(CORPUS.test_texts, 5)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    assert found[3].probabilities.shape == (1, 5)
    assert found[2:4].probabilities.tolist() == found.probabilities[2:4].tolist()


def test_scores_are_those_of_a_model_without(plain):
    np.testing.assert_array_equal(
        train(calibrate=dict(share=0.2)).predict(CORPUS.test_texts).scores,
        plain.predict(CORPUS.test_texts).scores,
    )


@pytest.mark.parametrize("rule", [n + (":0.5" if r.number else "") for n, r in RULES.items()])
def test_every_rule_decides(model, rule):
    found = model.predict(CORPUS.test_texts, decide=rule, min_k=1, max_k=4)
    n = (found.ids != PAD).sum(axis=1)
    assert ((n >= 1) & (n <= 4)).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_threshold_is_one_of_probabilities(model):
    found = model.predict(CORPUS.test_texts, threshold=0.3)
    every = model.predict_proba(CORPUS.test_texts, found.ids.shape[1])
    assert ((found.ids != PAD) == (every.probabilities >= np.float32(0.3))).all()
    assert (found.probabilities[found.ids != PAD] >= np.float32(0.3)).all()
    few = model.predict(CORPUS.test_texts, 2, threshold=0.3, min_k=1)
    assert few.ids.shape == (80, 2)
    assert (few.ids[:, 0] != PAD).all()


def test_restricted_labels_and_candidates(model):
    only = model.predict_proba(CORPUS.test_texts, 3, restrict_to=[1, 4, 7])
    assert ((only.probabilities > 0) & (only.probabilities < 1)).all()
    asked = sp.csr_matrix(np.ones((80, 20), np.float32))
    found = model.predict_proba(CORPUS.test_texts, candidates=asked)
    scores = model.predict(CORPUS.test_texts, candidates=asked)
    order = np.argsort(scores.data)
    assert (np.diff(found.data[order]) >= 0).all()
    for bad in (dict(threshold=0.3), dict(decide="micro-f1"), dict(min_k=1)):
        with pytest.raises(InputError, match="candidates"):
            model.predict(CORPUS.test_texts, candidates=asked, **bad)


def test_reasons_have_the_ranks_scores_and_probabilities_of_predict(model):
    text = CORPUS.test_texts[1]
    found, made = model.predict_proba([text], 3), model.explain(text, top_k=3)
    assert [r.name for r in made.reasons] == found.names()[0]
    assert [r.verdict for r in made.reasons] == ["rank 1", "rank 2", "rank 3"]
    np.testing.assert_allclose([r.score for r in made.reasons], found.scores[0], rtol=1e-5)
    chances = [r.probability for r in made.reasons]
    np.testing.assert_allclose(chances, found.probabilities[0], rtol=1e-5)
    assert made.text == text
    words = {term.name for step in made.path.steps for term in step.terms}
    assert words & set(text.split())
    cluster = made.path.steps[-2].holds
    assert 1 <= len(cluster) <= 3
    assert set(cluster) <= set(model.label_names)
    assert made.path.steps[-1].holds == ()
    assert made.neighbours == ()
    assert made.reasons[0].evidence == {}


def test_reasons_for_labels_that_were_not_given(model):
    text = CORPUS.test_texts[1]
    ranked = model.predict([text], 3, beam=1).ids[0].tolist()
    other = [i for i in range(20) if i not in ranked]
    made = model.explain(text, [*other, ranked[1]], top_k=3, beam=1)
    assert [r.label for r in made.reasons] == [*other, ranked[1]]
    assert made.reasons[-1].rank == 2
    assert "dropped" in {r.verdict.split()[0] for r in made.reasons[:-1]}
    by_name = model.explain(text, [model.label_names[other[0]]], top_k=3, beam=1)
    assert by_name.reasons[0] == made.reasons[0]
    wide = model.explain(text, other, top_k=3)
    assert {r.verdict.split()[0] for r in wide.reasons} <= {"reached,", "rank"}


def test_a_model_without_says_how_to_mend_it(plain):
    for ask in (plain.predict_proba, lambda x: plain.predict(x, decide="micro-f1")):
        with pytest.raises(InputError, match=r"calibrate\(x, labels\).*calibrate.share"):
            ask(CORPUS.test_texts)
    with pytest.warns(UncalibratedWarning, match="scores"):
        found = plain.predict(CORPUS.test_texts, threshold=0.5)
    assert found.probabilities is None
    assert (found.scores[found.ids != PAD] >= 0.5).all()


def test_calibrated_by_hand(tmp_path):
    model = train()
    assert model.calibrate(CORPUS.test_texts, CORPUS.test_labels) is model
    model.save(tmp_path / "model")
    again = xmc.load(tmp_path / "model")
    assert again.calibration.n_rows == 80
    before = again.predict_proba(CORPUS.test_texts).probabilities
    again.calibrate(CORPUS.test_texts[:40], CORPUS.test_labels[:40], method="platt")
    assert again.calibration.method == "platt"
    assert (again.predict_proba(CORPUS.test_texts).probabilities != before).any()
    for labels, message in (
        (CORPUS.test_labels[:3], "80 documents given for 3"),
        (np.ones((80, 3)), "3 columns"),
    ):
        with pytest.raises(InputError, match=message):
            again.calibrate(CORPUS.test_texts, labels)
    with pytest.raises(InputError, match="isotonic"):
        again.calibrate(CORPUS.test_texts, CORPUS.test_labels, method="isotonik")
    with pytest.raises(InputError, match="not trained"):
        xmc.XRLinear().calibrate(CORPUS.test_texts, CORPUS.test_labels)


def test_an_ensemble_is_calibrated_as_a_whole(plain):
    ensemble = xmc.Ensemble([plain, train(seed=3)])
    with pytest.raises(InputError, match="no probabilities"):
        ensemble.predict_proba(CORPUS.test_texts)
    ensemble.calibrate(CORPUS.test_texts, CORPUS.test_labels)
    check(ensemble.predict_proba(CORPUS.test_texts, 5), ensemble.predict(CORPUS.test_texts, 5))
    with pytest.raises(InputError, match="members"):
        ensemble.explain(CORPUS.test_texts[0])
    few = ensemble.predict(CORPUS.test_texts, decide="micro-f1", max_k=2)
    assert few.ids.shape == (80, 2)


def test_validation_documents_serve_and_a_complete_run_gets_what_it_lacks(tmp_path):
    held_out = CORPUS.test_texts, CORPUS.test_labels
    valid = xmc.XRLinear(**SETTINGS).fit(
        CORPUS.train_texts, CORPUS.train_labels, validation=held_out, workdir=tmp_path / "a"
    )
    assert valid.calibration.n_rows == 80
    check(
        xmc.load(tmp_path / "a").predict_proba(CORPUS.test_texts, 5),
        valid.predict(CORPUS.test_texts, 5),
    )
    off = xmc.XRLinear(**SETTINGS, calibrate=dict(method="none"))
    assert off.fit(CORPUS.train_texts, CORPUS.train_labels, validation=held_out).calibration is None
    run = tmp_path / "b"
    xmc.XRLinear(**SETTINGS).fit(CORPUS.train_texts, CORPUS.train_labels, workdir=run)
    assert xmc.load(run).calibration is None
    more = xmc.XRLinear(**SETTINGS, calibrate=dict(share=0.2))
    more.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=run)
    assert more.calibration.n_rows == 40
    again = xmc.XRLinear(**SETTINGS, calibrate=dict(share=0.2))
    again.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=run)
    np.testing.assert_array_equal(again.calibration.values, more.calibration.values)


@pytest.mark.parametrize(
    "asked",
    [
        dict(threshold=0.5, decide="micro-f1"),
        dict(threshold=float("nan")),
        dict(min_k=-1),
        dict(max_k=0),
        dict(min_k=1.5),
        dict(min_k=3, max_k=2),
        dict(decide="most"),
    ],
)
def test_what_cannot_be_asked_for(asked):
    with pytest.raises(InputError):
        Asked(**asked)


@pytest.mark.parametrize(
    "settings", [dict(share=0.1, folds=2), dict(share=0.9), dict(folds=1), dict(depth=1)]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(InputError):
        xmc.XRLinear(calibrate=settings)
