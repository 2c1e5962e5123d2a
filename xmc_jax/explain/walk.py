"""The search for one document, step by step on the host: the scores of each level, what the beam kept, and the
contribution of each feature.

The margins are those of the compiled search except for rounding; nothing is compiled for one document.
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
    """The nodes that one level scored for a document.

    Attributes:
        node: the children of the beam, ascending.
        margin: f(x, node).
        own: the score before it is combined with the parent's.
        score: the score after that.
        kept: whether the beam contains the node; True on the last level.
    """

    node: Int[np.ndarray, "M"]
    margin: Float[np.ndarray, "M"]
    own: Float[np.ndarray, "M"]
    score: Float[np.ndarray, "M"]
    kept: np.ndarray


class Parts(NamedTuple):
    """The summands of a margin.

    Attributes:
        feature: the document's features that have a weight.
        gave: value · weight of each.
        vector: the contribution of the dense columns.
        bias: the bias of the node.
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
        model: a complete model.
        row: the document.
        beam: the number of nodes kept on each level above the last; among equal scores, the smaller nodes.
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
    """Returns the nodes' own scores on a level, and their scores combined with those of their parents."""
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
    """Returns the summands of a node's margin."""
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
    """Returns the entries of a cluster whose feature the document has, and the index of that feature."""
    rows = np.arange(weights.row_offsets[cluster], weights.row_offsets[cluster + 1])
    feature = weights.row_feature[rows]
    if not len(row.ids):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(row.ids, feature), len(row.ids) - 1)
    has = row.ids[at] == feature
    first = weights.entry_offsets[rows[has]]
    sizes = weights.entry_offsets[rows[has] + 1] - first
    return concatenate_ranges(first, sizes), np.repeat(at[has], sizes)
