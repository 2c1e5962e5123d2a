"""Probabilities: order, range, what little data gives, and what is written and read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.calibrate.test_isotonic import COUNTS, draw
from xmc_jax.calibrate import METHODS, Calibration, fit_calibration
from xmc_jax.errors import InputError
from xmc_jax.types import PAD


def ece(probability, hit, bins=10):
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    return sum(len(p) * abs(probability[p].mean() - hit[p].mean()) for p in parts) / len(order)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_order_and_range(method, seed):
    rng = np.random.default_rng(seed)
    ids, scores, hits, n_true = draw(rng)
    fitted = fit_calibration(ids, scores, hits, n_true, COUNTS, method)
    _, other, _, _ = draw(np.random.default_rng(seed + 100))
    found = fitted.apply(ids, other * 1.5 - 0.2)
    assert (np.diff(found, axis=1) <= 0).all()
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_are_shares_of_hits(method):
    fitted = fit_calibration(*draw(np.random.default_rng(0), 3000), COUNTS, method)
    ids, scores, hits, _ = draw(np.random.default_rng(1), 3000)
    before, after = (
        ece(scores.ravel(), hits.ravel()),
        ece(fitted.apply(ids, scores).ravel(), hits.ravel()),
    )
    assert before > 0.1
    assert after < 0.03


def test_ranks_have_maps_of_their_own():
    ids, scores, hits, n_true = draw(np.random.default_rng(0), 3000)
    by_rank, one = (
        fit_calibration(ids, scores, hits, n_true, COUNTS, m).apply(ids, scores)
        for m in ("isotonic-rank", "isotonic")
    )
    assert ece(by_rank[:, 0], hits[:, 0]) < ece(one[:, 0], hits[:, 0]) - 0.05


@pytest.mark.parametrize("method", METHODS)
def test_one_document_one_score_and_unused_slots(method):
    ids, scores = np.array([[3, 1, PAD]]), np.array([[0.5, 0.5, 0.0]])
    fitted = fit_calibration(
        ids, scores, np.array([[True, False, False]]), np.ones(1, int), COUNTS, method
    )
    found = fitted.apply(ids, scores)
    assert found[0, 2] == 0
    assert 0 < found[0, 1] <= found[0, 0] < 1
    assert fitted.apply(ids[:0], scores[:0]).shape == (0, 3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [False, True])
def test_never_or_always_right(method, value):
    ids, scores, hits, n_true = draw(np.random.default_rng(0), 50)
    found = fit_calibration(ids, scores, np.full(hits.shape, value), n_true, COUNTS, method).apply(
        ids, scores
    )
    assert np.isfinite(found).all()
    assert (np.abs(found - value) < 0.05).all()


def test_margins_are_scores_too():
    rng = np.random.default_rng(0)
    ids, scores, hits, n_true = draw(rng, 1000)
    margin = np.log(scores / (1 - scores + 1e-9) + 1e-9)
    for method in ("isotonic-rank", "platt"):
        found = fit_calibration(ids, margin, hits, n_true, COUNTS, method).apply(ids, margin)
        assert ece(found.ravel(), hits.ravel()) < 0.05
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        fit_calibration(ids, margin, hits, n_true, COUNTS, "beta")


def test_labels_that_are_not_the_best_of_all_have_one_map():
    ids, scores, hits, n_true = draw(np.random.default_rng(0), 2000)
    fitted = fit_calibration(ids, scores, hits, n_true, COUNTS)
    found = fitted.apply(ids, scores, ranked=False)
    np.testing.assert_allclose(found, fitted.score_pairs(scores), atol=1e-6)
    assert (found[:, 0] != fitted.apply(ids, scores)[:, 0]).any()


def test_arrays_hold_all():
    ids, scores, hits, n_true = draw(np.random.default_rng(0))
    fitted = fit_calibration(ids, scores, hits, n_true, COUNTS)
    again = Calibration.from_arrays(fitted.to_arrays(), fitted.to_note())
    np.testing.assert_array_equal(again.apply(ids, scores), fitted.apply(ids, scores))
    assert again.curve.find_best_f1() == fitted.curve.find_best_f1()
    assert again.to_note() == fitted.to_note()


def test_nothing_to_fit_and_unknown_methods_are_refused():
    none = np.full((2, 3), PAD)
    with pytest.raises(InputError, match="no ranked label"):
        fit_calibration(none, np.zeros((2, 3)), np.zeros((2, 3), bool), np.ones(2, int), COUNTS)
    ids, scores, hits, n_true = draw(np.random.default_rng(0), 5)
    with pytest.raises(InputError, match="isotonic"):
        fit_calibration(ids, scores, hits, n_true, COUNTS, "isotonik")
