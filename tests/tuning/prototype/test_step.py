"""The prototype step is that of a plain dense model differentiated as a whole; on 8 devices it is that of one."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding

from xmc_jax.config import ParallelConfig
from xmc_jax.parallel import WHOLE, make_mesh
from xmc_jax.tuning.prototype.contrast import ContrastConfig
from xmc_jax.tuning.prototype.head import FLOOR, PrototypeHead, join_labels, start_head
from xmc_jax.tuning.prototype.losses import LOSSES
from xmc_jax.tuning.prototype.placement import HeadPlacement
from xmc_jax.tuning.prototype.rules import RULES, round_randomly
from xmc_jax.tuning.prototype.shortlist import Negatives
from xmc_jax.tuning.prototype.step import (
    CUT,
    PrototypeBatch,
    PrototypeStepConfig,
    compile_step,
    list_specs,
    start_state,
)
from xmc_jax.types import PAD

HERE = Path(__file__).parent
N_LABELS, HIDDEN, WORDS, BATCH = 21, 6, 30, 16
SCALE, RATE = 5.0, 0.02


def apply(params, ids, mask, key=None, train=False):
    """A mean of embeddings; compiled once, as it is one function."""
    rows = params["words"][ids] * mask[..., None]
    return rows.sum(axis=1) + 0.1 * params["bias"][None]


def make_params():
    rng = np.random.default_rng(0)
    return {
        "words": rng.standard_normal((WORDS, HIDDEN)).astype(np.float32),
        "bias": rng.standard_normal(HIDDEN).astype(np.float32),
    }


def make_head(rule: str, dtype=np.float32, chunk: int = 4, leave_out: bool = True):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((N_LABELS, HIDDEN)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    bias = rng.standard_normal(N_LABELS).astype(np.float32)
    bias[5] = -np.inf  # a label that is not trained
    inverse = rng.uniform(0.2, 0.6, N_LABELS) * leave_out
    return start_head(rows, bias, inverse, RULES[rule], chunk=chunk, dtype=dtype)


def make_batch() -> tuple[PrototypeBatch, np.ndarray]:
    """Texts in two parts, with 0 to 3 positives; and the positives as a matrix [B, L]."""
    rng = np.random.default_rng(2)
    texts = tuple(
        (rng.integers(0, WORDS, (8, width), dtype=np.int32), rng.random((8, width)) < 0.8)
        for width in (3, 5)
    )
    truth = np.zeros((BATCH, N_LABELS), bool)
    for row in range(BATCH):
        known = np.delete(np.arange(N_LABELS), 5)
        truth[row, rng.choice(known, rng.integers(0, 4), replace=False)] = row != 3
    rows, labels = np.nonzero(truth)
    pad = (0, 40 - len(rows))
    vectors = rng.standard_normal((BATCH, HIDDEN)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    batch = PrototypeBatch(
        texts,
        np.pad(rows, pad).astype(np.int32),
        np.pad(labels, pad, constant_values=PAD).astype(np.int32),
        vectors,
    )
    return batch, truth


def make_config(loss: str, rule: str, mesh=None, accumulate: int = 1) -> PrototypeStepConfig:
    contrast = ContrastConfig(LOSSES[loss], RULES[rule], SCALE, 1e-8, mesh is not None)
    return PrototypeStepConfig(
        apply, contrast, accumulate, 10, 0, "constant", 1e-3, RATE, 0.0, 1e-8, 0.1, mesh
    )


def unit(x):
    return x / jnp.sqrt(jnp.square(x).sum(-1, keepdims=True) + FLOOR)


def dense_loss(params, rows, bias, inverse, batch, truth, loss: str):
    """The formulas of losses.py on whole arrays [B, L] and [B, L, H]."""
    vectors = jnp.concatenate([apply(params, *t) for t in batch.texts])
    vectors = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)
    shared = SCALE * vectors @ unit(rows).T
    own = unit(rows[None] - batch.vectors[:, None, :] * inverse[None, :, None])
    own = SCALE * jnp.einsum("bh,blh->bl", vectors, own)
    z = jnp.where(truth, own, shared) + bias[None]
    if loss == "bce":
        per = jnp.where(truth, jax.nn.softplus(-z), jnp.where(jnp.isinf(z), 0, jax.nn.softplus(z)))
        return per.sum(axis=1).mean()
    negative = jax.nn.logsumexp(jnp.where(truth, -jnp.inf, z), axis=1, keepdims=True)
    every = jax.nn.logsumexp(z, axis=1, keepdims=True)
    against = jnp.logaddexp(z, negative) if loss == "decoupled" else every
    per = jnp.where(truth, against - z, 0).sum(axis=1)
    return (per / jnp.maximum(truth.sum(axis=1), 1)).mean()


def flatten(head):
    """Rows and bias [L, ...] of a head."""
    return join_labels(np.asarray(head.rows), N_LABELS), join_labels(
        np.asarray(head.bias), N_LABELS
    )


@pytest.fixture(scope="module")
def dense():
    """Loss and gradients of the dense model, differentiated by JAX."""

    @partial(jax.jit, static_argnames="loss")
    def compute(params, rows, bias, inverse, batch, truth, loss):
        batch = PrototypeBatch(*batch)
        return jax.value_and_grad(dense_loss, argnums=(0, 1, 2))(
            params, rows, bias, inverse, batch, truth, loss
        )

    batch, truth = make_batch()
    parts = batch.texts, batch.rows, batch.labels, batch.vectors
    return lambda head, loss: compute(
        make_params(), *flatten(head), join_labels(head.inverse, N_LABELS), parts, truth, loss
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_the_dense_model(dense, loss):
    batch, _ = make_batch()
    head = make_head("sgd")
    wanted, (params_grad, rows_grad, bias_grad) = dense(head, loss)
    state, metrics = compile_step(None)(
        start_state(make_params(), head, 0), batch, config=make_config(loss, "sgd")
    )
    np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-5)
    np.testing.assert_allclose(metrics["norm"], optax.tree.norm(params_grad), rtol=1e-4)
    rows, bias = flatten(head)
    new_rows, new_bias = flatten(state.head)
    np.testing.assert_allclose((rows - new_rows) / RATE, rows_grad, atol=2e-5)
    known = np.isfinite(bias)
    np.testing.assert_allclose(
        (bias[known] - new_bias[known]) / RATE, np.asarray(bias_grad)[known], atol=2e-5
    )
    assert new_bias[5] == -np.inf
    # Adam's first step is the gradient's sign, whatever clipping does.
    sure = np.abs(params_grad["words"]) > 1e-4
    moved = np.asarray(state.params["words"]) - make_params()["words"]
    np.testing.assert_array_equal(np.sign(moved)[sure], -np.sign(params_grad["words"])[sure])


@pytest.fixture(scope="module")
def updated():
    """The state after an update as the default settings have it, and the program."""
    batch, _ = make_batch()
    step = compile_step(None)
    state, metrics = step(
        start_state(make_params(), make_head("adam"), 0),
        batch,
        config=make_config("decoupled", "adam"),
    )
    return state, metrics, step


@pytest.mark.parametrize(
    "change", [dict(chunk=21), dict(accumulate=4)], ids=["one chunk", "four parts"]
)
def test_neither_chunks_nor_parts_change_the_update(updated, change):
    batch, _ = make_batch()
    head = make_head("adam", chunk=change.get("chunk", 4))
    config = make_config("decoupled", "adam", accumulate=change.get("accumulate", 1))
    state, metrics = compile_step(None)(start_state(make_params(), head, 0), batch, config=config)
    np.testing.assert_allclose(metrics["loss"], updated[1]["loss"], rtol=1e-5)
    for one, other in zip(flatten(state.head), flatten(updated[0].head), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), state.params, updated[0].params)


def test_a_frozen_head_moves_the_encoder_alone(updated):
    batch, _ = make_batch()
    config = make_config("decoupled", "adam")
    frozen = replace(config, contrast=replace(config.contrast, frozen=True))
    head = make_head("adam")
    state, _ = compile_step(None)(start_state(make_params(), head, 0), batch, config=frozen)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), state.params, updated[0].params)
    np.testing.assert_array_equal(state.head.rows, head.rows)


def make_negatives(n_random: int, n_nearest: int) -> Negatives:
    rng = np.random.default_rng(3)
    trained = np.delete(np.arange(N_LABELS, dtype=np.int32), 5)
    nearest = rng.choice(trained, (N_LABELS, n_nearest)).astype(np.int32)
    return Negatives(trained, nearest, n_random, 0)


def with_shortlist(n_random: int, n_nearest: int, step: int = 0) -> PrototypeBatch:
    batch, _ = make_batch()
    negatives = make_negatives(n_random, n_nearest)
    slots = negatives.count_slots(40)
    used = batch.labels[batch.labels != PAD]
    return replace(batch, shortlist=negatives.choose(used, step, slots))


def test_a_shortlist_of_all_labels_changes_nothing():
    rule = "row-adam"
    config = make_config("decoupled", rule)
    states = []
    for batch in (make_batch()[0], with_shortlist(0, 40)):
        state, metrics = start_state(make_params(), make_head(rule), 0), None
        for _ in range(2):
            state, metrics = compile_step(None)(state, batch, config=config)
        states.append((state, float(metrics["loss"])))
    assert states[0][1] == pytest.approx(states[1][1], rel=1e-5)
    for one, other in zip(flatten(states[0][0].head), flatten(states[1][0].head), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    pairs = states[0][0].params, states[1][0].params
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), *pairs)


def test_shortlists_hold_the_batch_and_stand_for_all_labels():
    negatives = make_negatives(4, 1)
    used = np.array([2, 7, 7, 9])
    labels, weight = negatives.choose(used, 3, negatives.count_slots(4))
    there = labels != PAD
    assert {2, 7, 9, *negatives.nearest[[2, 7, 9], 0]} <= set(labels[there])
    assert (np.diff(labels[there]) > 0).all() and 5 not in labels
    hard = np.isin(labels, [2, 7, 9, *negatives.nearest[[2, 7, 9], 0]])
    assert not weight[hard].any()
    total = hard.sum() + np.exp(weight[there & ~hard]).sum()
    assert total == pytest.approx(20, rel=1e-5)
    again = negatives.choose(used, 3, negatives.count_slots(4))
    np.testing.assert_array_equal(again[0], labels)
    assert (negatives.choose(used, 4, 10)[0] != negatives.choose(used, 3, 10)[0]).any()


def test_a_label_off_the_shortlist_stays(updated):
    batch = with_shortlist(0, 0)
    head = make_head("adam")
    state, _ = compile_step(None)(
        start_state(make_params(), head, 0), batch, config=make_config("decoupled", "adam")
    )
    moved = (flatten(state.head)[0] != flatten(head)[0]).any(axis=1)
    assert set(np.flatnonzero(moved)) == set(np.unique(batch.labels)) - {PAD}


def test_rounding_keeps_the_mean():
    x = np.full(20_000, 1.0 + 1 / 1024, np.float32)  # an eighth of a step of bfloat16 above 1
    rounded = np.asarray(round_randomly(jnp.asarray(x), jax.random.key(0, impl="rbg")), np.float32)
    assert set(np.unique(rounded)) == {1.0, 1.0 + 1 / 128}
    assert abs(rounded.mean() - x[0]) < 2e-4
    negative = round_randomly(-jnp.asarray(x), jax.random.key(0, impl="rbg"))
    np.testing.assert_array_equal(np.asarray(negative, np.float32), -rounded)


def test_the_step_is_compiled_once(updated):
    state, _, step = updated
    state = jax.tree.map(jnp.array, state)  # what the step is given is gone afterwards
    before = step._cache_size()
    for _ in range(2):
        state, _ = step(state, make_batch()[0], config=make_config("decoupled", "adam"))
    assert step._cache_size() <= before + 1  # the first state was of the host
    assert int(state.step) == 3


CHILD = """
import sys
from test_step import *
check_grids() if sys.argv[1] == "grids" else check_memory()
print("same")
"""


@pytest.mark.parametrize("what", ["grids", "memory"])
def test_eight_devices(processes, what):
    """Each has an eighth of the head, and what they do together is what one does."""
    child = processes.start(CHILD, what, devices=8, beside=HERE)
    assert processes.finish(child) == ["same"]


def check_grids() -> None:
    """Steps on grids of 8 devices are those of one, random rounding included."""
    check_grid(make_batch()[0], ((1, 1), (2, 4), (8, 1)))
    check_grid(with_shortlist(6, 1), ((1, 1), (8, 1)))


def check_grid(batch: PrototypeBatch, grids: tuple[tuple[int, int], ...]) -> None:
    outcomes = []
    for data, label in grids:
        mesh = make_mesh(ParallelConfig(data=data, label=label)) if data * label > 1 else None
        config = make_config("decoupled", "row-adam", mesh, accumulate=1)
        head = make_head("row-adam", dtype=jnp.bfloat16)
        placement = HeadPlacement(mesh, len(head.rows))
        state = placement.place_state(start_state(make_params(), head, 0))
        step = placement.compile_step()
        losses = []
        for _ in range(3):
            state, metrics = step(state, placement.place_batch(batch), config=config)
            losses.append(float(metrics["loss"]))
        outcomes.append((losses, *flatten(placement.fetch_state(state).head)))
    for losses, rows, bias in outcomes[1:]:
        np.testing.assert_allclose(losses, outcomes[0][0], rtol=1e-4)
        np.testing.assert_allclose(bias, outcomes[0][2], rtol=1e-3, atol=1e-4)
        wrong = np.asarray(rows != outcomes[0][1]).mean()
        assert wrong < 0.1, wrong  # sums in another order, where a random bit was close


def check_memory() -> None:
    """No array of the prototypes' size but they themselves; no logits beyond a chunk; no gathered prototypes."""
    n_chunks, size, hidden, n_texts = 256, 128, 256, 32
    whole = 4 * n_chunks * size * hidden
    measured = {}
    for devices in (1, 8):
        mesh = make_mesh(ParallelConfig(data=8)) if devices > 1 else None
        config = make_config("decoupled", "row-adam", mesh)
        compiled = lower_step(mesh, config, n_chunks, size, hidden, n_texts).compile()
        memory = compiled.memory_analysis()
        measured[devices] = memory.argument_size_in_bytes
        # Logits of all labels would be 4 MiB, a gradient of the head 32 MiB.
        assert memory.temp_size_in_bytes < 2 * 2**20, memory
        assert memory.alias_size_in_bytes > whole / devices, "the head is not updated in place"
        gathered = re.findall(r"= \w+\[([\d,]*)\]\S* all-gather\(", compiled.as_text())
        assert bool(gathered) == (devices > 1)
        for shape in gathered:
            assert np.prod([int(n) for n in shape.split(",")]) <= n_texts * hidden, shape
    assert measured[8] < measured[1] / 6


