"""The fine-tuning step: encoder and head of one level, a batch of texts, one update (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from xmc_jax import losses
from xmc_jax.config import TuningConfig, at_level
from xmc_jax.model import Head, find_touched, score_nodes
from xmc_jax.parallel import DATA, LABEL, WHOLE, Target, choose_cut
from xmc_jax.tuning.optimizer import clip_gradients, decay_weights, find_rate
from xmc_jax.types import PAD, AnyArray

_LOSSES = {
    ("squared_hinge", False): losses.squared_hinge,
    ("squared_hinge", True): losses.weighted_squared_hinge,
    ("hinge", False): losses.hinge,
    ("hinge", True): losses.weighted_hinge,
    ("logistic", False): losses.logistic,
    ("logistic", True): losses.weighted_logistic,
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TuningState:
    """The whole state from which a level's fine-tuning resumes."""

    params: Any
    """Parameters of the encoder."""
    head: Head
    params_moments: Any
    head_moments: Any
    step: AnyArray
    """int32 []: number of updates made, which determines the position in the data."""
    key: AnyArray
    """uint32 [2]: data of the random key of the level."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BatchPart:
    """A part of a batch: texts padded to one width, with their candidates."""

    ids: AnyArray
    """int32 [B, T]."""
    mask: AnyArray
    """bool [B, T]."""
    nodes: AnyArray | None
    """int32 [B, M], PAD in unused slots; None: all nodes of the level are candidates."""
    values: AnyArray
    """float32 [B, M] (or [B, nodes]): the count for a positive, 0 for a negative."""


TuningBatch = tuple[BatchPart, ...]
"""The texts of an update; short and long ones are separate, so that they are padded to different widths."""


@dataclass(frozen=True)
class Rows:
    """How the texts of a batch are placed on a mesh; hashable.

    Attributes:
        mesh: the mesh of several devices.
        axes: the axes of the mesh that split a batch: all of them, or `data` alone if only its devices divide it.
    """

    mesh: Mesh
    axes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of parts that a batch is split into."""
        return prod(self.mesh.shape[axis] for axis in self.axes)

    @property
    def spec(self) -> PartitionSpec:
        """Partition spec of an array with one row per text."""
        return PartitionSpec(self.axes)


def choose_rows(mesh: Mesh | None, batch_size: int, accumulate: int) -> Rows | None:
    """Returns how batches are placed on a mesh; None: on one device."""
    if mesh is None:
        return None
    whole = batch_size % (mesh.size * accumulate) == 0
    return Rows(mesh, (DATA, LABEL) if whole else (DATA,))


@dataclass(frozen=True)
class StepConfig:
    """What the step depends on besides state and batch; hashable, so that it is compiled once."""

    apply: Callable[..., jax.Array]
    """`Encoder.apply`."""
    loss: str
    weighted: bool
    accumulate: int
    steps: int
    warmup: int
    schedule: str
    rate: float
    head_rate: float
    weight_decay: float
    epsilon: float
    clip: float | None
    rows: Rows | None
    """How the batch is placed; None: on one device."""


def configure_step(
    apply: Callable[..., jax.Array],
    config: TuningConfig,
    level: int,
    steps: int,
    mesh: Mesh | None = None,
) -> StepConfig:
    """Returns the settings of a level's steps; batch and parts are numbers (`tuning/fit.py` resolves `auto`)."""
    assert config.batch_size != "auto" and config.accumulate != "auto"
    rate, head_rate = (
        at_level(r, level) for r in (config.learning_rate, config.head_learning_rate)
    )
    return StepConfig(
        apply=apply,
        loss=config.loss,
        weighted=config.weighted,
        accumulate=config.accumulate,
        steps=steps,
        warmup=min(at_level(config.warmup, level), steps),
        schedule=config.schedule,
        rate=rate,
        head_rate=rate if head_rate == "auto" else head_rate,
        weight_decay=config.weight_decay,
        epsilon=config.epsilon,
        clip=config.clip,
        rows=choose_rows(mesh, config.batch_size, config.accumulate),
    )


