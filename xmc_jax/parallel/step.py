"""The one wrapper around `jax.shard_map`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from xmc_jax.parallel.mesh import DATA, LABEL


def shard_step(step: Callable[..., Any], mesh: Mesh, in_specs: Any, out_specs: Any) -> Callable:
    """Turns a step written for one shard into a step of the whole mesh.

    The step sees its shard of every argument and the mesh axes by name, and uses collectives for everything about other
    shards. `check_vma` is off, because with it the gradient of replicated parameters would already be summed over the
    shards, and an explicit mean would be too large by the number of shards.

    Args:
        step: a function of arrays (pytrees).
        mesh: a mesh of `make_mesh`.
        in_specs, out_specs: a `PartitionSpec` for each argument (result), or a pytree of them.
    """
    return jax.shard_map(step, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def gather_rows(tree: Any) -> Any:
    """Returns, within a step, the rows of all shards of the `data` axis, in order, on every device."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, DATA, tiled=True), tree)


def gather_columns(tree: Any) -> Any:
    """Returns, within a step, the arrays [B, S] of all shards of the `label` axis side by side, on every device."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, LABEL, axis=1, tiled=True), tree)


def take_largest(x: jax.Array) -> jax.Array:
    """Returns, within a step, the largest of the values of all shards of the `label` axis."""
    return jax.lax.pmax(x, LABEL)