def lower_step(mesh, config, n_chunks: int, size: int, hidden: int, n_texts: int):
    """Traces a step of a small encoder with a large head, without any array."""
    head = jax.eval_shape(
        lambda: PrototypeHead(
            jnp.zeros((n_chunks, size, hidden)),
            jnp.zeros((n_chunks, size)),
            jnp.zeros((n_chunks, size)),
            (jnp.zeros((n_chunks, size)),),
            (jnp.zeros((n_chunks, size)),),
        )
    )
    params = {"words": jnp.zeros((WORDS, hidden)), "bias": jnp.zeros(hidden)}
    small = start_state(params, head, 0)
    texts = ((np.zeros((n_texts, 4), np.int32), np.zeros((n_texts, 4), bool)),)
    line = np.zeros(64, np.int32)
    batch = PrototypeBatch(texts, line, line, np.zeros((n_texts, hidden), np.float32))
    if mesh is not None:
        specs = list_specs(small)
        cut = jax.tree.map(lambda _: CUT, batch.texts)
        where = PrototypeBatch(cut, WHOLE, WHOLE, WHOLE)
        small, batch = (shape_on(mesh, *pair) for pair in ((small, specs), (batch, where)))
    return compile_step(mesh).lower(small, batch, config=config)


def shape_on(mesh, tree, specs):
    """Shapes of arrays that lie on a mesh."""

    def shape(a, spec):
        return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree.map(shape, tree, specs)
