"""How exactly a level is solved, and which weights are kept."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax.sharding import Mesh

from xmc_jax.config import Formulation


@dataclass(frozen=True)
class SolveSettings:
    """How exactly a level is solved, and which weights are kept.

    Attributes:
        tolerance: the dual stops when an epoch adds less than this share to the objective of a whole chunk (for the
            hinge, 1e-4 of this share), Newton when no label of a chunk gains more than this share of its own.
        together: whether Newton stops as the dual does: when the next step would add less than that share to the
            objective of a whole chunk. From a start near the optimum this takes half the steps.
        max_epochs: largest number of epochs and of Newton steps.
        threshold: magnitude below which weights are dropped.
        max_nonzeros: number of sparse weights kept per label (bias and dense columns aside); None for all.
        formulation: a solver's name; "auto" lets the cost model choose.
        seed: seed of the order in which the dual visits rows.
        memory: bytes that all chunks under way may take; None for chunks of the fastest size. Smaller chunks visit
            their rows in another order, so that weights differ within the tolerance.
        mesh: mesh whose devices in this process solve the chunks; None for the default device.
    """

    tolerance: float = 1e-4
    together: bool = False
    max_epochs: int = 60
    threshold: float = 0.1
    max_nonzeros: int | None = None
    formulation: Formulation = "auto"
    seed: int = 0
    memory: int | None = None
    mesh: Mesh | None = None

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices of this process; empty for the default one."""
        return () if self.mesh is None else tuple(self.mesh.local_devices)
