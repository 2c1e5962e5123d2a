"""Decision rules against exhaustive search and counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.calibrate.test_isotonic import COUNTS, draw
from xmc_jax.calibrate import RULES, Ranked, expected_f1_size, fit_calibration, parse_rule, select
from xmc_jax.calibrate.operating import count_operating, find_label_thresholds
from xmc_jax.errors import InputError
from xmc_jax.types import PAD


@pytest.fixture(scope="module")
def fitted():
    ids, scores, hits, n_true = draw(np.random.default_rng(0), 1000)
    calibration = fit_calibration(ids, scores, hits, n_true, COUNTS)
    return (
        calibration,
        Ranked(ids, calibration.apply(ids, scores), np.linspace(1, 9, 50)),
        hits,
        n_true,
    )


def micro_f1(keep, hits, n_true):
    return 2 * (keep & hits).sum() / (keep.sum() + n_true.sum())


def test_micro_f1_is_that_of_the_best_threshold(fitted):
    calibration, ranked, hits, n_true = fitted
    rule, number = parse_rule("micro-f1")
    found = micro_f1(rule.choose(ranked, calibration, number).keep, hits, n_true)
    best = max(
        micro_f1(ranked.probabilities >= t, hits, n_true) for t in np.unique(ranked.probabilities)
    )
    assert found == pytest.approx(best, abs=2e-3)


def test_curve_counts():
    curve = count_operating(np.array([0.2, 0.9, 0.2, 0.5]), np.array([True, True, False, False]), 4)
    assert curve.threshold.tolist() == pytest.approx([0.9, 0.5, 0.2])
    assert curve.returned.tolist() == [1, 2, 4]
    assert curve.right.tolist() == [1, 1, 2]
    assert curve.recall.tolist() == [0.25, 0.25, 0.5]
    assert curve.find_best_f1() == pytest.approx(0.2)


@pytest.mark.parametrize("seed", range(5))
def test_expected_f1_size_is_the_best_prefix(seed):
    p = -np.sort(-np.random.default_rng(seed).random((20, 6)), axis=1)
    for row, size in zip(p, expected_f1_size(p), strict=True):
        best = max(range(1, 7), key=lambda k: 2 * row[:k].sum() / (k + row.sum()))
        assert size == best


def test_label_thresholds_give_the_best_expected_macro_f1():
    rng = np.random.default_rng(0)
    p, label = rng.random(60), np.zeros(60, int)
    threshold = find_label_thresholds(label, p, np.array([60]))[0]
    # One label: nothing to be drawn to but itself.
    kept = p[p >= threshold]
    found = 2 * kept.sum() / (len(kept) + p.sum())
    every = [2 * p[p >= t].sum() / ((p >= t).sum() + p.sum()) for t in p]
    assert found == pytest.approx(max(every))


@pytest.mark.parametrize("name", ["precision", "recall"])
@pytest.mark.parametrize("wanted", [0.5, 0.7])
def test_precision_and_recall_are_kept(fitted, name, wanted):
    calibration, ranked, hits, n_true = fitted
    rule, number = parse_rule(f"{name}:{wanted}")
    keep = rule.choose(ranked, calibration, number).keep
    share = (keep & hits).sum() / (keep.sum() if name == "precision" else n_true.sum())
    assert share >= wanted
    # The next step in the other direction would be much the same: it is no more than was asked for.
    assert share < wanted + 0.05


def test_what_cannot_be_reached_is_said(fitted):
    calibration, ranked, _, _ = fitted
    rule, number = parse_rule("recall:1")
    with pytest.raises(InputError, match="at most 0"):
        rule.choose(ranked, calibration, number)


def test_psp_ranks_by_expected_gain(fitted):
    calibration, ranked, _, _ = fitted
    rule, number = parse_rule("psp")
    keep, values = rule.choose(ranked, calibration, number)
    order = select(ranked, keep, values, max_k=3)
    gains = ranked.probabilities * ranked.weights[ranked.ids]
    for row in range(10):
        best = max(itertools.combinations(range(12), 3), key=lambda c: gains[row, list(c)].sum())
        assert gains[row, order[row]].sum() == pytest.approx(gains[row, list(best)].sum())


@pytest.mark.parametrize("name", [n + (":0.6" if r.number else "") for n, r in RULES.items()])
def test_every_rule_keeps_to_min_and_max(fitted, name):
    calibration, ranked, _, _ = fitted
    rule, number = parse_rule(name)
    order = select(ranked, *rule.choose(ranked, calibration, number), min_k=2, max_k=5)
    n = (order != PAD).sum(axis=1)
    assert ((n >= 2) & (n <= 5)).all()
    assert (np.diff((order == PAD).astype(int), axis=1) >= 0).all()


def test_min_k_adds_the_best_of_the_rest_and_no_more_than_there_is():
    ranked = Ranked(np.array([[4, 2, 7, PAD]]), np.array([[0.4, 0.3, 0.1, 0.0]]))
    nothing = np.zeros((1, 4), bool)
    assert select(ranked, nothing, min_k=2).tolist() == [[0, 1, PAD, PAD]]
    assert select(ranked, nothing, min_k=4).tolist() == [[0, 1, 2, PAD]]
    assert select(ranked, np.array([[False, True, True, True]]), max_k=2).tolist() == [[1, 2]]
    empty = Ranked(np.zeros((0, 4), int), np.zeros((0, 4)))
    assert select(empty, np.zeros((0, 4), bool)).shape == (0, 4)


@pytest.mark.parametrize(
    "text",
    [
        "f1",
        "micro-f1:0.5",
        "precision",
        "precision:x",
        "recall:0",
        "recall:1.5",
        "recall:nan",
        "",
        "recall@0.8",
    ],
)
def test_rules_that_are_not_are_refused(text):
    with pytest.raises(InputError, match="decide="):
        parse_rule(text)


@pytest.mark.parametrize("bounds", [{"min_k": -1}, {"max_k": 0}, {"min_k": 3, "max_k": 2}])
def test_bounds_that_cannot_be_are_refused(bounds):
    ranked = Ranked(np.array([[1]]), np.array([[0.5]]))
    with pytest.raises(InputError, match="min_k"):
        select(ranked, np.ones((1, 1), bool), **bounds)
