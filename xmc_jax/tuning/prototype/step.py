"""The step: a batch of texts, one update of the encoder and of the prototypes of all labels (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from xmc_jax.config import HeadConfig, UpdateConfig
from xmc_jax.parallel import WHOLE, shard_step
from xmc_jax.tuning.optimizer import clip_gradients, decay_weights, find_rate
from xmc_jax.tuning.prototype.contrast import AXES, ContrastConfig, Positives, contrast
from xmc_jax.tuning.prototype.head import PrototypeHead
from xmc_jax.tuning.prototype.losses import LOSSES
from xmc_jax.tuning.prototype.rules import RULES
from xmc_jax.tuning.prototype.shortlist import contrast_shortlist
from xmc_jax.types import AnyArray

CUT = PartitionSpec(AXES)
"""How texts and chunks of labels are placed: in as many parts as there are devices."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PrototypeState:
    """The whole state from which a fine-tuning resumes."""

    params: Any
    """Parameters of the encoder."""
    moments: Any
    head: PrototypeHead
    step: AnyArray
    """int32 []: number of updates made, which determines the position in the data."""
    key: AnyArray
    """uint32 [2]: data of the random key."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PrototypeBatch:
    """The texts of an update.

    Attributes:
        texts: (ids int32 [n, T], mask bool [n, T]) of each part; short texts are separate from long ones.
        rows, labels: int32 [Q], the positives: the text, in the order of the parts, and the label; PAD in unused slots.
        vectors: float32 [B, H], the vectors of the texts as they are in the sums of their labels.
        shortlist: (labels int32 [M], float32 [M] added to their logits), see `contrast_shortlist`; empty: all labels.
    """

    texts: tuple[tuple[AnyArray, AnyArray], ...]
    rows: AnyArray
    labels: AnyArray
    vectors: AnyArray
    shortlist: tuple[AnyArray, ...] = ()


@dataclass(frozen=True)
class PrototypeStepConfig:
    """What the step depends on besides state and batch; hashable, so that it is compiled once."""

    apply: Callable[..., jax.Array]
    """`Encoder.apply`."""
    contrast: ContrastConfig
    accumulate: int
    steps: int
    warmup: int
    schedule: str
    rate: float
    head_rate: float
    weight_decay: float
    epsilon: float
    clip: float | None
    mesh: Mesh | None
    """The mesh that texts and chunks are split over; None: one device."""


def configure_step(
    apply: Callable[..., jax.Array], head: HeadConfig, update: UpdateConfig, mesh: Mesh | None
) -> PrototypeStepConfig:
    """Returns the settings of the steps."""
    head_rate = update.head_learning_rate
    contrast = ContrastConfig(
        LOSSES[head.loss],
        RULES[head.optimizer],
        head.scale,
        update.epsilon,
        mesh is not None,
        not head.offsets,
    )
    return PrototypeStepConfig(
        apply=apply,
        contrast=contrast,
        accumulate=update.accumulate,
        steps=update.steps,
        warmup=min(update.warmup, update.steps),
        schedule=update.schedule,
        rate=update.learning_rate,
        head_rate=update.learning_rate if head_rate == "auto" else head_rate,
        weight_decay=update.weight_decay,
        epsilon=update.epsilon,
        clip=update.clip,
        mesh=mesh,
    )


def start_state(params: Any, head: PrototypeHead, seed: int) -> PrototypeState:
    """Returns the state before the first update (host arrays)."""
    params = jax.tree.map(lambda a: np.array(a, copy=True), params)
    moments = jax.tree.map(np.asarray, optax.scale_by_adam().init(params))
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    return PrototypeState(params, moments, head, np.zeros((), np.int32), key)


def list_specs(state: PrototypeState) -> PrototypeState:
    """Returns the partition spec of each array of a state."""
    specs: PrototypeState = jax.tree.map(lambda _: WHOLE, state)
    head = jax.tree.map(lambda _: CUT, state.head)
    return PrototypeState(specs.params, specs.moments, head, specs.step, specs.key)


def prototype_step(
    state: PrototypeState, batch: PrototypeBatch, *, config: PrototypeStepConfig
) -> tuple[PrototypeState, dict[str, Array]]:
    """Returns the state after an update, and its metrics: `loss`, `rate`, and `norm` of the encoder's gradient.

    Vectors are scaled to norm 1. With `accumulate` above 1 all texts are still compared with all labels at once, as
    every document has its own loss: the texts are encoded part by part, and once more for their gradient.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    vectors, pull = _encode(state.params, batch.texts, key, config)
    rate, head_rate = (
        find_rate(state.step, peak, config) for peak in (config.rate, config.head_rate)
    )
    head, loss, back = _contrast(state, vectors, batch, head_rate, config)
    norm, grads = clip_gradients(pull(back), config.clip)
    updates, moments = optax.scale_by_adam(eps=config.epsilon).update(grads, state.moments)
    if config.weight_decay:
        updates = decay_weights(updates, state.params, config.weight_decay)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    new = PrototypeState(params, moments, head, state.step + 1, state.key)
    return new, {"loss": loss, "rate": rate, "norm": norm}


def compile_step(mesh: Mesh | None) -> Callable[..., tuple[PrototypeState, dict[str, Array]]]:
    """Returns the step as one program; the state is donated, and the new one is placed like it."""
    if mesh is None:
        return jax.jit(prototype_step, static_argnames="config", donate_argnums=0)

    def step(state: PrototypeState, batch: PrototypeBatch, *, config: PrototypeStepConfig) -> Any:
        new, metrics = prototype_step(state, batch, config=config)
        return _lay(new, mesh, list_specs(new)), _lay(metrics, mesh, WHOLE)

    return jax.jit(step, static_argnames="config", donate_argnums=0)


