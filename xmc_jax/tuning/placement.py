"""How a fine-tuning is placed on a mesh: state and gradients are sharded over all devices (FSDP), batches by texts.

Parameters and head are gathered for each step; a device updates its share of them. If the number of devices does not
divide a batch, the batch is split over the mesh's axis `data` alone. Every process makes the same batches and passes
its rows to its devices; losses and fetched states are the same in all processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from xmc_jax.config import TransformerConfig
from xmc_jax.errors import InputError
from xmc_jax.parallel import DATA, WHOLE, Target, choose_cut, gather, place
from xmc_jax.tuning.step import Rows, TuningBatch, TuningState, choose_step, lay, tuning_step

Step = Callable[..., tuple[TuningState, dict[str, jax.Array]]]


def choose_mesh(config: TransformerConfig, mesh: Mesh) -> Mesh | None:
    """Returns the mesh that the encoder runs on; None: a single device, which needs none.

    Raises:
        InputError: its rows do not divide a batch.
    """
    if mesh.size == 1:
        return None
    n, tuning = mesh.shape[DATA], config.tuning
    parts = 1 if tuning.accumulate == "auto" else tuning.accumulate
    if tuning.is_off or tuning.batch_size == "auto" or tuning.batch_size % (n * parts) == 0:
        return mesh
    rows = f"parallel.data={config.parallel.data}"
    if config.parallel.data == "auto":
        rows += f" ({n} devices)"
    more = f" and tuning.accumulate={parts}" if parts > 1 else ""
    raise InputError(
        f"{rows}{more} given with tuning.batch_size={tuning.batch_size}, a multiple of {n * parts} needed; change "
        "tuning.batch_size or parallel.data"
    )


@dataclass(frozen=True)
class Placement:
    """Where the state of a level is placed, and its step.

    Attributes:
        rows: how batches are placed on the mesh; None: on the default device.
    """

    rows: Rows | None

    def place_state(self, state: TuningState) -> TuningState:
        """Puts a state on its devices."""
        if self.rows is None:
            return jax.tree.map(jax.numpy.array, state)  # a copy, as a step donates its buffers
        mesh = self.rows.mesh
        return place(state, mesh, jax.tree.map(lambda x: choose_cut(x.shape, mesh), state))

    def place_batch(self, batch: TuningBatch) -> TuningBatch:
        """Puts a batch on its devices before the step needs it."""
        return batch if self.rows is None else place(batch, self.rows.mesh, self.rows.spec)

    def fetch_state(self, state: TuningState) -> TuningState:
        """Returns a state as host arrays, the same on any mesh; a device holds at most one whole array of it."""
        return jax.device_get(state) if self.rows is None else jax.tree.map(gather, state)

    def choose_step(self) -> Step:
        """Returns the step, compiled in the way that is best for the devices."""
        return choose_step(Target.of()) if self.rows is None else compile_step(self.rows)


@lru_cache(maxsize=4)
def compile_step(rows: Rows) -> Step:
    """Returns the step of a mesh; its outputs are placed like its inputs."""

    def step(state: TuningState, batch: TuningBatch, *, config: Any) -> Any:
        new, metrics = tuning_step(state, batch, config=config)
        whole = NamedSharding(rows.mesh, WHOLE)
        metrics = jax.tree.map(lambda m: jax.lax.with_sharding_constraint(m, whole), metrics)
        return lay(new, rows, cut=True), metrics

    return jax.jit(step, static_argnames="config", donate_argnums=0)
