"""A small random model, its search as slow loops, and queries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.model import XRModel, build_weights, make_tree, to_matrix
from xmc_jax.types import Features

D, H, L = 30, 3, 40
MERGED = {
    "mean": np.mean,
    "max": np.max,
    "noisy-or": lambda scores: -np.expm1(np.log1p(-np.array(scores)).sum()),
}


def make_model(
    kind="l3-hinge", *, copies=False, dense=0, n_sparse=D, inner=(3, 10), seed=0
) -> XRModel:
    """Clusters of random sizes, sparse weights, one label in three under two clusters if `copies`.

    `kind` is the post-processor of all levels, or a tuple of them.
    """
    rng = np.random.default_rng(seed)
    parents, above = [], 1
    for size in inner:
        parent = np.append(np.arange(above), rng.integers(0, above, size - above))
        parents.append(np.sort(parent))
        above = size
    cluster = np.append(np.arange(above), rng.integers(0, above, L - above))
    label = rng.permutation(L)
    if copies:
        twice = rng.permutation(L)[: L // 3]
        other = (cluster[twice] + 1 + rng.integers(0, above - 1, len(twice))) % above
        cluster, label = np.append(cluster, other), np.append(label, label[twice])
    order = np.lexsort((label, cluster))
    tree = make_tree(parents, label[order], cluster[order], L)
    levels = []
    for t, size in enumerate(tree.level_sizes):
        matrix = sp.random(n_sparse, size, 0.3, rng=rng, dtype=np.float32).tocoo()
        offsets = tree.children_offsets(t)
        parent = tree.parent(t)[matrix.col]
        child = matrix.col - offsets[parent]
        # Margins below 1: hinges give 1 above it, and equal scores have no order to compare.
        value = 0.5 * rng.normal(size=matrix.nnz)
        bias, columns = 0.2 * rng.normal(size=size) - 0.8, 0.2 * rng.normal(size=(size, dense))
        levels.append(build_weights(offsets, parent, matrix.row, child, value, bias, columns))
    return XRModel(
        tree,
        tuple(levels),
        kind if isinstance(kind, tuple) else (kind,) * tree.n_levels,
        n_sparse,
        dense,
    )


def make_features(n=17, *, dense=0, n_sparse=D, density=0.3, seed=1) -> Features:
    rng = np.random.default_rng(seed)
    sparse = sp.random(n, n_sparse, density, "csr", rng=rng, dtype=np.float32)
    sparse.sort_indices()
    return Features(sparse, rng.normal(size=(n, dense)).astype(np.float32))


def apply(kind, z, parent):
    """The table of the post-processors, number by number."""
    if kind == "noop":
        return z
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-z)) * (1 if parent is None else parent)
    if kind == "log-sigmoid":
        return -np.log(1 + np.exp(-z)) + (0 if parent is None else parent)
    p = int(kind[-7])
    assert kind.endswith(f"l{p}-hinge")
    value = -(max(0.0, 1 - z) ** p)
    if kind.startswith("log-"):
        return value + (0 if parent is None else parent)
    return np.exp(value) * (1 if parent is None else parent)


def search_slowly(model, features, beam, merge="mean", depth=None):
    """Returns {node or label: score} of each query's last level, by loops over queries and nodes."""
    tree = model.tree
    margins = []
    for weights in model.levels[:depth]:
        z = features.sparse @ to_matrix(weights, model.n_sparse)
        margins.append(z.toarray() + features.dense @ weights.dense.T + weights.bias)
    found = []
    for i in range(len(features)):
        held = {0: None}
        for t, z in enumerate(margins):
            kind, scores = model.post_processors[t], {}
            for node, parent in enumerate(tree.parent(t)):
                if parent in held and z[i, node] > -np.inf:
                    scores[node] = apply(kind, np.float64(z[i, node]), held[parent])
            if t < tree.n_levels - 1:
                best = sorted(scores, key=lambda n: (-scores[n], n))[:beam]
                scores = {n: scores[n] for n in best}
            held = scores
        if len(margins) == tree.n_levels:
            by_label: dict = {}
            for edge, score in held.items():
                by_label.setdefault(int(tree.edge_label[edge]), []).append(score)
            held = {label: MERGED[merge](scores) for label, scores in by_label.items()}
        found.append(held)
    return found


def rank(found, k):
    return sorted(found, key=lambda n: (-found[n], n))[:k]


@pytest.fixture
def tools():
    """The functions of this file; test files of this folder import nothing from each other."""
    from types import SimpleNamespace

    return SimpleNamespace(
        model=make_model, features=make_features, slowly=search_slowly, rank=rank, D=D, H=H, L=L
    )
