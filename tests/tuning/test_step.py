"""The fine-tuning step on an encoder that is one matrix: against optax and plain formulas."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xmc_jax.config import TuningConfig
from xmc_jax.encoder import wrap_function
from xmc_jax.model import Head
from xmc_jax.tuning.optimizer import find_rate
from xmc_jax.tuning.step import BatchPart, configure_step, start_state, tuning_step
from xmc_jax.types import PAD

B, T, H, K = 8, 5, 4, 6
RNG = np.random.default_rng(0)
PARAMS = {"kernel": RNG.standard_normal((T, H), dtype=np.float32), "bias": np.ones(H, np.float32)}
HEAD = Head(RNG.standard_normal((K, H), dtype=np.float32), np.zeros(K, np.float32))
X = RNG.standard_normal((B, T), dtype=np.float32)
Y = np.where(RNG.random((B, K)) < 0.3, RNG.integers(1, 4, (B, K)), 0).astype(np.float32)
KEY = jax.random.key_data(jax.random.key(0))


def encode(params, x):
    return x @ params["kernel"] + params["bias"][None]


ENCODER = wrap_function(encode, PARAMS, H)


def make_state():
    return start_state(PARAMS, HEAD, KEY)


def part(rows=slice(None), nodes=None, values=Y):
    mask = np.ones((B, T), bool)
    return BatchPart(X[rows], mask[rows], None if nodes is None else nodes[rows], values[rows])


def configure(steps=10, **settings):
    settings = (
        dict(warmup=0, learning_rate=0.01, schedule="constant", batch_size=B, accumulate=1)
        | settings
    )
    return configure_step(ENCODER.apply, TuningConfig(**settings), 0, steps)


def run(batch, n=3, **settings):
    state, config = make_state(), configure(**settings)
    for _ in range(n):
        state, metrics = tuning_step(state, batch, config=config)
    return state, metrics


def assert_close(a, b, **kwargs):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **(dict(rtol=1e-4, atol=2e-5) | kwargs))


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_equals_adamw_of_optax_with_clipping_apart(clip, decay):
    def loss(both):
        logits = encode(both[0], X) @ both[1].weights.T + both[1].bias[None]
        margin = jnp.maximum(0, 1 - jnp.where(Y > 0, logits, -logits)) ** 2
        return (margin * jnp.where(Y > 0, Y, 1)).mean()

    clipping = optax.clip_by_global_norm(clip) if clip else optax.identity()
    kernels = {"kernel": True, "bias": False}
    tools = (
        optax.chain(clipping, optax.adamw(0.01, weight_decay=decay, mask=kernels)),
        optax.chain(clipping, optax.adam(0.01)),
    )
    both = jax.tree.map(jnp.asarray, (PARAMS, HEAD))
    states = [tool.init(p) for tool, p in zip(tools, both, strict=True)]
    for _ in range(3):
        grads = jax.grad(loss)(both)
        new = []
        for i, tool in enumerate(tools):
            updates, states[i] = tool.update(grads[i], states[i], both[i])
            new.append(optax.apply_updates(both[i], updates))
        both = tuple(new)
    state, _ = run((part(),), clip=clip, weight_decay=decay)
    assert_close((state.params, state.head), both)


def test_parts_and_accumulation_change_nothing():
    whole, metrics = run((part(),))
    split, _ = run((part(slice(0, 3)), part(slice(3, B))))
    assert_close((whole.params, whole.head), (split.params, split.head))
    summed, same = run((part(),), accumulate=4)
    assert_close((whole.params, whole.head), (summed.params, summed.head))
    assert float(metrics["loss"]) == pytest.approx(float(same["loss"]), rel=1e-5)


def test_the_parts_compiled_apart_equal_one_program():
    config, batch = configure(), (part(),)
    apart, _ = tuning_step(make_state(), batch, config=config)
    together = jax.jit(lambda s, b: tuning_step(s, b, config=config))(make_state(), batch)[0]
    assert_close(apart, together)


def test_candidates_in_any_order_with_padding_equal_all_nodes():
    order = np.stack([RNG.permutation(K) for _ in range(B)]).astype(np.int32)
    nodes = np.concatenate([order, np.full((B, 3), PAD, np.int32)], axis=1)
    values = np.take_along_axis(Y, order, axis=1)
    values = np.concatenate([values, np.ones((B, 3), np.float32)], axis=1)
    state, metrics = run((part(nodes=nodes, values=values),))
    whole, same = run((part(),))
    assert_close((state.params, state.head), (whole.params, whole.head))
    assert float(metrics["loss"]) == pytest.approx(float(same["loss"]), rel=1e-5)


def test_rows_that_are_no_candidate_do_not_move():
    first = np.tile(np.array([[0, 1]], np.int32), (B, 1))
    second = np.tile(np.array([[2, PAD]], np.int32), (B, 1))
    config, state = configure(), make_state()
    state, _ = tuning_step(state, (part(nodes=first, values=Y[:, :2]),), config=config)
    moved = np.asarray(state.head.weights) != HEAD.weights
    assert moved[:2].all() and not moved[2:].any()
    before = np.asarray(state.head.weights).copy()
    state, _ = tuning_step(state, (part(nodes=second, values=Y[:, :2]),), config=config)
    # Adam's momentum would carry nodes 0 and 1 on.
    assert (np.flatnonzero((np.asarray(state.head.weights) != before).any(axis=1)) == [2]).all()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "logistic"])
@pytest.mark.parametrize("weighted", [True, False])
def test_losses_learn(loss, weighted):
    _, first = run((part(),), n=1, loss=loss, weighted=weighted)
    _, last = run((part(),), n=40, loss=loss, weighted=weighted, steps=40)
    assert float(last["loss"]) < 0.8 * float(first["loss"])


def test_rates():
    def rates(**settings):
        config = configure(**(dict(steps=10, learning_rate=2.0) | settings))
        return [float(find_rate(jnp.asarray(i), config.rate, config)) for i in range(10)]

    linear = rates(schedule="linear", warmup=4)
    np.testing.assert_allclose(linear[:4], [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(linear[4:], 2 * np.arange(5.5, 0, -1) / 6, rtol=1e-6)
    assert rates(schedule="constant") == [2.0] * 10
    cosine = rates(schedule="cosine")
    assert cosine[0] > 1.98 and cosine[9] < 0.02 and np.diff(cosine).max() < 0


def test_head_has_a_rate_of_its_own():
    state, _ = run((part(),), n=1, head_learning_rate=1.0)
    plain, _ = run((part(),), n=1)
    assert_close(state.params, plain.params)
    step = np.abs(np.asarray(state.head.weights) - HEAD.weights)
    np.testing.assert_allclose(step, 100 * np.abs(plain.head.weights - HEAD.weights), rtol=1e-2)
    assert dataclasses.replace(configure(), steps=3) != configure()
