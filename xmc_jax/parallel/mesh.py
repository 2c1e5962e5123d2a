"""The mesh: devices of all processes in a grid, axis `data` for instances and axis `label` for weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import jax
import numpy as np
from jax._src import distributed
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from xmc_jax.config import ParallelConfig
from xmc_jax.errors import InputError, RunError
from xmc_jax.parallel.exchange import wait
from xmc_jax.parallel.watch import HEARTBEAT, start_watch

DATA, LABEL = "data", "label"


def make_mesh(config: ParallelConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of `config.data` × `config.label` devices.

    Neighbouring devices share a row of the mesh, so that the shards of one model stay on one machine if they fit.

    Args:
        config: the grid; "auto" for `data` takes all remaining devices.
        devices: the devices; None: all devices of all processes.

    Raises:
        InputError: the grid does not fit the devices, or leaves a process without one.
    """
    every = list(jax.devices() if devices is None else devices)
    n, label = len(every), config.label
    data = n // label if config.data == "auto" else config.data
    if data * label > n or not data:
        raise InputError(
            f"parallel.data={config.data} and parallel.label={label} given with {n} "
            f"{'device' if n == 1 else 'devices'}; a product of at most {n} needed"
        )
    used = every[: data * label]
    if {d.process_index for d in used} != {d.process_index for d in every}:
        raise InputError(
            f"parallel.data={config.data} and parallel.label={label} given with {n} devices of "
            f"{jax.process_count()} processes; a grid in which every process has a device needed"
        )
    # Only shard_map sees the axis names: with explicit axes it would refuse arrays placed otherwise.
    mesh = jax.make_mesh(
        (data, label), (DATA, LABEL), axis_types=(AxisType.Auto,) * 2, devices=used
    )
    if jax.process_count() > 1 and used[0].platform == "cpu":
        _open_groups(mesh)
    return mesh


def keep_mesh(mesh: Mesh | None) -> Mesh | None:
    """Returns the mesh if work on it differs from work on this process's first device alone, else None."""
    if mesh is None or (mesh.size == 1 and mesh.devices.flat[0] == jax.local_devices()[0]):
        return None
    return mesh


def join_processes(
    address: str | None = None, n_processes: int | None = None, process: int | None = None
) -> None:
    """Joins the processes of a run, before anything else asks for devices; if one dies later, the others end.

    On CPUs collectives go through gloo, so that a pod can be rehearsed on one machine.

    Args:
        address: `host:port` of process 0; None: all three come from the environment, see `read_environment`.
        n_processes: the number of processes of the whole run.
        process: the number of this process.

    Raises:
        InputError: a number is out of range, or the environment does not describe the processes.
        RunError: the processes did not find each other.
    """
    given = (address, n_processes, process)
    if address is None:
        given = read_environment()
    elif n_processes is None or process is None or not 0 <= process < n_processes:
        known = "" if n_processes is None else f", 0 to {n_processes - 1} needed"
        raise InputError(f"process {process} of {n_processes} given{known}")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Otherwise the service itself ends all processes when one dies; see `watch.py`.
    jax.config.update("jax_enable_recoverability", True)
    # Else JAX keeps SIGTERM to itself, for programs that ask it at every step: a scheduler's or a user's is not heard.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(*given, heartbeat_timeout_seconds=HEARTBEAT)
        # Opens the groups that are needed before any process has work of its own; see `_open_groups`.
        wait("joined")
    except (RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        if address is None and isinstance(error, ValueError):
            raise InputError(
                f"processes to be found in the environment, which names none ({first}); start them by Slurm or Open "
                "MPI, on GKE or a Cloud TPU, set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or "
                "give the address, the number of processes and the number of this one"
            ) from error
        raise RunError(f"process {given[2]} of {given[1]} at {given[0]}: {first}") from error
    if jax.process_count() > 1:
        state = distributed.global_state
        start_watch(state.client, jax.process_index(), jax.process_count())


def read_environment() -> tuple[str | None, int | None, int | None]:
    """Returns the address, the number of processes and the number of this one from the environment; None: JAX finds it.

    These are `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`; without them JAX looks for Slurm,
    Open MPI, GKE and Cloud TPU.

    Raises:
        InputError: only some of them are set, or one is not a number.
    """
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    if not found:
        return None, None, None
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{next(iter(found))} is set without {' and '.join(missing)}; all three needed"
        )
    for name in names[1:]:
        if not found[name].isdigit():
            raise InputError(f"{name}={found[name]} is set, a number needed")
    n_processes, process = (int(found[name]) for name in names[1:])
    if process >= n_processes:
        raise InputError(
            f"JAX_PROCESS_ID={process} is set with JAX_NUM_PROCESSES={n_processes}, 0 to {n_processes - 1} needed"
        )
    return found[names[0]], n_processes, process


@lru_cache(maxsize=16)
def _open_groups(mesh: Mesh) -> None:
    """Lets the devices of each axis, and all devices together, exchange a number.

    Gloo opens a group of devices at its first exchange, in which a process waits at most 30 seconds for the others. If
    that happened within a program, one process could spend more time than that compiling it. Open groups wait much
    longer.
    """
    wait("before groups")
    ones = np.ones(mesh.devices.shape, np.float32)
    for spec in (PartitionSpec(DATA), PartitionSpec(None, LABEL), PartitionSpec(DATA, LABEL)):
        put = jax.make_array_from_callback(
            ones.shape, NamedSharding(mesh, spec), lambda index: ones[index]
        )
        whole = NamedSharding(mesh, PartitionSpec())
        jax.block_until_ready(jax.jit(jax.numpy.sum, out_shardings=whole)(put))