def start_state(params: Any, head: Head, key: AnyArray) -> TuningState:
    """Returns the state before the first update, with zero moments, as host arrays: one device may not hold it all."""
    adam = optax.scale_by_adam()

    def start(tree: Any) -> Any:
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(adam.init, tree))

    params, head, key = jax.tree.map(np.asarray, (params, head, key))
    return TuningState(params, head, start(params), start(head), np.zeros((), np.int32), key)


def tuning_step(
    state: TuningState, batch: TuningBatch, *, config: StepConfig
) -> tuple[TuningState, dict[str, Array]]:
    """Returns the state after one update, and its metrics; the given state is donated.

    The encoder is updated by AdamW (Loshchilov & Hutter 2019), without decay of biases and norms; the head by Adam, but
    only in the rows of candidates (a sparse Adam). Their gradients are clipped separately.

    Metrics: `loss`, the mean over texts of the mean over their candidates; `rate`; `norm` and `head_norm` of the
    gradients before clipping.
    """
    key = _fold_key(state.key, state.step)
    params, head = (
        lay(state.params, config.rows, cut=False),
        lay(state.head, config.rows, cut=False),
    )
    loss, grads, head_grads = _average_gradients(params, head, batch, key, config)
    touched = None
    if batch[0].nodes is not None:
        nodes = [part.nodes for part in batch]
        touched = _find_all_touched(nodes, state.head.n_nodes, config.rows)
    return _update(state, loss, grads, head_grads, touched, config=config)


def choose_step(target: Target) -> Callable[..., tuple[TuningState, dict[str, Array]]]:
    """Returns the step, compiled in the way that is best for the target.

    On a CPU it is compiled in parts: the encoder once for all levels, only head and update anew for each level.
    Elsewhere it is one program, which needs less memory.
    """
    if target.is_cpu:
        return tuning_step
    return _compiled_step


@jax.jit
def _fold_key(key: Array, step: Array) -> Array:
    return jax.random.fold_in(jax.random.wrap_key_data(key), step)


@partial(jax.jit, static_argnames=("n_nodes", "rows"))
def _find_all_touched(nodes: list[Array], n_nodes: int, rows: Rows | None) -> Array:
    return find_touched(_join(nodes, rows), n_nodes)


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def _update(
    state: TuningState,
    loss: Array,
    grads: Any,
    head_grads: Head,
    touched: Array | None,
    *,
    config: StepConfig,
) -> tuple[TuningState, dict[str, Array]]:
    rate, head_rate = (
        find_rate(state.step, peak, config) for peak in (config.rate, config.head_rate)
    )
    norm, grads = clip_gradients(grads, config.clip)
    head_norm, head_grads = clip_gradients(head_grads, config.clip)
    adam = optax.scale_by_adam(eps=config.epsilon)
    updates, moments = adam.update(grads, state.params_moments)
    if config.weight_decay:
        updates = decay_weights(updates, state.params, config.weight_decay)
    head_updates, head_moments = adam.update(head_grads, state.head_moments)
    if touched is not None:
        head_updates = _keep_rows(touched, head_updates, jax.tree.map(jnp.zeros_like, state.head))
        old = state.head_moments
        head_moments = head_moments._replace(
            mu=_keep_rows(touched, head_moments.mu, old.mu),
            nu=_keep_rows(touched, head_moments.nu, old.nu),
        )
    new = TuningState(
        jax.tree.map(lambda p, u: p - rate * u, state.params, updates),
        jax.tree.map(lambda p, u: p - head_rate * u, state.head, head_updates),
        moments,
        head_moments,
        state.step + 1,
        state.key,
    )
    return new, {"loss": loss, "rate": rate, "norm": norm, "head_norm": head_norm}


def _average_gradients(
    params: Any, head: Head, batch: TuningBatch, key: Array, config: StepConfig
) -> tuple[Array, Any, Head]:
    """Returns the loss of the batch and the gradients of encoder and head, computed in `accumulate` parts."""
    if config.accumulate == 1:
        return _find_gradients(params, head, batch, key, config)
    # Row i goes to part i % accumulate, so that a device, which holds neighbouring rows, has a share of every part.
    parts = jax.tree.map(
        lambda a: _spread(
            a.reshape(-1, config.accumulate, *a.shape[1:]).swapaxes(0, 1), config.rows, ahead=1
        ),
        batch,
    )

    def add(total, part):
        one = _find_gradients(params, head, part[0], jax.random.fold_in(key, part[1]), config)
        return jax.tree.map(jnp.add, total, one), None

    zero = jax.tree.map(jnp.zeros_like, (params, head))
    start = (jnp.zeros(()), *lay(zero, config.rows, cut=True))
    total, _ = jax.lax.scan(add, start, (parts, jnp.arange(config.accumulate)))
    return jax.tree.map(lambda a: a / config.accumulate, total)


