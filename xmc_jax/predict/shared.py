"""Search on several devices: queries are cut over the mesh's axis `data`, and the last level over `label`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from xmc_jax.config import MergeName
from xmc_jax.errors import InputError
from xmc_jax.matcher import (
    SearchLevel,
    choose_layout,
    lay_out_level,
    shard_level,
    spread_level,
)
from xmc_jax.model import XRModel
from xmc_jax.parallel import (
    LABEL,
    WHOLE,
    Target,
    choose_spec,
    fetch,
    gather_rows,
    keep_mesh,
    place,
    shard_step,
)
from xmc_jax.predict.batches import Batch, pack_batch, write_rows
from xmc_jax.predict.index import (
    SearchIndex,
    build_index,
    join_levels,
    list_stored,
    replace_biases,
)
from xmc_jax.predict.search import match, search
from xmc_jax.types import Features


def find_shared_index(model: XRModel | SearchIndex, mesh: Mesh) -> SearchIndex:
    """Returns the index of a model on a mesh; it is built on first use and kept by the model.

    Raises:
        InputError: an index on another mesh was given instead of a model.
    """
    if not isinstance(model, XRModel):
        if getattr(model.edge_label.sharding, "mesh", None) != mesh:
            raise InputError(
                "an index of other devices given to search on a mesh, its model needed"
            )
        return model

    def make() -> SearchIndex:
        source = model.layouts.source
        if source is None:
            return build_shared_index(model, mesh)
        shared = find_shared_index(source, mesh)
        return replace_biases(shared, model, lambda bias: place(bias, mesh))

    return model.layouts.once(("index", mesh), make)


def build_shared_index(model: XRModel, mesh: Mesh) -> SearchIndex:
    """Returns the result of `lay_out_shared` on the mesh."""
    index = lay_out_shared(model, mesh.shape[LABEL], Target.of(mesh))
    return place(index, mesh, choose_index_specs(index))


def lay_out(model: XRModel, mesh: Mesh | None) -> SearchIndex:
    """Returns an index that the model does not keep, on a mesh or (None) on the default device."""
    mesh = keep_mesh(mesh)
    return build_index(model) if mesh is None else build_shared_index(model, mesh)


def lay_out_shared(model: XRModel, n_shards: int, target: Target) -> SearchIndex:
    """Lays out a model for a mesh, in arrays on the host: whole, except for a last level that is cut over several
    devices.

    A last level that is small enough for a table also stays whole.
    """
    if not model.levels:
        raise InputError("a model of 0 levels given, 1 or more needed; train a level first")
    last = len(model.levels) - 1
    stored, weights = list_stored(model, last), model.levels[last]
    n_rows = len(weights.row_feature) // n_shards
    sizes = weights.n_nodes, model.n_sparse, weights.max_children
    layout = choose_layout(*sizes, n_rows, target)
    is_cut = n_shards > 1 and layout != "table"
    level = (
        shard_level(stored, n_shards, layout) if is_cut else lay_out_level(**stored, target=target)
    )
    above = [lay_out_level(**list_stored(model, t), target=target) for t in range(last)]
    return join_levels(model, [*above, level])


def run_on_mesh(
    index: SearchIndex,
    features: Features,
    batches: list[Batch],
    step: Callable[..., tuple[jax.Array, ...]],
    out: tuple[np.ndarray, ...],
    mesh: Mesh,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Runs `step(index, ids, values, dense)` on every batch and all devices, and writes results to the rows of `out`.

    Args:
        index, features: the levels and the rows.
        batches: batches whose sizes are multiples of the mesh's axis `data`.
        step: a program such as `search_on_mesh`.
        out: arrays [N, ...], which receive the first columns of the results.
        mesh: the devices.
        advance: called with the number of rows that were just done.
    """

    def write(batch: Batch, results: tuple[jax.Array, ...]) -> None:
        write_rows(out, batch, [fetch(result) for result in results])
        advance(len(batch.rows))

    # Results are fetched one batch late, so that the host packs while the devices work.
    waiting = None
    for batch in batches:
        packed = place(pack_batch(features, batch), mesh, choose_spec("B"))
        results = step(index, *packed)
        if waiting is not None:
            write(*waiting)
        waiting = batch, results
    if waiting is not None:
        write(*waiting)


@partial(jax.jit, static_argnames=("mesh", "beam", "top_k", "merge", "spread"))
def search_on_mesh(
    index: SearchIndex,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    wanted: Int[Array, ""] | np.ndarray,
    *,
    mesh: Mesh,
    beam: int,
    top_k: int | None,
    merge: MergeName,
    spread: bool = False,
) -> tuple[Int[Array, "B R"], Float[Array, "B R"]]:
    """Returns the result of `search`, or of `match` without `top_k`.

    Each device searches its share of the queries, and the result is whole on every device. With `spread`, every device
    searches its clusters for all queries, and a query's result is on the device that has the query.
    """

    def step(index, ids, values, dense, wanted):
        queries: Any = (ids, values, dense)
        if spread:
            queries = [lax.all_gather(x, LABEL, tiled=True) for x in queries]
        if top_k is None:
            found = match(index, *queries, beam=beam)
        else:
            found = search(index, *queries, wanted, beam=beam, top_k=top_k, merge=merge)
        if not spread:
            return gather_rows(found)
        n, first = ids.shape[0], ids.shape[0] * lax.axis_index(LABEL)
        return tuple(lax.dynamic_slice_in_dim(x, first, n) for x in found)

    rows = choose_spec("C" if spread else "B")
    specs = (choose_index_specs(index), rows, rows, rows, WHOLE)
    out = (rows, rows) if spread else WHOLE
    return shard_step(step, mesh, specs, out)(index, ids, values, dense, wanted)


def choose_index_specs(index: SearchIndex) -> SearchIndex:
    """Returns how each array of an index is distributed over the mesh."""
    specs: SearchIndex = jax.tree.map(lambda _: WHOLE, index)
    return dataclasses.replace(specs, levels=tuple(map(choose_level_specs, index.levels)))


def choose_level_specs(level: SearchLevel) -> SearchLevel:
    """Returns how each array of a level is distributed over the mesh."""
    if level.shard is not None:
        return spread_level(level, choose_spec("C"), WHOLE)
    return jax.tree.map(lambda _: WHOLE, level)
