"""Where a fine-tuning lies on a mesh: state and gradients cut over all devices (FSDP), batches by their texts.

Parameters and head are laid together for each step; a device updates its share of them. Where all devices do not divide
a batch it is cut over the mesh's axis `data` alone. Every process makes the same batches and hands its rows to its
devices; losses and fetched states are the same in all of them.
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
    """Returns the mesh that the encoder works on; None: one device, which needs none.

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
    """Where the state of a level lies, and its step.

    Attributes:
        rows: how batches lie on the mesh; None: the default device.
    """

    rows: Rows | None

    def place_state(self, state: TuningState) -> TuningState:
        """Puts a state on its devices."""
        if self.rows is None:
            return jax.tree.map(jax.numpy.array, state)  # copied: a step gives its buffers away
        mesh = self.rows.mesh
        return place(state, mesh, jax.tree.map(lambda x: choose_cut(x.shape, mesh), state))

    def place_batch(self, batch: TuningBatch) -> TuningBatch:
        """Puts a batch on its devices, before the step asks for it."""
        return batch if self.rows is None else place(batch, self.rows.mesh, self.rows.spec)

    def fetch_state(self, state: TuningState) -> TuningState:
        """Returns a state as host arrays, the same on any mesh; no device holds more of it meanwhile than an array."""
        return jax.device_get(state) if self.rows is None else jax.tree.map(gather, state)

    def choose_step(self) -> Step:
        """Returns the step as it is best compiled."""
        return choose_step(Target.of()) if self.rows is None else compile_step(self.rows)


@lru_cache(maxsize=4)
def compile_step(rows: Rows) -> Step:
    """Returns the step of a mesh; what it gives lies as what it takes."""

    def step(state: TuningState, batch: TuningBatch, *, config: Any) -> Any:
        new, metrics = tuning_step(state, batch, config=config)
        whole = NamedSharding(rows.mesh, WHOLE)
        metrics = jax.tree.map(lambda m: jax.lax.with_sharding_constraint(m, whole), metrics)
        return lay(new, rows, cut=True), metrics

    return jax.jit(step, static_argnames="config", donate_argnums=0)