def _find_gradients(
    params: Any, head: Head, batch: TuningBatch, key: Array, config: StepConfig
) -> tuple[Array, Any, Head]:
    """Returns the loss and the gradients of encoder and head; each device holds its share of them."""
    texts = [(part.ids, part.mask) for part in batch]
    vectors, pull = _encode(params, texts, key, apply=config.apply, rows=config.rows)
    targets = [(part.nodes, part.values) for part in batch]
    loss, (head_grads, back) = _score(head, vectors, targets, config=config)
    return loss, *lay((_pull(pull, back), head_grads), config.rows, cut=True)


@partial(jax.jit, static_argnames=("apply", "rows"))
def _encode(
    params: Any, texts: Any, key: Array, *, apply: Callable[..., Array], rows: Rows | None
) -> Any:
    """Returns the vectors of the parts [B, H], and the function that carries their gradient back to the encoder."""

    def encode(params):
        keys = jax.random.split(key, len(texts))
        vectors = [
            apply(params, *text, key=k, train=True) for text, k in zip(texts, keys, strict=True)
        ]
        return _join(vectors, rows)

    return jax.vjp(encode, params)


@jax.jit
def _pull(pull: Callable[[Array], Any], back: Array) -> Any:
    return pull(back)[0]


@partial(jax.jit, static_argnames="config")
def _score(head: Head, vectors: Array, targets: Any, *, config: StepConfig) -> Any:
    """Returns the loss and its gradients with respect to head and vectors."""
    values = _join([values for _, values in targets], config.rows)
    nodes = None
    if targets[0][0] is not None:
        nodes = _join([nodes for nodes, _ in targets], config.rows)

    def compute(head, vectors):
        where = None if nodes is None else nodes != PAD
        loss = _LOSSES[config.loss, config.weighted]
        logits = score_nodes(head, vectors, nodes)
        return loss(logits, values, where=where, reduce_fn=partial(jnp.mean, axis=-1)).mean()

    return jax.value_and_grad(compute, argnums=(0, 1))(head, vectors)


def _join(parts: list[Array], rows: Rows | None) -> Array:
    """Returns the rows of all parts, in the order of the devices; rows stay on their device."""
    if rows is None:
        return jnp.concatenate(parts)
    shares = [a.reshape(rows.n, -1, *a.shape[1:]) for a in parts]
    joined = jnp.concatenate(shares, axis=1)
    return _spread(joined.reshape(-1, *joined.shape[2:]), rows)


def _spread(x: Array, rows: Rows | None, ahead: int = 0) -> Array:
    """Constrains an array's axis after `ahead` others to be split like texts; does nothing on one device."""
    if rows is None:
        return x
    spec = PartitionSpec(*[None] * ahead, *rows.spec)
    return jax.lax.with_sharding_constraint(x, NamedSharding(rows.mesh, spec))


def lay(tree: Any, rows: Rows | None, *, cut: bool) -> Any:
    """Constrains arrays to be split over all devices of a mesh, or whole on each; does nothing on one device.

    The state is split, parameters are gathered for a step, and gradients are summed where the moments are (Zhao et al.
    2023, "PyTorch FSDP"; Rajbhandari et al. 2020, "ZeRO").
    """
    if rows is None:
        return tree
    mesh = rows.mesh
    return jax.tree.map(
        lambda x: jax.lax.with_sharding_constraint(
            x, NamedSharding(mesh, choose_cut(x.shape, mesh) if cut else WHOLE)
        ),
        tree,
    )


def _keep_rows(touched: Array, new: Head, old: Head) -> Head:
    """Returns the new rows of touched nodes and the old rows of all others."""
    return Head(
        jnp.where(touched[:, None], new.weights, old.weights),
        jnp.where(touched, new.bias, old.bias),
    )


_compiled_step = jax.jit(tuning_step, static_argnames="config", donate_argnums=0)
