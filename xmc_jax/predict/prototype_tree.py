"""Prototypes below a label tree: the beam finds clusters, and only their labels are compared with a document.

A cluster is the mean direction of its labels, so the model has two or more dense levels, and the search is the same as
for
every other tree: one program for batches and one for single queries.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import SearchConfig, TreeConfig
from xmc_jax.model import LabelTree, LevelWeights, Prototypes, XRModel, build_weights
from xmc_jax.predict.forest import count_most
from xmc_jax.predict.restrict import restrict
from xmc_jax.predict.stream import FewResultsWarning, predict_batches
from xmc_jax.tree import build_tree
from xmc_jax.types import PAD, Features, Progress

_LOWEST = np.float32(-1e30)
"""Bias of a label that cannot be predicted: a sum with −∞ has no order."""


def cluster_prototypes(prototypes: Prototypes, seed: int) -> LabelTree:
    """Returns a tree whose clusters hold labels near each other, at most about a hundred."""
    return build_tree(np.asarray(prototypes.rows, np.float32), TreeConfig(), seed)


def make_tree_model(prototypes: Prototypes, tree: LabelTree) -> XRModel:
    """Returns the model that searches prototypes by a tree; a node's score is its own logit.

    Args:
        prototypes: arrays on the host.
        tree: tree of their labels.
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


def find_in_tree(
    model: XRModel,
    units: Float[np.ndarray, "N H"],
    beam: int,
    shown: Int[np.ndarray, "n"] | None = None,
    progress: Progress | None = None,
) -> tuple[Int[np.ndarray, "N M"], Float[np.ndarray, "N M"], Float[np.ndarray, "N"]]:
    """Returns the labels in the beam, best first and followed by PAD, their logits, and log Σ exp(z) over them.

    Args:
        model: from `make_tree_model`.
        units: vectors of norm 1.
        beam: number of clusters kept on each level.
        shown: ids of the only labels to return; the sum includes the others.
        progress: told about documents.
    """
    features = Features(sp.csr_matrix((len(units), 0), dtype=np.float32), units)

    def search(model: XRModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # The whole beam is asked for, since the sum is over all of it.
        most = count_most(model.tree, SearchConfig(beam=beam, top_k=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)
            search = SearchConfig(beam=beam, top_k=most)
            found = predict_batches(model, features, search, progress=progress)
        there = (found.ids != PAD) & (found.scores > _LOWEST / 2)
        logits = np.where(there, found.scores, _LOWEST)
        sums = np.logaddexp.reduce(logits, axis=1).astype(np.float32)
        return np.where(there, found.ids, PAD), logits, sums

    ids, logits, sums = search(model)
    if shown is not None:
        ids, logits, own = search(restrict(model, shown))
        sums = np.maximum(sums, own)
    return ids, logits, sums


def _join(rows: np.ndarray, bias: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean direction of each cluster's rows at their mean length, and the logarithm of its mean exp(bias).

    At that length, a wide cluster scores as high as a narrow one: ten clusters find 92 % of wordnet's first labels, and
    87 % with plain means.
    """
    counts = np.diff(offsets)
    mean = np.add.reduceat(rows, offsets[:-1], axis=0) / counts[:, None]
    length = np.add.reduceat(np.linalg.norm(rows, axis=1), offsets[:-1]) / counts
    norm = np.maximum(np.linalg.norm(mean, axis=1), 1e-12)
    added = np.add.reduceat(np.exp(np.minimum(bias, 60.0)), offsets[:-1]) / counts
    return (
        (mean * (length / norm)[:, None]).astype(np.float32),
        np.log(np.maximum(added, 1e-30)).astype(np.float32),
    )


def _make_level(tree: LabelTree, level: int, rows: np.ndarray, bias: np.ndarray) -> LevelWeights:
    none = np.zeros(0, np.int64)
    offsets = tree.children_offsets(level)
    return build_weights(offsets, none, none, none, none.astype(np.float32), bias, rows)
