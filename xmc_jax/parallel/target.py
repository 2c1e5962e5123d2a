"""The machine that programs are made for: the kind of device, its memory and speeds, and how many there are.

Whatever depends on the machine (the solver, the rows of a batch, one program or several) is a function of a `Target`.
It is made from the devices of a mesh or from a name, so that the program compiled for an absent machine is the one that
the same code would choose there.

Speeds are orders of magnitude from data sheets, reduced to what the programs of this package were seen to reach; they
rank alternatives and do not predict seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import jax
from jax.sharding import Mesh

from xmc_jax.errors import InputError, suggest
from xmc_jax.ops import Gathers
from xmc_jax.threads import count_cores

_GB = 10**9


@dataclass(frozen=True)
class Target:
    """A kind of device and the number of devices.

    Attributes:
        kind: its name, as in `TARGETS`.
        platform: `cpu`, `gpu` or `tpu`.
        memory: the bytes of one device; for a CPU, those that one program should take, as the memory is the host's.
        gather_bytes: bytes per second of rows gathered, changed and scattered again.
        product_bytes: bytes per second of rows gathered by a whole product.
        flops: float32 multiply-adds per second of a batched product.
        step: seconds per sequential step of a loop that changes rows in place.
        launch: seconds to start a kernel (on a TPU, an operation) of a program.
        n_devices: the total number of devices.
    """

    kind: str
    platform: Literal["cpu", "gpu", "tpu"]
    memory: int
    gather_bytes: float
    product_bytes: float
    flops: float
    step: float
    launch: float
    n_devices: int = 1

    @property
    def is_cpu(self) -> bool:
        """Whether the devices are the host's own cores, which do the work that its threads give them."""
        return self.platform == "cpu"

    @property
    def gathers(self) -> Gathers:
        """How products of sparse rows gather; see `ops/accumulate.py`."""
        ways: dict[str, Gathers] = {"cpu": "unrolled", "gpu": "fused", "tpu": "looped"}
        return ways[self.platform]

    @property
    def call_memory(self) -> int:
        """Bytes that the largest array of one program may take."""
        return self.memory if self.is_cpu else self.memory // 8

    @property
    def name(self) -> str:
        """The name that `Target.named` reads."""
        if self.n_devices == 1 and self.platform != "tpu":
            return self.kind
        return f"{self.kind}{'-' if self.platform == 'tpu' else ':'}{self.n_devices}"

    @classmethod
    def of(cls, mesh: Mesh | None = None) -> Target:
        """Returns the target of a mesh's devices, which are all of one kind; None: the default device alone."""
        device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
        found = _find_target(device.device_kind, device.platform)
        return found if mesh is None else replace(found, n_devices=mesh.size)

    @classmethod
    def named(cls, name: str) -> Target:
        """Returns the target with a name: `cpu`, `h100`, `h100:8`, `v5e-8`, `v6e-256`, …

        Raises:
            InputError: the kind is unknown, or there are fewer than 1 device.
        """
        kind, n = re.fullmatch(r"(.*?)(?:[-:](\d+))?", name.strip().lower()).groups()  # type: ignore[union-attr]
        if kind not in TARGETS:
            raise InputError(f"target {name!r} given{suggest(kind, TARGETS)}")
        if n is not None and int(n) < 1:
            raise InputError(f"target {name!r} given, 1 or more devices needed")
        return replace(TARGETS[kind], n_devices=int(n or 1))

    def count_workers(self, n_devices: int = 1) -> int:
        """Returns how many independent programs a process runs side by side.

        XLA runs a program's many small operations on one thread. A CPU is kept busy by as many programs as cores,
        however many devices it simulates; elsewhere there is one program per device of the process.
        """
        return count_cores() if self.is_cpu else max(1, n_devices)


TARGETS = {
    target.kind: target
    for target in (
        Target("cpu", "cpu", 2**30, 1.2e10, 1e10, 3e10, 1e-5, 0.0),
        Target("gpu", "gpu", 16 * _GB, 2.5e11, 2.5e11, 5e12, 2.5e-4, 4e-6),
        Target("l4", "gpu", 24 * _GB, 1e11, 1e11, 1e13, 2.5e-4, 4e-6),
        Target("a100", "gpu", 80 * _GB, 6e11, 6e11, 9e12, 2.5e-4, 4e-6),
        Target("h100", "gpu", 80 * _GB, 1e12, 1e12, 2e13, 2.5e-4, 4e-6),
        Target("h200", "gpu", 141 * _GB, 1.4e12, 1.4e12, 2e13, 2.5e-4, 4e-6),
        Target("v4", "tpu", 32 * _GB, 1.2e11, 1.2e11, 2e13, 3e-4, 5e-7),
        Target("v5e", "tpu", 16 * _GB, 8e10, 8e10, 1.6e13, 3e-4, 5e-7),
        Target("v5p", "tpu", 95 * _GB, 2.7e11, 2.7e11, 3.8e13, 3e-4, 5e-7),
        Target("v6e", "tpu", 32 * _GB, 1.6e11, 1.6e11, 7.6e13, 3e-4, 5e-7),
    )
}
"""Name → target of one device; `gpu` is any other GPU."""

_DEVICE_KINDS = (
    (r"\bH200\b", "h200"),
    (r"\bH100\b", "h100"),
    (r"\bA100\b", "a100"),
    (r"\bL4\b", "l4"),
    (r"^TPU v4", "v4"),
    (r"^TPU v5 ?(lite|e)", "v5e"),
    (r"^TPU v5", "v5p"),
    (r"^TPU v6", "v6e"),
)
"""Pattern of a device's own name → its kind; the first match counts."""


@cache
def _find_target(device_kind: str, platform: str) -> Target:
    """Returns the target of one device with this name; a single query asks for it several times."""
    kind = next((k for pattern, k in _DEVICE_KINDS if re.search(pattern, device_kind)), None)
    return TARGETS[kind or {"cpu": "cpu", "tpu": "v5e"}.get(platform, "gpu")]
