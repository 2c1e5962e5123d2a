"""The devices that JAX finds, before anything is done with them: what is wrong with them is told in one line."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from xmc_jax.errors import InputError, RunError, tell

_HARMLESS = ("--xla_force_host_platform_device_count=", "--xla_dump_to=")
"""Flags that are not tried out first: every XLA knows them."""
_ADDRESS_SPACE = 2_000_000_000
"""Bytes of address space that Python, JAX and a small training take, measured on a CPU."""


def check_devices() -> None:
    """Starts JAX's back end.

    Raises:
        InputError: the environment asks for devices or flags that there are not.
        RunError: too little address space, or JAX finds no device at all.
    """
    _check_address_space()
    _check_flags()
    import jax

    wanted = os.environ.get("JAX_PLATFORMS", "")
    try:
        found = {device.platform for device in jax.devices()}
    except (
        Exception
    ) as error:  # RuntimeError, AssertionError, ...: JAX lets pass what its plugins raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if wanted:
            raise InputError(
                f"JAX_PLATFORMS={wanted} is set, but JAX cannot use that here ({reason}); unset it, or set cpu"
            ) from error
        raise RunError(
            f"JAX finds no device ({reason}); JAX_PLATFORMS=cpu works without one"
        ) from error
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible and visible != "-1" and not wanted and "gpu" not in found and _has_cuda():
        tell(f"CUDA_VISIBLE_DEVICES={visible}: JAX finds no such GPU and works on the CPU")


def _check_flags() -> None:
    """Tries flags out in another process: XLA ends the one in which it reads a flag that it does not know."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if all(flag.startswith(_HARMLESS) for flag in flags):
        return
    trial = "import jax; jax.devices()"
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True)
    said = [line.partition("] ")[2] for line in done.stderr.splitlines() if "XLA_FLAGS" in line]
    if done.returncode and said:  # other failures are found out here, by their own names
        raise InputError(f"XLA_FLAGS={' '.join(flags)} is set, which XLA refuses: {said[0]}")


def _check_address_space() -> None:
    try:
        import resource
    except ImportError:  # not POSIX
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= limit < _ADDRESS_SPACE:
        raise RunError(
            f"address space is limited to {limit / 1e9:.3g} GB (ulimit -v), {_ADDRESS_SPACE / 1e9:.3g} GB needed at "
            "least; raise it, and set --memory instead"
        )


def _has_cuda() -> bool:
    return any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))
