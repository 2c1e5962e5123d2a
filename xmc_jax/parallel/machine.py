"""What a model runs on, found once: its devices and the memory of its host."""

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
        mesh: of all processes.
        memory: bytes of host memory that training and search keep to.
    """

    mesh: Mesh
    memory: int

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices of this process, to which independent work is dealt."""
        return tuple(self.mesh.local_devices)

    @property
    def own_mesh(self) -> Mesh | None:
        """The mesh, for work that every process does alone; None, its first device, where there are several."""
        return self.mesh if jax.process_count() == 1 else None


def find_machine(memory: str = "auto", parallel: ParallelConfig | None = None) -> Machine:
    """Returns what there is of devices and memory, as far as the settings ask for it.

    Args:
        memory: a size such as `8GB`; auto: what machine and control group have.
        parallel: the grid of devices; None: all of them, for instances.

    Raises:
        InputError: the grid does not fit the devices, or `memory` is no size.
    """
    return Machine(make_mesh(parallel or ParallelConfig()), find_budget(memory))
