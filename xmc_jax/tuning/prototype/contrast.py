"""A batch of vectors against all prototypes: loss, gradient of the vectors, and the head updated on the way (pure).

Logits are computed one chunk of labels at a time, their gradient in closed form, and a chunk of the prototypes is
updated as soon as its gradient is known. So no array has the size of the prototypes except them and their moments, and
no array of logits is larger than a chunk's. On a mesh every device has its own chunks and sees all documents: only
vectors [B, H], sums [B] and what the positives need cross devices, never prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xmc_jax.parallel import DATA, LABEL
from xmc_jax.tuning.prototype.head import PrototypeHead, normalize_rows
from xmc_jax.tuning.prototype.losses import LOWEST, ContrastLoss
from xmc_jax.tuning.prototype.rules import Moments, UpdateRule, round_randomly
from xmc_jax.types import PAD

AXES = (DATA, LABEL)
"""Chunks of labels are split over all devices, whatever the grid: an axis that repeated them would waste memory."""


@dataclass(frozen=True)
class ContrastConfig:
    """What the head's part of a step depends on; hashable."""

    loss: ContrastLoss
    rule: UpdateRule
    scale: float
    epsilon: float
    on_mesh: bool
    """Whether it is called within a program of all devices; otherwise it has all chunks."""
    frozen: bool = False
    """Whether the head stays as it is, as labels have no free offsets."""
    is_part: bool = False
    """Whether the head is one chunk, of which a device has its own labels; random bits are those of the slot."""


class Positives(NamedTuple):
    """The positives of a batch as a flat list."""

    rows: Int[Array, "Q"]
    """The document of each, 0 to B - 1."""
    labels: Int[Array, "Q"]
    """PAD in unused slots."""
    vectors: Float[Array, "B H"]
    """Vectors of the documents as they are in the sums of their labels."""


class Contrasted(NamedTuple):
    """The results of a batch."""

    head: PrototypeHead
    loss: Float[Array, ""]
    """Mean loss over the documents."""
    back: Float[Array, "B H"]
    """Gradient of the loss with respect to the vectors, whole on every device."""


class _Own(NamedTuple):
    """The prototypes of those positives that this device has, each without its document."""

    slots: Int[Array, "Q"]
    """Index of the label among this device's labels; beyond them if another device has it."""
    mine: Array
    unit: Float[Array, "Q H"]
    norm: Float[Array, "Q 1"]
    logits: Float[Array, "Q"]


def contrast(
    head: PrototypeHead,
    vectors: Float[Array, "B H"],
    positives: Positives,
    rate: Float[Array, ""],
    step: Int[Array, ""],
    key: Array,
    *,
    config: ContrastConfig,
) -> Contrasted:
    """Scores documents against all labels and updates the head by its gradient.

    Args:
        head: this device's chunks.
        vectors: the vectors of all documents of the batch, norm 1 (not checked).
        positives: the positives of all documents.
        rate: the learning rate of the head.
        step: the number of previous updates.
        key: the key of the stochastic rounding; its generator should be `rbg`.
        config: the settings.
    """
    own = _score_own(head, vectors, positives, config)
    real = positives.labels != PAD
    n_rows = len(vectors)
    negatives = jnp.zeros(n_rows)
    if config.loss.sums:
        negatives = _sum_negatives(head, vectors, positives, own, config)
    logits = _add_devices(jnp.where(own.mine, own.logits, 0), config)
    loss, pull, push = config.loss.compare(logits, positives.rows, real, negatives)
    pull, push = pull / n_rows, push / n_rows
    pulled = jnp.where(own.mine, config.scale * pull, 0)[:, None]
    back = jnp.zeros_like(vectors).at[positives.rows].add(pulled * own.unit)
    new, more, pushed = _update_chunks(
        head, vectors, positives, own, negatives, pull, push, rate, step, key, config
    )
    total = loss.sum() / n_rows + _add_devices(more, config)
    return Contrasted(new, total, _add_devices(back + pushed, config))


def _score_own(
    head: PrototypeHead, vectors: Array, positives: Positives, config: ContrastConfig
) -> _Own:
    """Returns the positives' logits, each with the prototype of its label without the document."""
    n_chunks, size, hidden = head.rows.shape
    n_mine = n_chunks * size
    first = find_device(config) * n_mine
    at = positives.labels - first
    mine = (positives.labels != PAD) & (at >= 0) & (at < n_mine)
    at = jnp.where(mine, at, 0)
    inverse = head.inverse.reshape(-1)[at][:, None]
    rows = head.rows.reshape(-1, hidden)[at].astype(jnp.float32)
    unit, norm = normalize_rows(rows - positives.vectors[positives.rows] * inverse)
    bias = head.bias.reshape(-1)[at]
    logits = config.scale * (unit * vectors[positives.rows]).sum(axis=1) + bias
    return _Own(jnp.where(mine, at, n_mine), mine, unit, norm, logits)


def _score_chunk(
    head: PrototypeHead,
    chunk: Array,
    vectors: Array,
    positives: Positives,
    own: _Own,
    config: ContrastConfig,
) -> tuple[Array, Array, Array, Array]:
    """Returns the logits [B, K] of a chunk, −∞ at positives; its unit rows and their norms; the positives' slots."""
    size = head.rows.shape[1]
    unit, norm = normalize_rows(_take(head.rows, chunk))
    logits = (
        config.scale * _multiply(vectors, unit.T, head.rows.dtype) + _take(head.bias, chunk)[None]
    )
    slots = own.slots - chunk * size
    slots = jnp.where(
        (slots >= 0) & (slots < size), slots, size
    )  # others are out of bounds and dropped
    logits = logits.at[positives.rows, slots].set(-jnp.inf, mode="drop")
    return logits, unit, norm, slots


