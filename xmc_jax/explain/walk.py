"""The search of one document, step by step on the host: what was scored on each level, what the beam kept, and what
each feature gave.

The margins are those of the compiled search but for rounding; nothing is compiled for one document.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xmc_jax.model import LevelWeights, XRModel
from xmc_jax.ops import concatenate_ranges
from xmc_jax.scores import POST_PROCESSORS
from xmc_jax.types import Features


class Row(NamedTuple):
    """One document: ids and values of its sparse features, ascending, and its dense columns [H]."""

    ids: Int[np.ndarray, "J"]
    values: Float[np.ndarray, "J"]
    dense: Float[np.ndarray, "H"]


class Scored(NamedTuple):
    """What one level scored of a document, by node.

    Attributes:
        node: children of the beam, ascending.
        margin: f(x, node).
        own: the score before it met the parent's.
        score: after.
        kept: whether the beam holds the node; of the last level, True.
    """

    node: Int[np.ndarray, "M"]
    margin: Float[np.ndarray, "M"]
    own: Float[np.ndarray, "M"]
    score: Float[np.ndarray, "M"]
    kept: np.ndarray


class Parts(NamedTuple):
    """What a margin is the sum of.

    Attributes:
        feature: the document's features that have a weight.
        gave: value · weight of each.
        vector: what the dense columns gave.
        bias: of the node.
    """

    feature: Int[np.ndarray, "P"]
    gave: Float[np.ndarray, "P"]
    vector: float
    bias: float


def read_row(features: Features, number: int = 0) -> Row:
    """Returns one of N documents."""
    at = slice(features.sparse.indptr[number], features.sparse.indptr[number + 1])
    return Row(
        features.sparse.indices[at],
        features.sparse.data[at],
        np.asarray(features.dense[number], np.float32),
    )


def walk(model: XRModel, row: Row, beam: int) -> list[Scored]:
    """Searches a document down the tree.

    Args:
        model: finished.
        row: the document.
        beam: nodes kept on a level above the last; of equal scores the smaller.
    """
    levels = []
    parents, above = np.zeros(1, np.int64), np.zeros(1)
    for t, weights in enumerate(model.levels):
        offsets = weights.child_offsets
        sizes = offsets[parents + 1] - offsets[parents]
        node = concatenate_ranges(offsets[parents].astype(np.int64), sizes)
        margin = np.concatenate([score_children(weights, int(c), row) for c in parents])
        own, score = score_margins(model, t, margin, np.repeat(above, sizes))
        kept = np.ones(len(node), bool)
        if t < len(model.levels) - 1:
            kept[np.lexsort((node, -score))[beam:]] = False
            kept &= score > -np.inf
        levels.append(Scored(node, margin, own, score, kept))
        parents, above = node[kept], score[kept]
    return levels


def score_margins(
    model: XRModel, level: int, margin: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the own scores of nodes of a level, and what they are with their parents' scores."""
    kind = POST_PROCESSORS[model.post_processors[level]]
    own = np.asarray(kind.transform(np.asarray(margin, np.float32)))
    score = np.asarray(kind.combine(own, above.astype(np.float32))) if level else own
    big = np.finfo(np.float32).max
    return own, np.where(np.asarray(margin) == -np.inf, -np.inf, np.clip(score, -big, big))


def score_children(weights: LevelWeights, cluster: int, row: Row) -> Float[np.ndarray, "K"]:
    """Returns the margins of all children of a cluster."""
    entry, at = _find_entries(weights, cluster, row)
    nodes = slice(weights.child_offsets[cluster], weights.child_offsets[cluster + 1])
    gave = weights.entry_value[entry].astype(float) * row.values[at]
    child = weights.entry_child[entry].astype(np.int64)
    margin = np.bincount(child, gave, minlength=nodes.stop - nodes.start)
    return margin + weights.dense[nodes] @ row.dense + weights.bias[nodes]


def split_margin(weights: LevelWeights, node: int, row: Row) -> Parts:
    """Returns what the margin of a node is the sum of."""
    cluster = int(np.searchsorted(weights.child_offsets, node, "right")) - 1
    entry, at = _find_entries(weights, cluster, row)
    mine = weights.entry_child[entry] == node - weights.child_offsets[cluster]
    entry, at = entry[mine], at[mine]
    return Parts(
        row.ids[at],
        weights.entry_value[entry].astype(float) * row.values[at],
        float(weights.dense[node].astype(float) @ row.dense),
        float(weights.bias[node]),
    )


def _find_entries(
    weights: LevelWeights, cluster: int, row: Row
) -> tuple[Int[np.ndarray, "E"], Int[np.ndarray, "E"]]:
    """Returns the entries of a cluster whose feature the document has, and which of its features that is."""
    rows = np.arange(weights.row_offsets[cluster], weights.row_offsets[cluster + 1])
    feature = weights.row_feature[rows]
    if not len(row.ids):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(row.ids, feature), len(row.ids) - 1)
    has = row.ids[at] == feature
    first = weights.entry_offsets[rows[has]]
    sizes = weights.entry_offsets[rows[has] + 1] - first
    return concatenate_ranges(first, sizes), np.repeat(at[has], sizes)
