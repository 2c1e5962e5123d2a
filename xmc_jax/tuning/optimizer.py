"""The parts of an update besides Adam: the learning rate schedule, clipping, weight decay."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from xmc_jax.errors import tell


@runtime_checkable
class Schedule(Protocol):
    """A learning rate schedule; see `find_rate`."""

    @property
    def steps(self) -> int: ...

    @property
    def warmup(self) -> int: ...

    @property
    def schedule(self) -> str: ...


def tell_long_warmup(warmup: int, steps: int, where: str = "") -> None:
    """Tells that a warm-up never reaches its peak before the last update."""
    if steps and warmup > steps:
        tell(
            f"tuning.warmup={warmup:,} given{where}, longer than its {steps:,} updates: the learning rate rises to the "
            f"last one and reaches its peak there; --tuning.warmup {max(1, steps // 10)} warms up over a tenth"
        )


def find_rate(step: Int[Array, ""], peak: float, config: Schedule) -> Float[Array, ""]:
    """Returns the learning rate of an update: it rises to the peak over the warm-up and then falls to 0 at the end.

    It is taken at the middle of the step, so that neither the first nor the last step has rate 0.
    """
    at = step + 0.5
    left = (config.steps - at) / max(1, config.steps - config.warmup)
    after = {
        "linear": left,
        "cosine": 0.5 * (1 - jnp.cos(jnp.pi * left)),
        "constant": jnp.ones(()),
    }[config.schedule]
    return peak * jnp.where(at < config.warmup, at / max(1, config.warmup), after)


def clip_gradients(grads: Any, limit: float | None) -> tuple[Array, Any]:
    """Returns the norm of the gradients, and the gradients scaled down to the limit (None: unchanged)."""
    norm = optax.tree.norm(grads)
    if limit is None:
        return norm, grads
    scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-12))
    return norm, jax.tree.map(lambda g: g * scale, grads)


def decay_weights(updates: Any, params: Any, decay: float) -> Any:
    """Adds weight decay to the updates of all parameters except biases and the scales of norms."""

    def add(path, update, param):
        name = jax.tree_util.keystr(path[-1:], simple=True)
        return update if name in ("bias", "scale") else update + decay * param

    return jax.tree_util.tree_map_with_path(add, updates, params)