def _sum_negatives(
    head: PrototypeHead, vectors: Array, positives: Positives, own: _Own, config: ContrastConfig
) -> Float[Array, "B"]:
    """Returns log Σ exp(z) over all devices' labels that are not positives."""

    def add(sums: tuple[Array, Array], chunk: Array) -> tuple[tuple[Array, Array], None]:
        top, total = sums
        logits = _score_chunk(head, chunk, vectors, positives, own, config)[0]
        higher = jnp.maximum(top, logits.max(axis=1))
        total = total * jnp.exp(top - higher) + jnp.exp(logits - higher[:, None]).sum(axis=1)
        return (higher, total), None

    begin = jnp.full(len(vectors), LOWEST), jnp.zeros(len(vectors))
    (top, total), _ = jax.lax.scan(add, begin, jnp.arange(len(head.rows)))
    if config.on_mesh:
        highest = jax.lax.pmax(top, AXES)
        total = jax.lax.psum(total * jnp.exp(top - highest), AXES)
        top = highest
    return jnp.where(total > 0, top + jnp.log(jnp.maximum(total, 1e-37)), LOWEST)


def _update_chunks(
    head: PrototypeHead,
    vectors: Array,
    positives: Positives,
    own: _Own,
    negatives: Array,
    pull: Array,
    push: Array,
    rate: Array,
    step: Array,
    key: Array,
    config: ContrastConfig,
) -> tuple[PrototypeHead, Array, Array]:
    """Returns the head after its update, the negatives' loss, and its gradient with respect to the vectors."""
    to_vectors = (own.unit * vectors[positives.rows]).sum(axis=1, keepdims=True)
    own_grad = config.scale * pull[:, None] * (vectors[positives.rows] - own.unit * to_vectors)
    own_grad = own_grad / own.norm
    first = 0 if config.is_part else find_device(config) * len(head.rows)
    update = partial(_update, step=step, rate=rate, config=config)

    def visit(
        carry: tuple[PrototypeHead, Array, Array], chunk: Array
    ) -> tuple[tuple[PrototypeHead, Array, Array], None]:
        head, loss, back = carry
        logits, unit, norm, slots = _score_chunk(head, chunk, vectors, positives, own, config)
        more, grad = config.loss.push(logits, negatives, push)
        dtype = head.rows.dtype
        back = back + config.scale * _multiply(grad, unit, dtype)
        if config.frozen:
            return (head, loss + more.sum(), back), None
        to_unit = config.scale * _multiply(grad.T, vectors, dtype)
        along = (to_unit * unit).sum(axis=1, keepdims=True)
        to_rows = ((to_unit - unit * along) / norm).at[slots].add(own_grad, mode="drop")
        to_bias = grad.sum(axis=0).at[slots].add(pull, mode="drop")
        fresh = jax.random.fold_in(jax.random.fold_in(key, step), first + chunk)
        rows, row_moments = update(head.rows, to_rows, head.row_moments, chunk, fresh)
        bias, bias_moments = update(head.bias, to_bias, head.bias_moments, chunk, None)
        head = PrototypeHead(rows, bias, head.inverse, row_moments, bias_moments)
        return (head, loss + more.sum(), back), None

    begin = head, jnp.zeros(()), jnp.zeros_like(vectors)
    (new, loss, back), _ = jax.lax.scan(visit, begin, jnp.arange(len(head.rows)))
    return new, loss, back


def _update(
    array: Array,
    grad: Array,
    moments: Moments,
    chunk: Array,
    key: Array | None,
    *,
    step: Array,
    rate: Array,
    config: ContrastConfig,
) -> tuple[Array, Moments]:
    """Returns the head and its moments with one chunk updated, in place where the arrays are donated."""
    mine = tuple(_take(m, chunk) for m in moments)
    count = (step + 1).astype(jnp.float32)
    direction, mine = config.rule.step(grad, mine, count, config.epsilon)
    new = _take(array, chunk).astype(jnp.float32) - rate * direction
    if array.dtype == jnp.bfloat16:
        assert key is not None
        new = round_randomly(new, key)
    return _put(array, new, chunk), tuple(
        _put(m, part, chunk) for m, part in zip(moments, mine, strict=True)
    )


def _multiply(a: Array, b: Array, dtype: jnp.dtype) -> Array:
    """Returns a float32 product of which both factors are rounded to the prototypes' type."""
    return jnp.matmul(
        a.astype(dtype),
        b.astype(dtype),
        precision=jax.lax.Precision.HIGHEST,  # of float32; a TPU would round them to bfloat16
        preferred_element_type=jnp.float32,
    )


def _take(array: Array, chunk: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(array, chunk, keepdims=False)


def _put(array: Array, part: Array, chunk: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(array, part, chunk, 0)


def find_device(config: ContrastConfig) -> Array | int:
    """Returns the number of this device; its chunks follow those of the devices before it."""
    return jax.lax.axis_index(AXES) if config.on_mesh else 0


def _add_devices(x: Array, config: ContrastConfig) -> Array:
    return jax.lax.psum(x, AXES) if config.on_mesh else x
