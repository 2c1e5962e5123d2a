"""The mesh: devices of all processes in a grid, axis `data` for instances and axis `label` for weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from xmc_jax.config import ParallelConfig
from xmc_jax.errors import InputError, RunError
from xmc_jax.parallel.exchange import wait

DATA, LABEL = "data", "label"


def make_mesh(config: ParallelConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of `config.data` × `config.label` devices.

    Neighbours share a row of the mesh: shards of one model stay on one machine where they fit.

    Args:
        config: "auto" for `data`: all devices that are left.
        devices: instead of all devices of all processes.

    Raises:
        InputError: the grid does not fit the devices, or leaves a process without one.
    """
    every = list(jax.devices() if devices is None else devices)
    n, label = len(every), config.label
    data = n // label if config.data == "auto" else config.data
    if data * label > n or not data:
        raise InputError(
            f"parallel.data={config.data} and parallel.label={label} given with {n} "
            f"{'device' if n == 1 else 'devices'}; at most {n} in all needed"
        )
    used = every[: data * label]
    if {d.process_index for d in used} != {d.process_index for d in every}:
        raise InputError(
            f"parallel.data={config.data} and parallel.label={label} given with {n} devices of "
            f"{jax.process_count()} processes; a grid in which every process has a device needed"
        )
    # Axes are named to shard_map alone: with explicit ones it would refuse arrays placed otherwise.
    mesh = jax.make_mesh(
        (data, label), (DATA, LABEL), axis_types=(AxisType.Auto,) * 2, devices=used
    )
    if jax.process_count() > 1 and used[0].platform == "cpu":
        _open_groups(mesh)
    return mesh


def join_processes(address: str, n_processes: int, process: int) -> None:
    """Joins the processes of a run, before anything else asks for devices.

    On CPUs collectives go through gloo, so that a pod can be rehearsed on one machine.

    Args:
        address: `host:port` of process 0.
        n_processes: of the whole run.
        process: number of this one.

    Raises:
        InputError: a number out of range.
        RunError: the processes did not find each other.
    """
    if not 0 <= process < n_processes:
        raise InputError(f"process {process} of {n_processes} given, 0 to {n_processes - 1} needed")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(address, n_processes, process)
        # Opens the groups that it takes while none has work of its own, see `_open_groups`.
        wait("joined")
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise RunError(f"process {process} of {n_processes} at {address}: {first}") from error


@lru_cache(maxsize=16)
def _open_groups(mesh: Mesh) -> None:
    """Lets the devices of each axis, and all of them, exchange a number.

    Gloo opens a group of devices at its first exchange, in which a process waits 30 seconds at most for the others. A
    program in which that happens is compiled before, which may take one process longer than that. Groups that are
    open wait much longer.
    """
    wait("before groups")
    ones = np.ones(mesh.devices.shape, np.float32)
    for spec in (PartitionSpec(DATA), PartitionSpec(None, LABEL), PartitionSpec(DATA, LABEL)):
        put = jax.make_array_from_callback(
            ones.shape, NamedSharding(mesh, spec), lambda index: ones[index]
        )
        whole = NamedSharding(mesh, PartitionSpec())
        jax.block_until_ready(jax.jit(jax.numpy.sum, out_shardings=whole)(put))
