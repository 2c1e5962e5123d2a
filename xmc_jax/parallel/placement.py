"""Where arrays lie: rules from the axes of our vocabulary to the axes of the mesh, and arrays put accordingly."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xmc_jax.parallel.mesh import DATA, LABEL

RULES: dict[str, str | None] = {"N": DATA, "B": DATA, "C": LABEL, "L": LABEL}
"""Mesh axis of a logical axis (the letters of `types.py`); others lie whole on every device."""
WHOLE = PartitionSpec()
"""How an array lies that every device has whole."""


def choose_spec(*axes: str | None) -> PartitionSpec:
    """Returns how an array with these logical axes lies on the mesh; an axis of None is never cut."""
    return PartitionSpec(*(RULES.get(axis) if axis else None for axis in axes))


def place(tree: Any, mesh: Mesh, specs: Any = WHOLE) -> Any:
    """Puts host arrays on the mesh; every process has all of them and puts the parts of its devices.

    Args:
        tree: a pytree of arrays.
        specs: a `PartitionSpec` for all of them, or a pytree like `tree` with one for each.
    """
    if isinstance(specs, PartitionSpec):
        specs = jax.tree.map(lambda _: specs, tree)

    def put(x: Any, spec: PartitionSpec) -> jax.Array:
        host = np.asarray(x)
        sharding = NamedSharding(mesh, spec)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, tree, specs)


def fetch(x: jax.Array) -> np.ndarray:
    """Returns an array that lies whole on every device, also where other processes have devices."""
    return np.asarray(x.addressable_data(0))


def local_rows(n_rows: int, mesh: Mesh) -> slice:
    """Returns the rows of a set [N] that this process reads: shares of equal size, by its share of the mesh.

    Rows are cut as `place` cuts them: a row lies on a device of the process that reads it, if `n_rows` is a
    multiple of the mesh's `data` axis; what does not divide goes to the last processes.
    """
    n_data = mesh.shape[DATA]
    mine = [
        i
        for i, devices in enumerate(mesh.devices)
        if any(d.process_index == jax.process_index() for d in devices.flat)
    ]
    bounds = [n_rows * i // n_data for i in range(n_data + 1)]
    return slice(bounds[mine[0]], bounds[mine[-1] + 1])
