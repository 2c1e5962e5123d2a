"""How exactly a level is solved and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax.sharding import Mesh

from xmc_jax.config import Formulation


@dataclass(frozen=True)
class SolveSettings:
    """How exactly a level is solved and what is kept of it.

    Attributes:
        tolerance: the dual ends when an epoch adds less than this share to the objective of a whole chunk (for the
            hinge, 1e-4 of this share), Newton when no label of a chunk gained more than this share of its own.
        max_epochs: bound on epochs and on Newton steps.
        threshold: smaller weights are dropped.
        max_nonzeros: sparse weights kept for a label (bias and dense columns aside); None: all.
        formulation: a solver's name; "auto" lets the cost model choose.
        seed: of the order in which the dual visits rows.
        memory: bytes that all chunks under way may take; None: chunks of a size that is quick. Chunks that are smaller
            for want of memory visit their rows in another order: weights then differ within the tolerance.
        mesh: whose devices in this process its chunks are dealt to; None: the default device.
    """

    tolerance: float = 1e-4
    max_epochs: int = 60
    threshold: float = 0.1
    max_nonzeros: int | None = None
    formulation: Formulation = "auto"
    seed: int = 0
    memory: int | None = None
    mesh: Mesh | None = None

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices of this process; empty: the default one."""
        return () if self.mesh is None else tuple(self.mesh.local_devices)
