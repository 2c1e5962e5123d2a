"""Losses: values as formulas, then the invariants that all of them share."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax import losses
from xmc_jax.errors import InputError

PLAIN = [losses.squared_hinge, losses.hinge, losses.logistic]
WEIGHTED = [losses.weighted_squared_hinge, losses.weighted_hinge, losses.weighted_logistic]
SCORES = jnp.array([[0.5, -2.0, 3.0], [0.25, 1.5, -0.5]])
LABELS = jnp.array([[1, 0, 1], [0, 3, 2]])
WHERE = jnp.array([[True, True, False], [True, False, True]])

SLOT = {
    "squared_hinge": lambda margin: max(0.0, 1 - margin) ** 2,
    "hinge": lambda margin: max(0.0, 1 - margin),
    "logistic": lambda margin: math.log(1 + math.exp(-margin)),
}


def expect(loss):
    """The loss of every slot by the formula in plain Python."""
    name = loss.__name__
    slot = SLOT[name.removeprefix("weighted_")]
    return [
        [
            slot(f if y > 0 else -f) * (y if y > 0 and name.startswith("weighted_") else 1)
            for f, y in zip(fs, ys, strict=True)
        ]
        for fs, ys in zip(SCORES.tolist(), LABELS.tolist(), strict=True)
    ]


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_slots_match_the_formula(loss):
    np.testing.assert_allclose(loss(SCORES, LABELS, reduce_fn=None), expect(loss), rtol=1e-6)


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_mean_counts_unmasked_slots_only(loss):
    slots = expect(loss)
    kept = [slots[0][0], slots[0][1], slots[1][0], slots[1][2]]
    assert float(loss(SCORES, LABELS, where=WHERE)) == pytest.approx(sum(kept) / 4, rel=1e-6)
    total = loss(SCORES, LABELS, where=WHERE, reduce_fn=jnp.sum)
    assert float(total) == pytest.approx(sum(kept), rel=1e-6)


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_weights_multiply_slots(loss):
    weights = jnp.array([[2.0, 0.5, 1.0], [0.0, 3.0, 1.0]])
    got = loss(SCORES, LABELS, weights=weights, reduce_fn=None)
    np.testing.assert_allclose(got, np.array(expect(loss)) * np.array(weights), rtol=1e-6)


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_all_masked_is_zero_with_zero_gradient(loss):
    bad = jnp.array([[jnp.inf, jnp.nan, -jnp.inf], [jnp.nan, 0.0, 1e30]])
    nowhere = jnp.zeros_like(WHERE)
    for reduce_fn in (jnp.mean, jnp.sum):
        run = partial(loss, labels=LABELS, where=nowhere, reduce_fn=reduce_fn)
        with jax.debug_nans(True):  # no nan on the way either
            value, gradient = jax.value_and_grad(run)(jnp.where(jnp.isnan(bad), 0, bad))
        value, gradient = jax.value_and_grad(run)(bad)
        assert float(value) == 0
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_a_masked_row_is_zero_and_leaves_other_rows_alone(loss):
    where = jnp.array([[False, False, False], [True, True, True]])
    rows = partial(loss, where=where, reduce_fn=partial(jnp.mean, axis=-1))
    np.testing.assert_allclose(rows(SCORES, LABELS), [0, sum(expect(loss)[1]) / 3], rtol=1e-6)
    gradient = jax.grad(lambda s: rows(s, LABELS).mean())(SCORES.at[0, 1].set(jnp.nan))
    alone = jax.grad(lambda s: loss(s, LABELS[1:]))(SCORES[1:])
    np.testing.assert_allclose(gradient, np.vstack([np.zeros(3), alone[0] / 2]), rtol=1e-6)


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_extreme_scores_stay_finite_or_huge_but_never_nan(loss):
    scores = jnp.array([[1e9, -1e9, 0.0], [-1e9, 1e9, 0.0]])
    value, gradient = jax.value_and_grad(loss)(scores, LABELS)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", PLAIN + WEIGHTED)
def test_vmap_and_permutation_of_slots_change_nothing(loss):
    slots = loss(SCORES, LABELS, reduce_fn=None)
    np.testing.assert_allclose(
        jax.vmap(partial(loss, reduce_fn=None))(SCORES, LABELS), slots, rtol=1e-6
    )
    order = jnp.array([2, 0, 1])
    mixed = loss(SCORES[:, order], LABELS[:, order], reduce_fn=None)
    np.testing.assert_allclose(mixed, slots[:, order], rtol=1e-6)


@pytest.mark.parametrize(("plain", "weighted"), list(zip(PLAIN, WEIGHTED, strict=True)))
def test_weighted_equals_plain_on_binary_labels(plain, weighted):
    for labels in (LABELS > 0, (LABELS > 0).astype(jnp.float32)):
        np.testing.assert_allclose(weighted(SCORES, labels), plain(SCORES, labels), rtol=1e-6)


def test_half_precision_is_computed_in_float32():
    scores = jnp.array([[0.5, -2.0]], jnp.bfloat16)
    got = losses.squared_hinge(scores, jnp.array([[1, 0]]))
    assert got.dtype == jnp.float32
    assert float(got) == 0.125


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"labels of shape \(2, 2\) given"):
        losses.hinge(SCORES, LABELS[:, :2])
