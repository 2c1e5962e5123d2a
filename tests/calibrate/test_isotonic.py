"""Isotonic fits against scikit-learn, and the order of ranks and scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from xmc_jax.calibrate import fit_calibration, fit_increasing, fit_ordered
from xmc_jax.calibrate.calibration import FLOOR, KNOTS
from xmc_jax.calibrate.isotonic import fit_decreasing_columns

COUNTS = np.full(50, 4)


def draw(rng, n=400, r=12, digits=8):
    """Returns ids, scores, hits of documents whose labels are right with probability score².

    The first rank is right more often than others of its score.
    """
    scores = -np.sort(-rng.random((n, r)).round(digits), axis=1)
    ids = np.stack([rng.permutation(50)[:r] for _ in range(n)])
    hits = rng.random((n, r)) < np.minimum(1, scores**2 * np.where(np.arange(r) == 0, 1.3, 0.8))
    return ids, scores, hits, hits.sum(axis=1) + 1


@pytest.mark.parametrize("seed", range(5))
def test_increasing_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    y, w = rng.normal(size=60), rng.random(60) + 0.1
    other = IsotonicRegression().fit(np.arange(60), y, w).predict(np.arange(60))
    np.testing.assert_allclose(fit_increasing(y, w), other, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_columns_are_fitted_as_one_by_one(seed):
    rng = np.random.default_rng(seed)
    y, w = rng.normal(size=(6, 7)), rng.random((6, 7)) + 0.1
    for fitted, values, weights in zip(fit_decreasing_columns(y, w).T, y.T, w.T, strict=True):
        np.testing.assert_allclose(
            fitted[::-1], fit_increasing(values[::-1], weights[::-1]), atol=1e-9
        )


def test_a_table_is_the_least_squares_fit():
    rng = np.random.default_rng(3)
    y, w = rng.random((3, 4)), rng.random((3, 4)) + 0.2
    order = [
        {"type": "ineq", "fun": lambda x: np.diff(x.reshape(3, 4), axis=1).ravel()},
        {"type": "ineq", "fun": lambda x: -np.diff(x.reshape(3, 4), axis=0).ravel()},
    ]
    best = minimize(
        lambda x: (w.ravel() * (x - y.ravel()) ** 2).sum(),
        y.ravel(),
        constraints=order,
        options={"maxiter": 500, "ftol": 1e-12},
    ).x.reshape(3, 4)
    np.testing.assert_allclose(fit_ordered(y, w), best, atol=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_a_table_is_ordered_where_cells_are_empty(seed):
    rng = np.random.default_rng(seed)
    w = rng.integers(0, 3, (6, 40)).astype(float)
    w[:, 7] = 1
    fitted = fit_ordered(rng.random((6, 40)), w)
    assert (np.diff(fitted, axis=1) >= 0).all()
    assert (np.diff(fitted, axis=0) <= 0).all()


def test_one_map_is_scikit_learns():
    rng = np.random.default_rng(0)
    ids, scores, hits, n_true = draw(rng, digits=2)  # 101 scores: each is a knot
    found = fit_calibration(ids, scores, hits, n_true, COUNTS, "isotonic").apply(ids, scores)
    other = IsotonicRegression(y_min=FLOOR, y_max=1 - FLOOR, out_of_bounds="clip")
    expected = other.fit(scores.ravel(), hits.ravel()).predict(scores.ravel())
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)


def test_many_scores_keep_to_the_knots_and_near_scikit_learns():
    rng = np.random.default_rng(0)
    ids, scores, hits, n_true = draw(rng, 2000)
    fitted = fit_calibration(ids, scores, hits, n_true, COUNTS, "isotonic")
    assert len(fitted.knots) <= KNOTS
    other = IsotonicRegression(out_of_bounds="clip").fit(scores.ravel(), hits.ravel())
    gap = np.abs(fitted.apply(ids, scores).ravel() - other.predict(scores.ravel()))
    assert gap.mean() < 0.01
