"""Prototypes below a label tree: the beam finds clusters, and only their labels are compared with a document.

A cluster is the mean of its labels, so the model is one of two or more dense levels, and the search is that of every
other tree: one program for batches, one for single queries, shards on a mesh.
"""

from __future__ import annotations

import numpy as np

from xmc_jax.model import LabelTree, LevelWeights, Prototypes, XRModel, build_weights

_LOWEST = np.float32(-1e30)
"""Bias of a label that cannot be predicted: a sum with −∞ has no order."""


def make_tree_model(prototypes: Prototypes, tree: LabelTree) -> XRModel:
    """Returns the model that searches prototypes by a tree; a label's score is its logit, clusters count by their own.

    Args:
        prototypes: host arrays.
        tree: of their labels.
    """
    rows = np.asarray(prototypes.rows, np.float32) * prototypes.factor[:, None]
    bias = np.maximum(np.asarray(prototypes.bias, np.float32), _LOWEST)
    rows, bias = rows[tree.edge_label], bias[tree.edge_label]
    levels = [_make_level(tree, tree.n_levels - 1, rows, bias)]
    for t in range(tree.n_levels - 2, -1, -1):
        rows, bias = _join(rows, bias, tree.children_offsets(t + 1))
        levels.append(_make_level(tree, t, rows, bias))
    processors = ("noop",) * tree.n_levels
    return XRModel(tree, tuple(levels[::-1]), processors, 0, rows.shape[1])


def is_known(logits: np.ndarray) -> np.ndarray:
    """Returns which logits are those of labels that can be predicted."""
    return logits > _LOWEST / 2


def _join(rows: np.ndarray, bias: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean row of each cluster, and the greatest bias: what its best label may reach."""
    counts = np.diff(offsets)[:, None]
    mean = np.add.reduceat(rows, offsets[:-1], axis=0) / counts
    return mean.astype(np.float32), np.maximum.reduceat(bias, offsets[:-1])


def _make_level(tree: LabelTree, level: int, rows: np.ndarray, bias: np.ndarray) -> LevelWeights:
    none = np.zeros(0, np.int64)
    offsets = tree.children_offsets(level)
    return build_weights(offsets, none, none, none, none.astype(np.float32), bias, rows)
