"""Scores labels that the caller names: the nodes on their paths are scored, and nothing is ranked."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from xmc_jax.config import MergeName, PostProcessorName
from xmc_jax.errors import InputError
from xmc_jax.matcher import SearchLevel, score_children
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.ops import concatenate_ranges
from xmc_jax.parallel import (
    DATA,
    WHOLE,
    Target,
    choose_spec,
    fetch,
    gather_rows,
    keep_mesh,
    place,
    shard_step,
    take_largest,
)
from xmc_jax.predict.batches import Batch, pack_batch, plan_batches, run_parallel
from xmc_jax.predict.index import SearchIndex, find_index
from xmc_jax.predict.shared import choose_level_specs, find_shared_index
from xmc_jax.scores import MERGES, POST_PROCESSORS
from xmc_jax.types import PAD, Features

_FLOATS = 2**22  # scores of the children of a batch of (query, cluster) pairs


def score_candidates(
    model: XRModel,
    features: Features,
    candidates: sp.spmatrix,
    *,
    merge: MergeName = "mean",
    mesh: Mesh | None = None,
) -> sp.csr_matrix:
    """Returns the scores of given labels, equal to those of a search that reaches them.

    Args:
        model: a complete model.
        features: [N], of the kind that the model was trained on.
        candidates: [N, L]; stored entries are scored, whatever their values.
        merge: how a label's scores under several clusters become one, a name in `MERGES`; all clusters are scored.
        mesh: several devices that share the work, or None for the default device. Every process calls with the same
            arguments and gets all scores.

    Returns:
        float32 CSR [N, L] with the entries of `candidates`, sorted; a score of 0 is stored.

    Raises:
        InputError: a wrong shape or number of features, or a label that the restricted model must not return.
    """
    mesh, tree = keep_mesh(mesh), model.tree
    index = find_index(model) if mesh is None else find_shared_index(model, mesh)
    if not index.is_complete:
        raise InputError(
            f"a model with {len(index.levels)} of {index.n_levels} levels given, all needed to "
            "score labels; finish training"
        )
    index.check(features)
    asked = check_candidates(candidates, features, tree.n_labels)
    rows = np.repeat(np.arange(len(features)), np.diff(asked.indptr))
    edge_row, edge, owner = _list_edges(model, rows, asked.indices)
    scores = _score_edges(index, tree, features, edge_row, edge, mesh)
    # Copies of a label are consecutive: the first of each is taken, then the second, and so on.
    copy = np.arange(len(owner)) - np.searchsorted(owner, owner)
    asked.data[:] = scores[copy == 0]
    for number in range(1, int(copy.max(initial=0)) + 1):
        which, one = owner[copy == number], scores[copy == number]
        asked.data[which] = MERGES[merge].join(np, asked.data[which], one, np.float32(number))
    return asked


def check_candidates(
    candidates: sp.spmatrix,
    features: Features,
    n_labels: int,
    allowed: np.ndarray | None = None,
) -> sp.csr_matrix:
    """Returns candidates as float32 CSR [N, L], each once, sorted.

    Args:
        candidates: [N, L].
        features: features of the N documents.
        n_labels: L.
        allowed: bool [L], the only labels that may be asked for; None for all.

    Raises:
        InputError: a wrong shape, or a label that is not allowed.
    """
    if candidates.shape != (len(features), n_labels):
        raise InputError(
            f"candidates of shape {candidates.shape} given, "
            f"({len(features)}, {n_labels}) needed: a row per document, a column per label"
        )
    asked = sp.csr_matrix(candidates, dtype=np.float32, copy=True)
    asked.sum_duplicates()
    if allowed is not None and not allowed[asked.indices].all():
        refuse_silenced(int(asked.indices[np.argmin(allowed[asked.indices])]))
    return asked


def refuse_silenced(label: int) -> None:
    """Raises InputError for a candidate that the restricted model must not return."""
    raise InputError(
        f"label {label} is a candidate, but the model is restricted to other labels; "
        "leave it out, or use the whole model"
    )


def _list_edges(
    model: XRModel, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns row and edge of all copies of the labels, and the entry that each belongs to."""
    tree = model.tree
    by_label = np.argsort(tree.edge_label, kind="stable")
    copies = tree.copies_per_label
    first = np.cumsum(copies) - copies
    counts = copies[labels]
    owner = np.repeat(np.arange(len(labels)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    edge = by_label[first[labels[owner]] + within]
    for t, weights in enumerate(model.levels):
        silenced = np.asarray(weights.bias)[tree.edge_ancestor(t)[edge]] == -np.inf
        if silenced.any():
            label = labels[owner[silenced.argmax()]]
            refuse_silenced(int(label))
    return rows[owner], edge, owner


def _score_edges(
    index: SearchIndex,
    tree: LabelTree,
    features: Features,
    row: np.ndarray,
    edge: np.ndarray,
    mesh: Mesh | None,
) -> np.ndarray:
    """Returns the score of each (row, edge), float32 [E]."""
    key = score = back = np.zeros(0, np.int64)
    for t in range(tree.n_levels):
        # The nodes on the paths, once each, by row and then by node.
        size = tree.level_sizes[t]
        above_key, above_score = key, score
        key = row.astype(np.int64) * size + tree.edge_ancestor(t)[edge]
        key, back = np.unique(key, return_inverse=True)
        node_row, node = np.divmod(key, size)
        cluster = tree.parent(t)[node]
        child = node - tree.children_offsets(t)[cluster]
        kind = index.post_processors[t]
        score = _score_nodes(index.levels[t], kind, features, node_row, cluster, child, mesh)
        if t:
            above = np.searchsorted(above_key, node_row * tree.n_parents(t) + cluster)
            score = POST_PROCESSORS[kind].combine(score, above_score[above])
        big = np.finfo(np.float32).max
        score = np.clip(score, -big, big)
    return score[back]


def _score_nodes(
    level: SearchLevel,
    kind: PostProcessorName,
    features: Features,
    row: np.ndarray,
    cluster: np.ndarray,
    child: np.ndarray,
    mesh: Mesh | None,
) -> np.ndarray:
    """Returns the nodes' own scores [E]; nodes are sorted by (row, cluster), and siblings are scored together."""
    new = np.ones(len(row), bool)
    new[1:] = (np.diff(row) != 0) | (np.diff(cluster) != 0)
    pair_row, pair_cluster = row[new], cluster[new]
    lengths = np.diff(features.sparse.indptr)[pair_row]
    out = np.zeros(len(row), np.float32)
    first = np.append(np.flatnonzero(new), len(row))

    def score(batch: Batch) -> None:
        pairs = np.sort(batch.rows)
        rows, query = np.unique(pair_row[pairs], return_inverse=True)
        packed: Any = pack_batch(features, Batch(rows, batch.width, batch.size))
        unused = (0, batch.size - len(pairs))
        query = np.pad(query.astype(np.int32), unused)
        which = np.pad(pair_cluster[pairs].astype(np.int32), unused, constant_values=PAD)
        if mesh is None:
            scores = np.asarray(_score_pairs(level, kind, *packed, query, which))
        else:
            packed, pairs_put = place(packed, mesh), place((query, which), mesh, choose_spec("B"))
            scores = fetch(_score_pairs_on_mesh(level, kind, *packed, *pairs_put, mesh=mesh))
        counts = first[pairs + 1] - first[pairs]
        nodes = concatenate_ranges(first[pairs], counts)
        out[nodes] = scores[np.repeat(np.arange(len(pairs)), counts), child[nodes]]

    limit, target = max(1, _FLOATS // level.max_children), Target.of(mesh)
    if mesh is None:
        run_parallel(score, plan_batches(lengths, limit, target), target)
    else:
        for batch in plan_batches(lengths, limit, target, mesh.shape[DATA]):
            score(batch)
    return out


@partial(jax.jit, static_argnames=("kind",))
def _score_pairs(
    level: SearchLevel,
    kind: PostProcessorName,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
) -> Float[Array, "P K"]:
    return POST_PROCESSORS[kind].transform(score_children(level, ids, values, dense, row, cluster))


@partial(jax.jit, static_argnames=("kind", "mesh"))
def _score_pairs_on_mesh(
    level: SearchLevel,
    kind: PostProcessorName,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    *,
    mesh: Mesh,
) -> Float[Array, "P K"]:
    """Returns the result of `_score_pairs`, whole on every device; each device scores its share of the pairs."""

    def step(level, ids, values, dense, row, cluster):
        if level.shard is None:
            return gather_rows(score_children(level, ids, values, dense, row, cluster))
        own = (cluster >= level.shard[0]) & (cluster < level.shard[1])
        mine = score_children(level, ids, values, dense, row, jnp.where(own, cluster, PAD))
        return gather_rows(take_largest(mine))

    pairs = choose_spec("B")
    specs = (choose_level_specs(level), WHOLE, WHOLE, WHOLE, pairs, pairs)
    margins = shard_step(step, mesh, specs, WHOLE)(level, ids, values, dense, row, cluster)
    return POST_PROCESSORS[kind].transform(margins)
