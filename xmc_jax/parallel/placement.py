"""Placement of arrays: rules from the axes of our vocabulary to the axes of the mesh, and functions that apply them."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xmc_jax.parallel.mesh import DATA, LABEL

RULES: dict[str, str | None] = {"N": DATA, "B": DATA, "C": LABEL, "L": LABEL}
"""Logical axis (a letter of `types.py`) → mesh axis; other axes are whole on every device."""
_LEAST_CUT = 4096
"""Size of an array from which splitting pays."""
WHOLE = PartitionSpec()
"""Partition spec of an array that is whole on every device."""
SPREAD = PartitionSpec((DATA, LABEL))
"""Partition spec of an array whose first axis is split over all devices."""


def choose_spec(*axes: str | None) -> PartitionSpec:
    """Returns the partition spec of an array with these logical axes; an axis of None is never split."""
    return PartitionSpec(*(RULES.get(axis) if axis else None for axis in axes))


def choose_cut(shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Returns a spec that splits the longest axis that the devices divide over all of them; small arrays stay whole.

    Args:
        shape: the shape of the array.
        mesh: the mesh whose devices all take a part, whatever its axes.
    """
    sizes = [n for n in shape if n % mesh.size == 0]
    if not sizes or prod(shape) < _LEAST_CUT:
        return WHOLE
    at = shape.index(max(sizes))
    return PartitionSpec(*[None] * at, (DATA, LABEL))


def place(tree: Any, mesh: Mesh, specs: Any = WHOLE) -> Any:
    """Puts host arrays on the mesh; every process has whole arrays and places the parts of its devices.

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
    """Returns an array that is whole on every device as a host array, also if other processes have devices."""
    return np.asarray(x.addressable_data(0))


def gather(x: jax.Array) -> np.ndarray:
    """Returns an array as a host array, however it is placed, also on devices of other processes."""
    if x.is_fully_addressable:
        return np.asarray(x)
    mesh = x.sharding.mesh  # type: ignore[attr-defined]
    return fetch(_make_whole(mesh)(x))


@lru_cache(maxsize=4)
def _make_whole(mesh: Mesh) -> Any:
    return jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, WHOLE))
