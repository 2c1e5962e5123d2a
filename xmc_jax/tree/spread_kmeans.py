"""The splits of `exact_kmeans` for embeddings that several processes hold, each some of the columns.

A product with the Gram matrix is a sum over columns, which `exact_kmeans` adds up in a fixed number of blocks. Each
block belongs to one process; the products of the blocks are exchanged and added up in order, so that every process
splits the nodes in the same way, and as one process alone would. The blocks have the same borders as there, so at every
depth columns move between processes, few of them after the first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.parallel import add_up, gather_alike, gather_each, trade
from xmc_jax.tree.exact_kmeans import PARTS, POWER_STEPS, move_halves, split_nodes


class _Entries(NamedTuple):
    """Non-zeros [E] of the embeddings."""

    column: np.ndarray
    label: np.ndarray
    value: np.ndarray

    def take(self, which: np.ndarray) -> _Entries:
        return _Entries(*(x[which] for x in self))


def order_spread(
    rows: sp.csr_matrix,
    first: int,
    leaf_sizes: np.ndarray,
    draws: np.ndarray,
    *,
    spherical: bool,
    iterations: int,
    power_steps: int = POWER_STEPS,
) -> np.ndarray:
    """Returns the labels in leaf order, int32 [L], as `exact_kmeans.order_labels` does; all processes call this
    together.

    Args:
        rows: canonical CSR, embeddings of this process's labels.
        first: the first of them.
        leaf_sizes, draws, spherical, iterations, power_steps: as there.
    """
    n_labels = int(leaf_sizes.sum())
    valid = np.arange(leaf_sizes.max()) < leaf_sizes[:, None]
    order = np.arange(n_labels, dtype=np.int32)
    entries = _spread_columns(rows, first)
    lone = entries.take(np.zeros(0, np.int64))
    for t in range(len(draws)):
        nodes = 1 << t
        width = leaf_sizes.reshape(nodes, 2, -1).sum(2)
        used = valid.reshape(nodes, -1)
        gram = _SpreadGram(entries, lone, order, used)
        entries, lone = gram.entries, gram.lone
        right = split_nodes(
            gram, used, width, draws[t, :, :nodes], spherical, iterations, power_steps
        )
        order = move_halves(order, used, right)
    return order


def _spread_columns(rows: sp.csr_matrix, first: int) -> _Entries:
    """Returns the non-zeros of this process's columns, sent by the processes that embedded the labels."""
    n_processes = jax.process_count()
    counts = add_up(np.bincount(rows.indices, minlength=rows.shape[1]).astype(np.int64))
    total = np.append(0, np.cumsum(counts))
    inner = np.searchsorted(total, total[-1] * np.arange(1, n_processes) / n_processes)
    bounds = [0, *inner.tolist(), rows.shape[1]]
    label = (first + np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))).astype(np.int32)
    mine = _Entries(rows.indices.astype(np.int32), label, rows.data)
    return _send([mine.take((mine.column >= a) & (mine.column < b)) for a, b in pairwise(bounds)])


def _send(parts: list[_Entries]) -> _Entries:
    sent = trade([part._asdict() for part in parts])
    return _Entries(*(np.concatenate([part[n] for part in sent]) for n in _Entries._fields))


