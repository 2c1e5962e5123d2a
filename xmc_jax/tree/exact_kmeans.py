"""The splits of `balanced_kmeans` for sparse embeddings, by products on the host.

Sparse rows of any length need neither padding nor densifying: SciPy's products stream them on all
cores, memory stays proportional to the non-zeros, and nothing is compiled.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

from xmc_jax.threads import count_cores

POWER_STEPS = 8
"""Power iterations towards a node's principal direction before its first cut."""

PARTS = 8
"""Column blocks of a product; a fixed number, so that sums do not depend on the number of threads."""


def order_labels(
    embeddings: sp.csr_matrix,
    leaf_sizes: np.ndarray,
    draws: np.ndarray,
    *,
    spherical: bool,
    iterations: int,
    power_steps: int = POWER_STEPS,
) -> np.ndarray:
    """Returns the labels in leaf order, int32 [L].

    Args:
        embeddings: finite CSR [L, D].
        leaf_sizes: int32 [C], C = 2^depth.
        draws: uint32 [depth, 2, C], random numbers for the nodes of each depth.
        spherical, iterations, power_steps: as in `balanced_kmeans.cluster_labels`.
    """
    embeddings = embeddings.tocsr().astype(np.float32, copy=False)
    if not embeddings.has_canonical_format:
        embeddings = embeddings.copy()
        embeddings.sum_duplicates()
    valid = np.arange(leaf_sizes.max()) < leaf_sizes[:, None]
    order = np.arange(embeddings.shape[0], dtype=np.int32)
    with ThreadPoolExecutor(min(PARTS, count_cores())) as pool:
        for t in range(len(draws)):
            nodes = 1 << t
            width = leaf_sizes.reshape(nodes, 2, -1).sum(2)  # of the left and right children
            used = valid.reshape(nodes, -1)
            gram = _BlockGram(embeddings[order].tocsc(), used, pool)
            right = split_nodes(
                gram, used, width, draws[t, :, :nodes], spherical, iterations, power_steps
            )
            del gram  # before the next one is made
            order = move_halves(order, used, right)
    return order


