"""The machine that a model runs on, determined once: its devices and the memory of its host."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax.sharding import Mesh

from xmc_jax.config import ParallelConfig
from xmc_jax.memory import find_budget
from xmc_jax.parallel.mesh import make_mesh


@dataclass(frozen=True)
class Machine:
    """Devices and memory.

    Attributes:
        mesh: the mesh of all processes.
        memory: the limit on host memory for training and search, in bytes.
    """

    mesh: Mesh
    memory: int

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices of this process, among which independent work is distributed."""
        return tuple(self.mesh.local_devices)

    @property
    def own_mesh(self) -> Mesh | None:
        """The mesh, for work that every process does alone; None, its first device, where there are several."""
        return self.mesh if jax.process_count() == 1 else None


def find_machine(memory: str = "auto", parallel: ParallelConfig | None = None) -> Machine:
    """Returns the devices and memory that the settings ask for.

    Args:
        memory: a size such as `8GB`; auto: the limit of the machine or control group.
        parallel: the grid of devices; None: all of them, for instances.

    Raises:
        InputError: the grid does not fit the devices, or `memory` is not a size.
    """
    return Machine(make_mesh(parallel or ParallelConfig()), find_budget(memory))
