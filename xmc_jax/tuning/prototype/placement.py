"""How the state of a fine-tuning against all labels is placed: chunks of labels in equal parts on all devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from xmc_jax.parallel import WHOLE, fetch, place
from xmc_jax.tuning.prototype.head import PrototypeHead, pad_chunks
from xmc_jax.tuning.prototype.step import (
    CUT,
    PrototypeBatch,
    PrototypeState,
    compile_step,
    list_specs,
)


@dataclass(frozen=True)
class HeadPlacement:
    """Where state and batches are placed.

    Attributes:
        mesh: the mesh of several devices; None: the default one.
        n_chunks: the number of chunks of the head; on a mesh, empty chunks follow until all devices have equally many.
    """

    mesh: Mesh | None
    n_chunks: int

    def place_state(self, state: PrototypeState) -> PrototypeState:
        """Puts a state on its devices."""
        if self.mesh is None:
            return jax.tree.map(jax.numpy.array, state)
        padded = replace(state, head=pad_chunks(state.head, self.mesh.size))
        return place(padded, self.mesh, list_specs(padded))

    def place_batch(self, batch: PrototypeBatch) -> PrototypeBatch:
        """Puts a batch on its devices before the step needs it."""
        if self.mesh is None:
            return batch
        texts = place(batch.texts, self.mesh, CUT)
        given = batch.rows, batch.labels, batch.vectors, batch.shortlist
        whole = place(given, self.mesh, WHOLE)
        return PrototypeBatch(texts, *whole)

    def fetch_state(self, state: PrototypeState) -> PrototypeState:
        """Returns a state as host arrays, the same on any mesh."""
        if self.mesh is None:
            return jax.device_get(state)
        host = jax.tree.map(fetch, _gather(self.mesh)(state))
        head: PrototypeHead = jax.tree.map(lambda a: a[: self.n_chunks], host.head)
        return replace(host, head=head)

    def compile_step(self) -> Callable[..., Any]:
        """Returns the step as one program."""
        return _compile(self.mesh)


@lru_cache(maxsize=4)
def _compile(mesh: Mesh | None) -> Callable[..., Any]:
    return compile_step(mesh)


@lru_cache(maxsize=4)
def _gather(mesh: Mesh) -> Callable[[Any], Any]:
    """Returns a function that makes arrays whole on every device."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, WHOLE))
