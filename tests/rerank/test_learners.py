"""Trees and other learners: growth against exhaustive search, evaluation against a walk, what they learn."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from xmc_jax.rerank import LEARNERS, evaluate_trees, grow_trees
from xmc_jax.rerank.trees import Growth


def draw(n=600, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3])
    return x, rng.random(n) < expit(3 * (x[:, 0] > 0.3) * np.sign(x[:, 1]) + x[:, 3] - 1)


def walk(trees, row):
    margin = trees.base.item()
    for column, threshold, value in zip(trees.column, trees.threshold, trees.value, strict=True):
        node = 0
        while node < len(column):
            node = 2 * node + 1 + (row[column[node]] > threshold[node])
        margin += float(value[node - len(column)])
    return margin


def test_a_gather_is_a_walk():
    x, hit = draw()
    trees = grow_trees(x, hit, Growth(trees=7, depth=3, least=5))
    found = np.asarray(evaluate_trees(trees, jnp.asarray(x[:50])))
    np.testing.assert_allclose(found, [walk(trees, row) for row in x[:50]], atol=1e-5)


def test_the_first_split_is_the_best_of_all():
    x, hit = draw(200)
    growth = Growth(trees=1, depth=1, rate=1.0, least=1, pull=0.5)
    trees = grow_trees(x, hit, growth)
    slope, curve = hit.mean() - hit, np.full(200, hit.mean() * (1 - hit.mean()))

    def gain(above):
        parts = [(slope[m].sum() ** 2) / (curve[m].sum() + 0.5) for m in (above, ~above)]
        return sum(parts) - slope.sum() ** 2 / (curve.sum() + 0.5)

    found = gain(x[:, trees.column[0, 0]] > trees.threshold[0, 0])
    quantiles = [np.unique(np.quantile(c, np.linspace(0, 1, 64), method="lower")) for c in x.T]
    every = [
        gain(x[:, f] > (a + b) / 2)
        for f, q in enumerate(quantiles)
        for a, b in itertools.pairwise(q)
    ]
    assert found == pytest.approx(max(every), rel=1e-6)


@pytest.mark.parametrize("kind", LEARNERS)
def test_every_learner_tells_right_from_wrong(kind):
    x, hit = draw(3000)
    other, truth = draw(2000, seed=1)
    learner = LEARNERS[kind]
    arrays = learner.fit(x, hit, 0)
    p = expit(np.asarray(learner.score(arrays, jnp.asarray(other)), np.float64))
    loss = -np.mean(np.where(truth, np.log(p), np.log(1 - p)))
    share = truth.mean()
    chance = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert loss < chance - (0.05 if kind == "logistic" else 0.12)
    again = learner.fit(x, hit, 0)
    assert all((again[name] == array).all() for name, array in arrays.items())


@pytest.mark.parametrize("hit", [np.zeros(100, bool), np.ones(100, bool)])
def test_one_class_and_constant_features_are_no_trouble(hit):
    for kind, learner in LEARNERS.items():
        x = np.ones((100, 3), np.float32)
        margin = np.asarray(learner.score(learner.fit(x, hit, 0), jnp.asarray(x)))
        assert np.isfinite(margin).all(), kind
        assert (np.sign(margin) == (1 if hit[0] else -1)).all(), kind