def _contrast(
    state: PrototypeState,
    vectors: list[Array],
    batch: PrototypeBatch,
    rate: Array,
    config: PrototypeStepConfig,
) -> tuple[PrototypeHead, Array, list[Array]]:
    """Returns the head after its update, the loss, and the gradient of each part's vectors."""
    sizes = [len(v) for v in vectors]
    # This generator's bits are the same on any mesh and cheap on accelerators.
    seed = jax.random.wrap_key_data(jnp.tile(state.key, 2), impl="rbg")

    def run(head: PrototypeHead, *given: Any) -> Any:
        vectors, positives, shortlist, rate, step, seed = given
        whole = vectors
        if config.mesh is not None:
            whole = [jax.lax.all_gather(v, AXES, tiled=True) for v in vectors]
        key = jax.random.wrap_key_data(seed, impl="rbg")
        every, after = (head, jnp.concatenate(whole), positives), (rate, step, key)
        if shortlist:
            done = contrast_shortlist(*every, shortlist, *after, config=config.contrast)
        else:
            done = contrast(*every, *after, config=config.contrast)
        parts = jnp.split(done.back, np.cumsum(sizes)[:-1])
        if config.mesh is not None:
            parts = [
                _take_share(part, len(mine)) for part, mine in zip(parts, vectors, strict=True)
            ]
        return done.head, done.loss, parts

    if config.mesh is not None:
        specs = jax.tree.map(lambda _: CUT, state.head)
        cut = [CUT] * len(vectors)
        run = shard_step(run, config.mesh, (specs, cut, *[WHOLE] * 5), (specs, WHOLE, cut))
    positives = Positives(batch.rows, batch.labels, batch.vectors)
    given = positives, batch.shortlist, rate, state.step, jax.random.key_data(seed)
    return run(state.head, vectors, *given)


def _take_share(part: Array, size: int) -> Array:
    """Returns this device's rows of an array that every device has."""
    return jax.lax.dynamic_slice_in_dim(part, jax.lax.axis_index(AXES) * size, size)


def _encode(
    params: Any, texts: Any, key: Array, config: PrototypeStepConfig
) -> tuple[list[Array], Callable[[list[Array]], Any]]:
    """Returns the vectors of each part, of norm 1, and a function that maps their gradient to the parameters'."""
    keys = jax.random.split(key, len(texts))
    if config.accumulate == 1:

        def encode(params: Any) -> list[Array]:
            return [_embed(params, t, k, config) for t, k in zip(texts, keys, strict=True)]

        vectors, back = jax.vjp(encode, params)
        return vectors, lambda grads: back(grads)[0]
    cut = [_split_rows(t, config) for t in texts]
    subkeys = [jax.random.split(k, config.accumulate) for k in keys]

    def embed(_: None, given: Any) -> tuple[None, list[Array]]:
        return None, [_embed(params, t, k, config) for t, k in given]

    _, parts = jax.lax.scan(embed, None, list(zip(cut, subkeys, strict=True)))
    vectors = [_merge_rows(p, config) for p in parts]

    def pull(grads: list[Array]) -> Any:
        def add(total: Any, given: Any) -> tuple[Any, None]:
            def encode(params: Any) -> list[Array]:
                return [_embed(params, t, k, config) for t, k, _ in given]

            _, back = jax.vjp(encode, params)
            return jax.tree.map(jnp.add, total, back([g for _, _, g in given])[0]), None

        pieces = [_split_rows(g, config) for g in grads]
        zero = jax.tree.map(jnp.zeros_like, params)
        given = list(zip(cut, subkeys, pieces, strict=True))
        return jax.lax.scan(add, zero, given)[0]

    return vectors, pull


def _embed(
    params: Any, texts: tuple[Array, Array], key: Array, config: PrototypeStepConfig
) -> Float[Array, "n H"]:
    vectors = config.apply(params, *texts, key=key, train=True)
    norm = jnp.maximum(jnp.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return _lay(vectors / norm, config.mesh, CUT)


def _split_rows(tree: Any, config: PrototypeStepConfig) -> Any:
    """Returns arrays [n, ...] as [parts, n / parts, ...]: row i goes to part i % parts, so that every device has a
    share of each part."""
    n = config.accumulate

    def split(a: Array) -> Array:
        parts = a.reshape(-1, n, *a.shape[1:]).swapaxes(0, 1)
        return _lay(parts, config.mesh, PartitionSpec(None, AXES))

    return jax.tree.map(split, tree)


def _merge_rows(parts: Array, config: PrototypeStepConfig) -> Array:
    """Inverts `_split_rows`."""
    return _lay(parts.swapaxes(0, 1).reshape(-1, *parts.shape[2:]), config.mesh, CUT)


def _lay(tree: Any, mesh: Mesh | None, specs: Any) -> Any:
    """Constrains how arrays are placed; does nothing on one device."""
    if mesh is None:
        return tree
    if isinstance(specs, PartitionSpec):
        specs = jax.tree.map(lambda _: specs, tree)
    shardings = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec),
        specs,
        is_leaf=lambda x: isinstance(x, PartitionSpec),
    )
    return jax.lax.with_sharding_constraint(tree, shardings)
