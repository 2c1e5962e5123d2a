"""Absent devices that JAX can compile for, without a driver or a chip.

Programs for a TPU need the wheel `libtpu` (`pip install "jax[tpu]"`), those for a GPU `jax-cuda12-plugin` and
`jax-cuda12-pjrt`; both can be compiled on any x86-64 Linux machine.
"""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from math import prod

import jax
from jax.experimental import topologies

from xmc_jax.errors import InputError, RunError
from xmc_jax.parallel.target import Target

_SLICES: dict[int, tuple[int, ...]] = {
    1: (1, 1),
    4: (2, 2),
    8: (2, 4),
    16: (4, 4),
    32: (4, 8),
    64: (8, 8),
    128: (8, 16),
    256: (16, 16),
}
"""Chips of each slice that Google Cloud offers."""
_CUBES: dict[int, tuple[int, ...]] = {
    4: (2, 2, 1),
    8: (2, 2, 2),
    16: (2, 2, 4),
    32: (2, 4, 4),
    64: (4, 4, 4),
    128: (4, 4, 8),
    256: (4, 8, 8),
}
_TPUS = {
    "v4": ("v4", "megacore", _CUBES),
    "v5e": ("v5e", "default", _SLICES),
    "v5p": ("v5", "megacore", _CUBES),
    "v6e": ("v6e", "default", _SLICES),
}
"""Name, chip configuration and slices of each kind, as libtpu defines them."""
_GPU_HOST = 8
_QUIET = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}

_CARDS = {
    "h100": ("NVIDIA H100 80GB HBM3", 132, 1.98, 3_352_000_000_000, 52_428_800, 84_942_979_072),
    "h200": ("NVIDIA H200", 132, 1.98, 4_800_000_000_000, 52_428_800, 150_754_820_096),
}
"""Name, multiprocessors, GHz, bytes per second, bytes of the L2 cache and of memory, from the data sheets; both have
compute capability 9.0."""
_CARD = """gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  core_count: {cores} fpus_per_core: 128 clock_rate_ghz: {clock}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {bandwidth} l2_cache_size: {cache} device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 minor: 0 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}"
"""


def can_compile(target: Target) -> bool:
    """Returns whether the wheel that compiles for a target is installed."""
    wheel = {"tpu": "libtpu", "gpu": "jax_cuda12_plugin", "cpu": "jax"}[target.platform]
    return importlib.util.find_spec(wheel) is not None


def describe_absent() -> None:
    """Prepares this process to compile for absent devices: JAX looks only for the CPU, and caches no programs.

    Commands call this before anything asks for devices; it affects the whole process.
    """
    if not os.environ.get("JAX_PLATFORMS"):
        jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)  # such programs cannot be read back


def list_absent_devices(target: Target) -> list[jax.Device]:
    """Returns the devices of a target, to make a mesh of and compile for; they cannot run anything.

    Raises:
        InputError: there is no slice with this number of devices, or no description of the kind's card.
        RunError: the wheel is missing.
    """
    if not can_compile(target):
        what = '"jax[tpu]"' if target.platform == "tpu" else "jax-cuda12-plugin jax-cuda12-pjrt"
        raise RunError(
            f"programs for {target.name} wanted, but its compiler is not installed; pip install {what} (no chip or "
            "driver needed), or leave --verify out"
        )
    if target.is_cpu:
        return jax.devices("cpu")[: target.n_devices]
    return _describe(target)


@lru_cache(maxsize=8)
def _describe(target: Target) -> list[jax.Device]:
    n = target.n_devices
    if target.platform == "gpu":
        if target.kind not in _CARDS:
            raise InputError(f"target {target.name} given, {' or '.join(_CARDS)} needed to compile")
        if n > _GPU_HOST and n % _GPU_HOST:
            raise InputError(f"target {target.name} given, a multiple of {_GPU_HOST} GPUs needed")
        name, cores, clock, bandwidth, cache, memory = _CARDS[target.kind]
        card = _CARD.format(
            name=name, cores=cores, clock=clock, bandwidth=bandwidth, cache=cache, memory=memory
        )
        hosts = f"1x{max(1, n // _GPU_HOST)}x{min(n, _GPU_HOST)}"
        return list(
            topologies.get_topology_desc(
                platform="cuda", topology=hosts, target_config=card
            ).devices
        )
    name, chip, slices = _TPUS[target.kind]
    if n not in slices:
        known = ", ".join(str(size) for size in slices)
        raise InputError(f"target {target.name} given, a slice of {known} chips needed")
    # Set for this process only, unless already set: otherwise libtpu looks for the chips of a worker, or waits for
    # those that another process holds.
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    shape = slices[n]
    found = topologies.get_topology_desc(
        platform="tpu",
        topology_name=f"{name}:{'x'.join(map(str, shape))}",
        chip_config_name=chip,
        chips_per_host_bounds=(1, 1, 1) if prod(shape) == 1 else (2, 2, 1),
        num_slices=1,
        wrap=(True, True, False) if n == 256 else (False,) * 3,
    )
    return list(found.devices)
