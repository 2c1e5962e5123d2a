"""Scores of labels that the caller names: the nodes on their paths are scored, and nothing is ranked."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from xmc_jax.config import MergeName, PostProcessorName
from xmc_jax.errors import InputError
from xmc_jax.matcher import SearchLevel, score_children
from xmc_jax.model import XRModel
from xmc_jax.ops import concatenate_ranges
from xmc_jax.parallel import Target
from xmc_jax.predict.batches import Batch, pack_batch, plan_batches, run_parallel
from xmc_jax.predict.index import find_index
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
    """Returns the scores of given labels, as a search that reaches them gives them.

    Args:
        model: finished.
        features: [N], of the kind that the model was trained on.
        candidates: [N, L]; stored entries are scored, whatever their values.
        merge: how a label's scores under several clusters become one, by name in `MERGES`; all are found.
        mesh: devices for whose kind batches are chosen; None for the default device.

    Returns:
        float32 CSR [N, L] with the entries of `candidates`, sorted; a score of 0 is stored.

    Raises:
        InputError: a wrong shape or number of features, or a label that the restricted model must not return.
    """
    index, tree = find_index(model), model.tree
    if not index.is_complete:
        raise InputError(
            f"a model with {len(index.levels)} of {index.n_levels} levels given, all needed to "
            "score labels; finish training"
        )
    index.check(features)
    asked = check_candidates(candidates, features, tree.n_labels)
    rows = np.repeat(np.arange(len(features)), np.diff(asked.indptr))
    edge_row, edge, owner = _list_edges(model, rows, asked.indices)
    scores = _score_edges(model, features, edge_row, edge, Target.of(mesh))
    # Copies of a label stand together: the first of each, then the second, …
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
        features: of the N documents.
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
    """Returns (row, edge) of all copies of the labels, and the entry that each belongs to."""
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
    model: XRModel, features: Features, row: np.ndarray, edge: np.ndarray, target: Target
) -> np.ndarray:
    """Returns the score of each (row, edge), float32 [E]."""
    index, tree = find_index(model), model.tree
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
        score = _score_nodes(index.levels[t], kind, features, node_row, cluster, child, target)
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
    target: Target,
) -> np.ndarray:
    """Returns the own score of nodes [E] that are sorted by (row, cluster): siblings are scored together."""
    new = np.ones(len(row), bool)
    new[1:] = (np.diff(row) != 0) | (np.diff(cluster) != 0)
    pair_row, pair_cluster = row[new], cluster[new]
    lengths = np.diff(features.sparse.indptr)[pair_row]
    out = np.zeros(len(row), np.float32)
    first = np.append(np.flatnonzero(new), len(row))

    def score(batch: Batch) -> None:
        pairs = np.sort(batch.rows)
        rows, query = np.unique(pair_row[pairs], return_inverse=True)
        packed = pack_batch(features, Batch(rows, batch.width, batch.size))
        unused = (0, batch.size - len(pairs))
        query = np.pad(query.astype(np.int32), unused)
        which = np.pad(pair_cluster[pairs].astype(np.int32), unused, constant_values=PAD)
        scores = np.asarray(_score_pairs(level, kind, *packed, query, which))
        counts = first[pairs + 1] - first[pairs]
        nodes = concatenate_ranges(first[pairs], counts)
        out[nodes] = scores[np.repeat(np.arange(len(pairs)), counts), child[nodes]]

    limit = max(1, _FLOATS // level.max_children)
    run_parallel(score, plan_batches(lengths, limit, target), target)
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
