"""Fine-tuning on several devices: where state and batches lie, and the step as one program for all of them.

A batch lies over the mesh axis `data`, the nodes of the head over `label`, the encoder whole on every device. The
program is the one of a single device and the compiler cuts it: clipping, dropout and accumulation are what they are
on one device, and so is the update, but for the order of sums.

The devices may be those of several processes. Each makes the whole batch on its host and hands its rows to its
devices; losses and fetched states are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xmc_jax.config import TransformerConfig
from xmc_jax.errors import InputError
from xmc_jax.model import Head
from xmc_jax.parallel import DATA, LABEL, WHOLE, Target, choose_spec, fetch, place
from xmc_jax.tuning.step import TuningBatch, TuningState, choose_step, tuning_step

Step = Callable[..., tuple[TuningState, dict[str, jax.Array]]]


def choose_mesh(config: TransformerConfig, mesh: Mesh) -> Mesh | None:
    """Returns the mesh that the encoder works on; None: one device, which needs none.

    Raises:
        InputError: its rows do not divide a batch.
    """
    if mesh.size == 1:
        return None
    n, tuning = mesh.shape[DATA], config.tuning
    if tuning.is_off or tuning.batch_size % (n * tuning.accumulate) == 0:
        return mesh
    rows = f"parallel.data={config.parallel.data}"
    if config.parallel.data == "auto":
        rows += f" ({n} devices)"
    parts = f" and tuning.accumulate={tuning.accumulate}" if tuning.accumulate > 1 else ""
    raise InputError(
        f"{rows}{parts} given with tuning.batch_size={tuning.batch_size}, a multiple of "
        f"{n * tuning.accumulate} needed; change tuning.batch_size or parallel.data"
    )


def count_rows(mesh: Mesh | None) -> int:
    """Returns how many parts a batch is cut into."""
    return 1 if mesh is None else mesh.shape[DATA]


@dataclass(frozen=True)
class Placement:
    """Where the state of a level lies, and its step.

    Attributes:
        mesh: of `choose_mesh`; None: the default device.
        n_nodes: of the level. On a mesh the head has nodes without meaning behind them, until `label` divides them.
    """

    mesh: Mesh | None
    n_nodes: int

    def place_state(self, state: TuningState) -> TuningState:
        """Puts a state on its devices."""
        if self.mesh is None:
            return jax.tree.map(jax.numpy.asarray, state)
        missing = -self.n_nodes % self.mesh.shape[LABEL]

        def pad(head: Head) -> Head:
            return jax.tree.map(
                lambda a: np.pad(a, [(0, missing)] + [(0, 0)] * (np.ndim(a) - 1)), head
            )

        return place(_map_heads(pad, state), self.mesh, _spread_specs(state))

    def place_batch(self, batch: TuningBatch) -> TuningBatch:
        """Puts a batch on its devices, before the step asks for it."""
        if self.mesh is None:
            return batch
        return place(batch, self.mesh, choose_spec("B"))

    def fetch_state(self, state: TuningState) -> TuningState:
        """Returns a state as host arrays, the same on any mesh."""
        if self.mesh is None:
            return jax.device_get(state)
        host = jax.tree.map(fetch, _gather(self.mesh)(state))
        return _map_heads(lambda head: jax.tree.map(lambda a: a[: self.n_nodes], head), host)

    def choose_step(self) -> Step:
        """Returns the step as it is best compiled."""
        return choose_step(Target.of()) if self.mesh is None else _compile_step(self.mesh)


def _map_heads(change: Callable[[Head], Head], state: TuningState) -> TuningState:
    """Changes what has a row for each node, the moments of the head included."""
    moments = state.head_moments
    moments = moments._replace(mu=change(moments.mu), nu=change(moments.nu))
    return TuningState(
        state.params, change(state.head), state.params_moments, moments, state.step, state.key
    )


def _spread_specs(state: TuningState) -> Any:
    """Returns how each array of a state lies: nodes over `label`, all else whole."""
    whole = jax.tree.map(lambda _: WHOLE, state)
    nodes = choose_spec("C")
    return _map_heads(lambda head: jax.tree.map(lambda _: nodes, head, is_leaf=_is_spec), whole)


def _is_spec(x: Any) -> bool:
    return isinstance(x, PartitionSpec)


@lru_cache(maxsize=4)
def _compile_step(mesh: Mesh) -> Step:
    """Returns the step of a mesh; what it gives lies as what it takes."""

    def step(state: TuningState, batch: TuningBatch, *, config: Any) -> Any:
        new, metrics = tuning_step(state, batch, config=config)
        shardings = jax.tree.map(
            lambda spec: NamedSharding(mesh, spec), _spread_specs(new), is_leaf=_is_spec
        )
        new = jax.lax.with_sharding_constraint(new, shardings)
        whole = NamedSharding(mesh, WHOLE)
        return new, jax.tree.map(lambda m: jax.lax.with_sharding_constraint(m, whole), metrics)

    return jax.jit(step, static_argnames="config", donate_argnums=0)


@lru_cache(maxsize=4)
def _gather(mesh: Mesh) -> Callable[[Any], Any]:
    """Returns what lays arrays whole on every device."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, WHOLE))
