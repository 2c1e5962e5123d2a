"""PIFA of documents that several processes hold: each process embeds some of the labels, from the rows that carry
them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.features.label_embedding import choose_sketch, multiply_rows
from xmc_jax.features.projection import make_projection
from xmc_jax.features.vectors import normalize_rows
from xmc_jax.parallel import Arrays, add_up, trade
from xmc_jax.types import Features

_SENT_ROWS = 2**18
"""Pairs of a document and a label that are sent to a process at once."""


class LabelRows(NamedTuple):
    """Embeddings of some of the labels.

    Attributes:
        rows: float32 CSR or array [labels of this process, D'].
        bounds: int64 [P + 1], the first label of each process, and the number of labels.
    """

    rows: sp.csr_matrix | np.ndarray
    bounds: np.ndarray


def embed_spread(
    features: Features, labels: sp.csr_matrix, *, config: TreeConfig, seed: int
) -> LabelRows:
    """Returns the embeddings of this process's labels, equal to those of `embed_labels`; all processes call this
    together.

    Args:
        features, labels: features and labels of this process's documents.
        config, seed: as in `embed_labels`.

    Raises:
        InputError: an embedding other than PIFA.
    """
    if config.embedding != "pifa":
        raise InputError(
            f"parallel.holds=share given with tree.embedding={config.embedding}, which needs all documents at "
            "once; set tree.embedding=pifa or parallel.holds=all"
        )
    n_labels, width = labels.shape[1], config.sketch or 0
    if width == "auto":
        per_label = np.diff(features.sparse.indptr).astype(np.int64)
        work = int(add_up(np.array([np.diff(labels.indptr) @ per_label]))[0])
        width = choose_sketch(work, n_labels, features.n_sparse)
    width = width if features.n_sparse else 0
    is_dense = bool(width) or not features.n_sparse
    columns = features.sparse
    if width:
        columns = columns @ make_projection(features.n_sparse, width, seed)
    by_label = normalize_rows(labels).T.tocsr()
    counts = add_up(np.diff(by_label.indptr).astype(np.int64))
    bounds = _cut_evenly(counts + 1, jax.process_count())
    me = jax.process_index()
    blocks = _cut_blocks(counts, bounds)
    parts = []
    for k in range(max(len(own) for own in blocks) - 1):
        ranges = [own[min(k, len(own) - 1) :][:2] for own in blocks]
        sent = trade([_cut_labels(by_label, columns, features.dense, *_range(r)) for r in ranges])
        first, stop = _range(ranges[me])
        if stop > first:
            rows, cols, dense = _join_sent(sent, stop - first, columns.shape[1])
            parts.append(multiply_rows(rows, cols, dense, is_dense))
    n_columns = columns.shape[1] + features.n_dense
    if not parts:
        empty = sp.csr_matrix((0, n_columns), dtype=np.float32)
        return LabelRows(empty.toarray() if is_dense else empty, bounds)
    return LabelRows(np.concatenate(parts) if is_dense else sp.vstack(parts, format="csr"), bounds)


def _cut_evenly(weights: np.ndarray, n: int) -> np.ndarray:
    total = np.append(0, np.cumsum(weights))
    inner = np.searchsorted(total, total[-1] * np.arange(1, n) / n)
    return np.concatenate([[0], inner, [len(weights)]]).astype(np.int64)


def _cut_blocks(counts: np.ndarray, bounds: np.ndarray) -> list[list[int]]:
    """Returns the borders of the blocks of labels that each process embeds in turn."""
    blocks = []
    for first, stop in pairwise(bounds.tolist()):
        part = np.cumsum(counts[first:stop]) // _SENT_ROWS
        inner = (np.flatnonzero(np.diff(part)) + 1 + first).tolist()
        blocks.append([first, *inner, stop])
    return blocks


def _range(borders: list[int]) -> tuple[int, int]:
    """Returns the first and the last border of a block, or an empty range for a process without further blocks."""
    return (borders[0], borders[1]) if len(borders) == 2 else (0, 0)


def _cut_labels(
    by_label: sp.csr_matrix, columns: sp.csr_matrix, dense: np.ndarray, first: int, stop: int
) -> dict[str, np.ndarray]:
    """Returns what this process's documents contribute to some labels: pairs, and the rows of their documents."""
    pairs = by_label[first:stop]
    documents, places = np.unique(pairs.indices, return_inverse=True)
    rows = columns[documents]
    return {
        "counts": np.diff(pairs.indptr),
        "documents": places.astype(np.int32),
        "shares": pairs.data,
        "lengths": np.diff(rows.indptr),
        "indices": rows.indices,
        "values": rows.data,
        "dense": dense[documents],
    }


def _join_sent(
    sent: Sequence[Arrays], n_labels: int, n_columns: int
) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
    """Returns labels [labels, M] over the M documents that were sent, in their order, and the documents' rows."""

    def join(name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in sent])

    n_documents = [len(part["lengths"]) for part in sent]
    first = np.cumsum([0, *n_documents[:-1]])
    label = np.concatenate([np.repeat(np.arange(n_labels), part["counts"]) for part in sent])
    document = np.concatenate(
        [start + part["documents"] for start, part in zip(first, sent, strict=True)]
    )
    order = np.argsort(label, kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(label, minlength=n_labels)))
    total = sum(n_documents)
    pairs = sp.csr_matrix((join("shares")[order], document[order], ends), (n_labels, total))
    indptr = np.append(0, np.cumsum(join("lengths")))
    rows = sp.csr_matrix((join("values"), join("indices"), indptr), (total, n_columns))
    return pairs, rows, join("dense")
