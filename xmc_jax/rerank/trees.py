"""Gradient-boosted regression trees of fixed depth, grown by histograms and evaluated by gathers.

Each tree is a complete binary tree of D splits on a path, kept as arrays, so that a batch of rows goes down all trees
at once: D look-ups per tree. A node that is not worth splitting sends all its rows to one side. Growth follows Friedman
(2001) with the second-order gains of Chen & Guestrin (2016) for the logistic loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xmc_jax.types import AnyArray

BINS = 64


@dataclass(frozen=True)
class Growth:
    """How trees are grown.

    Attributes:
        trees: number of trees.
        depth: number of splits on a path, D.
        rate: share of a tree's values that is added (shrinkage).
        least: fewest rows of a leaf.
        pull: how strongly leaf values are pulled to 0 (λ).
    """

    trees: int = 60
    depth: int = 4
    rate: float = 0.15
    least: int = 60
    pull: float = 1.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trees:
    """A sum of trees: margin = base + Σ_t value of the leaf that a row reaches.

    Attributes:
        column: int32 [T, 2^D − 1], feature of each inner node; the children of node i are 2 i + 1 and 2 i + 2.
        threshold: float32 [T, 2^D − 1]; rows above it go to the second child.
        value: float32 [T, 2^D], of the leaves.
        base: float32 [1].
    """

    column: AnyArray
    threshold: AnyArray
    value: AnyArray
    base: AnyArray


class _Split(NamedTuple):
    column: np.ndarray
    bin: np.ndarray


def grow_trees(
    x: Float[np.ndarray, "Q F"], hit: Bool[np.ndarray, "Q"], growth: Growth = Growth()
) -> Trees:
    """Fits trees to the logistic loss.

    Args:
        x: features of Q rows, finite.
        hit: the class of each row.
        growth: how to grow them.
    """
    from scipy.special import expit  # here: its import takes long

    edges = _find_edges(x)
    binned = np.stack(
        [np.searchsorted(e, c, "left") for e, c in zip(edges, x.T, strict=True)]
    ).astype(np.int64)
    share = np.clip(hit.mean() if len(hit) else 0.5, 1e-6, 1 - 1e-6)
    base = float(np.log(share / (1 - share)))
    margin = np.full(len(x), base)
    n_inner = 2**growth.depth - 1
    columns = np.zeros((growth.trees, n_inner), np.int32)
    thresholds = np.full((growth.trees, n_inner), np.inf, np.float32)
    values = np.zeros((growth.trees, n_inner + 1), np.float32)
    for t in range(growth.trees):
        p = expit(margin)
        slope, curve = p - hit, np.maximum(p * (1 - p), 1e-12)
        node = np.zeros(len(x), np.int64)
        for level in range(growth.depth):
            split = _split_level(binned, slope, curve, node, 2**level, growth)
            first = 2**level - 1
            inner = slice(first, first + 2**level)
            columns[t, inner] = split.column
            for i, (column, bin_) in enumerate(zip(*split, strict=True)):
                if bin_ < len(edges[column]):
                    thresholds[t, first + i] = edges[column][bin_]
            node = 2 * node + (binned[split.column[node], np.arange(len(x))] > split.bin[node])
        size = n_inner + 1
        total = np.bincount(node, slope, size)
        mass = np.bincount(node, curve, size) + growth.pull
        values[t] = -growth.rate * total / mass
        margin += values[t][node]
    return Trees(columns, thresholds, values, np.array([base], np.float32))


def _find_edges(x: np.ndarray) -> list[np.ndarray]:
    """Returns for each feature the thresholds to choose from: midway between neighbouring quantiles."""
    edges = []
    for column in x.T:
        values = np.unique(np.quantile(column, np.linspace(0, 1, BINS), method="lower"))
        # A threshold is float32, as the rows are that it is compared with.
        edges.append(((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32))
    return edges


def _split_level(
    binned: np.ndarray,
    slope: np.ndarray,
    curve: np.ndarray,
    node: np.ndarray,
    n_nodes: int,
    growth: Growth,
) -> _Split:
    """Returns the best split of each node of a level; a node without a gain sends all rows to its first child."""
    best = np.zeros(n_nodes)
    column, bins = np.zeros(n_nodes, np.int64), np.full(n_nodes, BINS)
    size = n_nodes * BINS
    for f, values in enumerate(binned):
        cell = node * BINS + values
        g, h, n = (
            np.cumsum(np.bincount(cell, w, size).reshape(n_nodes, BINS), axis=1)
            for w in (slope, curve, None)
        )
        rest_g, rest_h, rest_n = (a[:, -1:] - a for a in (g, h, n))
        pull = growth.pull
        gain = g**2 / (h + pull) + rest_g**2 / (rest_h + pull)
        gain -= g[:, -1:] ** 2 / (h[:, -1:] + pull)
        gain[(n < growth.least) | (rest_n < growth.least)] = 0
        at = gain.argmax(axis=1)
        top = gain[np.arange(n_nodes), at]
        better = top > best
        best[better], column[better], bins[better] = top[better], f, at[better]
    return _Split(column, bins)


@partial(jax.jit)
def evaluate_trees(trees: Trees, x: Float[Array, "Q F"]) -> Float[Array, "Q"]:
    """Returns the margin of each row."""
    n_trees, n_inner = trees.column.shape
    depth = (n_inner + 1).bit_length() - 1
    tree = jnp.arange(n_trees)[None, :]
    node = jnp.zeros((len(x), n_trees), jnp.int32)
    for _ in range(depth):
        column, threshold = trees.column[tree, node], trees.threshold[tree, node]
        above = jnp.take_along_axis(x, column, axis=1) > threshold
        node = 2 * node + 1 + above
    return trees.base + trees.value[tree, node - n_inner].sum(axis=1)