def move_halves(order: np.ndarray, used: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the labels with the left half of each node before its right half.

    Args:
        order: int32 [L], the labels by node.
        used: bool [nodes, slots].
        right: bool [nodes, slots], from `split_nodes`.
    """
    # A stable sort keeps members sorted by label id, which breaks ties.
    slots = np.argsort(~used * 2 + right, axis=1, kind="stable")
    label = np.full(used.shape, -1, np.int32)
    label[used] = order
    order = np.take_along_axis(label, slots, axis=1)
    return order[order >= 0]


@runtime_checkable
class Gram(Protocol):
    """Products with the block-diagonal Gram matrix Z Zᵀ of the nodes of one depth."""

    def apply(self, w: np.ndarray) -> np.ndarray:
        """Returns Z Zᵀ w float32 [nodes, slots] for w [nodes, slots]."""

    def keep(self, moving: np.ndarray) -> None:
        """Allows products to be wrong for nodes outside `moving` [nodes]."""


def split_nodes(
    gram: Gram,
    used: np.ndarray,
    width: np.ndarray,
    draws: np.ndarray,
    spherical: bool,
    iterations: int,
    power_steps: int,
) -> np.ndarray:
    """Returns the right half of each node, bool [nodes, slots].

    `width` holds the sizes of both halves [nodes, 2], `draws` random numbers uint32 [2, nodes].
    """
    size = np.maximum(width.sum(1), 1)[:, None].astype(np.float32)
    score = gram.apply(_pick_pairs(draws, used, width.sum(1)))
    for _ in range(power_steps):
        score = gram.apply(_centre(score, used, size))
    right = _cut_in_half(score, used, width[:, 0])
    q = gram.apply(used)
    moving = np.ones(len(used), bool)
    for _ in range(1, iterations):
        p = gram.apply(right)
        rest = q - p
        if spherical:
            square = np.stack([(p * right).sum(1), (rest * ~right).sum(1)], axis=1)
            scale = np.where(square > 0, 1 / np.sqrt(np.where(square > 0, square, 1)), 0)
        else:
            scale = 1 / np.maximum(width[:, ::-1], 1)
        scale = scale.astype(np.float32)
        new = _cut_in_half(p * scale[:, :1] - rest * scale[:, 1:], used, width[:, 0])
        moved = (new != right) & moving[:, None]
        right = right ^ moved
        moving = moved.any(axis=1)
        if not moving.any():
            break
        gram.keep(moving)
    return right


def _centre(score: np.ndarray, used: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Returns scores [nodes, slots] less their node's mean, scaled to its root mean square."""
    score = np.where(used, score, 0)
    score = np.where(used, score - score.sum(1, keepdims=True) / size, 0)
    square = (score**2).sum(1, keepdims=True) / size
    return score / np.sqrt(np.maximum(square, 1e-30))


def _pick_pairs(draws: np.ndarray, used: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Returns e_r − e_l float32 [nodes, slots] of two members of each node (zeros for a single member)."""
    size = np.maximum(size, 1)
    right = draws[0] % size
    left = (right + 1 + draws[1] % np.maximum(size - 1, 1)) % size
    at = np.cumsum(used, axis=1) - 1
    pair = (at == right[:, None]).astype(np.float32) - (at == left[:, None])
    return pair * used


def _cut_in_half(score: np.ndarray, used: np.ndarray, size_left: np.ndarray) -> np.ndarray:
    """Returns the right half of every node [nodes, slots]: the larger scores, ties by slot."""
    score = np.where(used, score, np.inf)
    last = np.maximum(size_left - 1, 0)
    ranked = np.partition(score, np.unique(last), axis=1)
    cut = np.take_along_axis(ranked, last[:, None], axis=1)
    below = score < cut
    tie = (score == cut) & used
    spare = size_left - below.sum(1)
    left = below | (tie & (np.cumsum(tie, axis=1) <= spare[:, None]))
    return used & ~left


class _BlockGram:
    """Products with the block-diagonal Gram matrix Z Zᵀ of the nodes of one depth.

    Every node has columns of its own: (column, node) pairs are renumbered in the order in which a CSC matrix of the
    slots stores them. A pair with a single non-zero affects only the diagonal.
    """

    def __init__(self, columns: sp.csc_matrix, used: np.ndarray, pool: ThreadPoolExecutor) -> None:
        """Takes the labels in leaf order, so that those of a node are consecutive; `columns` is overwritten."""
        index = columns.indices
        slots = np.flatnonzero(used).astype(index.dtype)
        np.take(slots, index, out=index, mode="clip")  # this mode writes in place without a copy
        node = index // np.int32(used.shape[1])
        first = np.ones(len(node), bool)
        np.not_equal(node[1:], node[:-1], out=first[1:])
        first[columns.indptr[:-1][np.diff(columns.indptr) > 0]] = True
        del node
        begin = np.append(np.flatnonzero(first), len(first))
        length = np.diff(begin)
        lone = begin[:-1][length == 1]
        indptr = np.concatenate([[0], np.cumsum(length[length > 1])])
        del begin, length
        diagonal = np.bincount(index[lone], weights=columns.data[lone] ** 2, minlength=used.size)
        shared = first
        shared[:] = True
        shared[lone] = False
        data, index = columns.data[shared], index[shared]
        cuts = np.searchsorted(indptr, np.linspace(0, len(data), PARTS + 1))
        self.diagonal = diagonal.astype(np.float32)
        self.parts = []
        self.nodes = []
        for a, b in pairwise(cuts):
            inside = slice(indptr[a], indptr[b])
            part = (data[inside], index[inside], indptr[a : b + 1] - indptr[a])
            self.parts.append(sp.csr_matrix(part, shape=(b - a, used.size)))
            self.nodes.append(index[indptr[a:b]] // np.int32(used.shape[1]))
        self.shape = used.shape
        self.pool = pool

    def keep(self, moving: np.ndarray) -> None:
        """Allows products to be wrong for nodes outside `moving` [nodes], if that halves the work."""
        kept = [moving[nodes] for nodes in self.nodes]
        if 2 * sum(map(np.count_nonzero, kept)) < sum(map(len, kept)):
            self.parts = list(self.pool.map(lambda A, k: A[np.flatnonzero(k)], self.parts, kept))
            self.nodes = [nodes[k] for nodes, k in zip(self.nodes, kept, strict=True)]

    def apply(self, w: np.ndarray) -> np.ndarray:
        """Returns Z Zᵀ w float32 [nodes, slots] for w [nodes, slots]."""
        w = w.reshape(-1).astype(np.float32)
        out = self.diagonal * w
        for product in self.pool.map(lambda A: A.T @ (A @ w), self.parts):
            out += product
        return out.reshape(self.shape)