class _SpreadGram:
    """Products with the block-diagonal Gram matrix of the nodes of one depth, as in `exact_kmeans`.

    Attributes:
        entries: this process's non-zeros of pairs (column, node) with several non-zeros.
        lone: non-zeros of this process's labels that are alone in their pair; they stay alone, and affect only the
            diagonal.
    """

    def __init__(
        self, entries: _Entries, lone: _Entries, order: np.ndarray, used: np.ndarray
    ) -> None:
        place = np.empty(len(order), np.int32)
        place[order] = np.flatnonzero(used).astype(np.int32)
        entries, first = _sort(entries, place, used.shape[1])
        begin = np.append(np.flatnonzero(first), len(first))
        alone = begin[:-1][np.diff(begin) == 1]
        is_shared = np.ones(len(first), bool)
        is_shared[alone] = False
        self.lone = self._keep_lone(lone, entries.take(alone), len(order))
        self.diagonal = self._sum_lone(place, used.size, len(order))
        entries, pairs = self._move(entries.take(is_shared), first[is_shared])
        self.entries, first = _sort(entries, place, used.shape[1])
        self._cut(pairs, np.append(np.flatnonzero(first), len(first)), place, used)

    def _keep_lone(self, before: _Entries, new: _Entries, n_labels: int) -> _Entries:
        """Returns the lone non-zeros of this process's labels, by label and column."""
        owner = new.label.astype(np.int64) * jax.process_count() // n_labels
        sent = _send([new.take(owner == p) for p in range(jax.process_count())])
        every = _Entries(*map(np.concatenate, zip(before, sent, strict=True)))
        return every.take(np.lexsort((every.column, every.label)))

    def _sum_lone(self, place: np.ndarray, size: int, n_labels: int) -> np.ndarray:
        lone = self.lone
        squares = np.bincount(lone.label, weights=lone.value**2, minlength=n_labels)
        there = np.unique(lone.label)
        out = np.zeros(size, np.float32)
        for part in gather_each({"label": there, "sum": squares[there].astype(np.float32)}):
            out[place[part["label"]]] = part["sum"]
        return out

    def _move(self, entries: _Entries, first: np.ndarray) -> tuple[_Entries, list[int]]:
        """Sends each block's non-zeros to its process; returns those of this process's blocks, and their pairs."""
        n_processes, me = jax.process_count(), jax.process_index()
        begins = np.flatnonzero(first)
        counts = gather_each({"n": np.array([len(entries.column), len(begins)])})
        before = np.cumsum([[0, 0], *(sent["n"] for sent in counts)], axis=0)
        targets = np.linspace(0, before[-1, 0], PARTS + 1)
        # A block ends with the first pair that begins at or after its share of the non-zeros.
        local = np.searchsorted(begins + before[me, 0], targets)
        cuts = add_up(local.astype(np.int64))
        mine = np.clip(cuts - before[me, 1], 0, len(begins))
        ends = np.append(begins, len(first))[mine]
        owner = np.arange(PARTS) * n_processes // PARTS if n_processes < PARTS else np.arange(PARTS)
        block = np.repeat(np.arange(PARTS), np.diff(ends))
        moved = _send([entries.take(owner[block] == p) for p in range(n_processes)])
        self.n_parts = np.bincount(owner, minlength=n_processes).tolist()
        own = np.flatnonzero(owner == me)
        return moved, np.diff(cuts)[own].tolist()

    def _cut(
        self, n_pairs: list[int], begin: np.ndarray, place: np.ndarray, used: np.ndarray
    ) -> None:
        index, data = place[self.entries.label], self.entries.value
        self.parts: list[sp.csr_matrix] = []
        self.nodes: list[np.ndarray] = []
        for a, b in pairwise(np.cumsum([0, *n_pairs]).tolist()):
            inside = slice(begin[a], begin[b])
            part = (data[inside], index[inside], begin[a : b + 1] - begin[a])
            self.parts.append(sp.csr_matrix(part, shape=(b - a, used.size)))
            self.nodes.append(index[begin[a:b]] // np.int32(used.shape[1]))
        self.shape = used.shape

    def keep(self, moving: np.ndarray) -> None:
        """Allows products to be wrong for nodes outside `moving` [nodes], if that halves the work."""
        kept = [moving[nodes] for nodes in self.nodes]
        n = [sum(map(np.count_nonzero, kept)), sum(map(len, kept))]
        n_kept, n_all = add_up(np.array(n, np.int64)).tolist()
        if 2 * n_kept < n_all:
            self.parts = [A[np.flatnonzero(k)] for A, k in zip(self.parts, kept, strict=True)]
            self.nodes = [nodes[k] for nodes, k in zip(self.nodes, kept, strict=True)]

    def apply(self, w: np.ndarray) -> np.ndarray:
        """Returns Z Zᵀ w float32 [nodes, slots] for w [nodes, slots]."""
        w = w.reshape(-1).astype(np.float32)
        mine = np.zeros((-(-PARTS // jax.process_count()), len(w)), np.float32)
        for product, part in zip(mine, self.parts, strict=False):
            product[:] = part.T @ (part @ w)
        out = self.diagonal * w
        for products, n in zip(gather_alike(mine), self.n_parts, strict=True):
            for product in products[:n]:
                out += product
        return out.reshape(self.shape)


def _sort(entries: _Entries, place: np.ndarray, width: int) -> tuple[_Entries, np.ndarray]:
    """Returns the non-zeros by column and place, and which of them begin a pair (column, node)."""
    at = place[entries.label]
    order = np.lexsort((at, entries.column))
    entries, node = entries.take(order), at[order] // np.int32(width)
    first = np.ones(len(order), bool)
    first[1:] = (node[1:] != node[:-1]) | (entries.column[1:] != entries.column[:-1])
    return entries, first
