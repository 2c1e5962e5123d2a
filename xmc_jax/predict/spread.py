"""Search by several processes, each of which holds some of the documents and some of the weights of the lower levels.

The queries of a batch are sent to all processes; each scores its own clusters, and the best of all are kept. So no
process holds all weights, or the features of all documents.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float, Int

from xmc_jax.config import MergeName, ParallelConfig, SearchConfig
from xmc_jax.matcher import choose_layout, lay_out_level, shard_level
from xmc_jax.model import LevelShare, XRModel
from xmc_jax.parallel import (
    Target,
    choose_spec,
    gather_each,
    make_mesh,
    place,
)
from xmc_jax.predict.batches import (
    Batch,
    choose_results,
    choose_size,
    choose_width,
    limit_rows,
    pack_batch,
    write_rows,
)
from xmc_jax.predict.index import SearchIndex, join_levels, list_stored
from xmc_jax.predict.shared import choose_index_specs, search_on_mesh
from xmc_jax.types import PAD, AnyArray, Features, NoProgress, Progress

Found = tuple[Int[np.ndarray, "N R"], Float[np.ndarray, "N R"]]


def find_line() -> Mesh:
    """Returns the mesh of all devices on one axis, over which clusters are cut."""
    return make_mesh(ParallelConfig(data=1, label=len(jax.devices())))


def build_spread_index(model: XRModel, mesh: Mesh) -> SearchIndex:
    """Lays out this process's part of a model on the mesh of `find_line`; all processes call this together."""
    target = Target.of(mesh)
    levels = []
    for t, held in enumerate(model.levels):
        if isinstance(held, LevelShare):
            levels.append(_lay_out_share(held, model.n_sparse, mesh, target))
        else:
            levels.append(lay_out_level(**list_stored(model, t), target=target))
    index = join_levels(model, levels)

    def put(x: AnyArray, spec: Any) -> jax.Array:
        return _put_own(np.asarray(x), mesh) if spec == choose_spec("C") else place(x, mesh, spec)

    return jax.tree.map(put, index, choose_index_specs(index))


def _lay_out_share(held: LevelShare, n_sparse: int, mesh: Mesh, target: Target) -> Any:
    """Returns the shards of this process's devices, in arrays on the host as long as those of the other processes."""
    stored = {
        f.name: np.asarray(getattr(held.weights, f.name)) for f in dataclasses.fields(held.weights)
    }
    n_local = len(mesh.local_devices)

    def agree(n: int) -> int:
        return max(int(sent["n"]) for sent in gather_each({"n": np.asarray(n)}))

    n_rows = agree(-(-len(held.weights.row_feature) // n_local))
    layout = choose_layout(held.n_nodes, n_sparse, held.max_children, n_rows, target)
    if layout == "table":  # a small level that was cut nevertheless
        layout = "bitmaps"
    level = shard_level(
        stored | {"n_sparse": n_sparse},
        n_local,
        layout,
        widest=held.max_children,
        first=(held.first, int(held.child_offsets[held.first])),
        agree=agree,
    )
    bias = np.pad(held.bias, (0, held.max_children))
    return dataclasses.replace(level, child_offsets=held.child_offsets, bias=bias)


def search_spread(
    index: SearchIndex,
    features: Features,
    config: SearchConfig,
    mesh: Mesh,
    *,
    n_results: int,
    merge: MergeName,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Returns labels and scores of this process's documents; all processes call this together.

    Args:
        index: a complete index, from `build_spread_index`.
        features: features of this process's documents.
        config: its `beam` and `batch` are used.
        mesh: from `find_line`.
        n_results: number of labels per document.
        merge: how the scores of a label found under several clusters become one.
        memory: bytes that a batch may take.
        progress: told about this process's documents.
    """
    beam = config.choose_beam(index.has_copies)
    limit = limit_rows(index, beam, Target.of(mesh), config.batch, memory)
    top_k = choose_results(n_results, index.count_results(beam))
    options = {"beam": beam, "top_k": top_k, "merge": merge, "wanted": np.int32(n_results)}
    return _run(index, features, n_results, mesh, limit, progress or NoProgress(), options)


def match_spread(model: XRModel, features: Features, beam: int, mesh: Mesh) -> sp.csr_matrix:
    """Returns the nodes of the model's deepest level in the beam of each of this process's documents.

    Args:
        model: the levels trained so far.
        features: features of this process's documents.
        beam: number of nodes to keep.
        mesh: from `find_line`.

    Returns:
        float32 CSR [this process's N, nodes] with sorted indices; a score of 0 is stored.
    """
    index = build_spread_index(model, mesh)
    n_nodes = index.levels[-1].n_nodes
    limit = limit_rows(index, beam, Target.of(mesh))
    options: dict[str, Any] = {"beam": beam, "top_k": None, "merge": "mean", "wanted": np.int32(0)}
    width = min(beam, n_nodes)
    nodes, scores = _run(index, features, width, mesh, limit, NoProgress(), options)
    used = nodes != PAD
    ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return sp.csr_matrix((scores[used], nodes[used], ends), (len(features), n_nodes))


def _plan(features: Features, limit: int, mesh: Mesh) -> list[Batch]:
    """Returns this process's part of every batch; the parts of all processes have the same sizes."""
    target, n_local = Target.of(mesh), len(mesh.local_devices)
    lengths = np.diff(features.sparse.indptr)
    order = np.argsort(lengths, kind="stable")[::-1]
    widths = np.array([choose_width(int(n)) for n in lengths[order]], np.int64)
    known, counts = np.unique(widths, return_counts=True)
    most: dict[int, int] = {}
    for sent in gather_each({"widths": known, "counts": counts, "limit": np.asarray(limit)}):
        limit = min(limit, int(sent["limit"]))
        for width, n in zip(sent["widths"].tolist(), sent["counts"].tolist(), strict=True):
            most[width] = max(n, most.get(width, 0))
    batches = []
    for width in sorted(most):
        rows = order[widths == width]
        each = choose_size(width, -(-most[width] // n_local), max(1, limit // mesh.size), target)
        size = each * n_local
        for start in range(0, most[width], size):
            batches.append(Batch(rows[start : start + size], width, size))
    return batches


def _run(
    index: SearchIndex,
    features: Features,
    n_results: int,
    mesh: Mesh,
    limit: int,
    progress: Progress,
    options: dict[str, Any],
) -> Found:
    """Returns the search results of this process's rows."""
    n = len(features)
    out = np.full((n, n_results), PAD, np.int32), np.zeros((n, n_results), np.float32)
    for batch in _plan(features, limit, mesh):
        packed = [_put_own(x, mesh) for x in pack_batch(features, batch)]
        found = search_on_mesh(index, *packed, mesh=mesh, spread=True, **options)
        write_rows(out, batch, [_read_own(x) for x in found])
        progress.advance(len(batch.rows))
    return out


def _put_own(x: np.ndarray, mesh: Mesh) -> jax.Array:
    """Puts this process's rows on its devices, as a part of the rows of all."""
    shape = (len(x) // len(mesh.local_devices) * mesh.size, *x.shape[1:])
    return jax.make_array_from_process_local_data(NamedSharding(mesh, choose_spec("C")), x, shape)


def _read_own(x: jax.Array) -> np.ndarray:
    """Returns the rows on this process's devices, in order."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])
