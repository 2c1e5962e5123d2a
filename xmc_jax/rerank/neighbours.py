"""The training documents nearest to a document, by the cosine of their features.

Sparse features are searched by an inverted index over the rarer ones: a word of every second document tells little of
likeness and costs most of the time. Vectors of an encoder are searched exactly, by blocks of products on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from xmc_jax.threads import map_threads
from xmc_jax.types import PAD, Features

_ROWS = 256
_KEYS = 2**16
_PRODUCTS = 2**22
_FEWEST = 200
"""Documents that a feature may always occur in."""


@dataclass(frozen=True, eq=False)
class Keys:
    """What training documents are found by; one of the two has columns.

    Attributes:
        inverted: CSR [D, N], values of the rarer features of documents of norm 1, by feature.
        vectors: float32 [N, H], of norm 1.
    """

    inverted: sp.csr_matrix
    vectors: Float[np.ndarray, "N H"]

    @property
    def n_documents(self) -> int:
        return self.inverted.shape[1]

    @property
    def n_bytes(self) -> int:
        return 8 * self.inverted.nnz + self.vectors.nbytes


def make_keys(features: Features, rare_share: float) -> Keys:
    """Returns the keys of training documents: vectors where there are any, else the sparse features.

    Args:
        features: the features of the N documents.
        rare_share: features of more than this share of the documents are left out, and of more than 200.
    """
    n = len(features)
    if features.n_dense:
        none = sp.csr_matrix((features.n_sparse, n), dtype=np.float32)
        return Keys(none, _normalize(features.dense))
    matrix = _scale(features.sparse)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    matrix.data[(counts > max(_FEWEST, rare_share * n))[matrix.indices]] = 0
    matrix.eliminate_zeros()
    return Keys(matrix.T.tocsr(), np.zeros((n, 0), np.float32))


def find_neighbours(
    keys: Keys,
    features: Features,
    n_neighbours: int,
) -> tuple[Int[np.ndarray, "B b"], Float[np.ndarray, "B b"]]:
    """Returns the documents of largest cosine and the cosines, best first; PAD and 0 where there are fewer.

    Args:
        keys: the keys of the training documents.
        features: the features of B documents.
        n_neighbours: b.
    """
    ids = np.full((len(features), n_neighbours), PAD, np.int32)
    values = np.zeros(ids.shape, np.float32)
    search = _search_vectors if keys.vectors.shape[1] else _search_sparse

    def run(rows: slice) -> None:
        search(keys, features[rows], ids[rows], values[rows])

    for _ in map_threads(run, _cut_rows(keys, features)):
        pass
    return ids, values


def measure_recall(
    features: Features, queries: Features, n_neighbours: int, rare_share: float
) -> float:
    """Returns the share of the true nearest documents that the rarer features find; 1 for vectors.

    Args:
        features: the features of the documents.
        queries: documents to try it with.
        n_neighbours: the number of neighbours that it is searched with.
        rare_share: as in `make_keys`.
    """
    if features.n_dense or not len(queries):
        return 1.0
    found, true = (
        find_neighbours(make_keys(features, share), queries, n_neighbours)[0]
        for share in (rare_share, 1.0)
    )
    n = len(features)
    row = np.arange(len(queries))[:, None] * n
    shared = np.intersect1d((row + found)[found != PAD], (row + true)[true != PAD])
    return len(shared) / max(1, int((true != PAD).sum()))


def _cut_rows(keys: Keys, features: Features) -> list[slice]:
    """Returns documents to search at once: as many as have some millions of products."""
    products = np.zeros(len(features))
    if not keys.vectors.shape[1]:
        ones = sp.csr_matrix(
            (np.ones(features.sparse.nnz), features.sparse.indices, features.sparse.indptr),
            features.sparse.shape,
        )
        products = ones @ np.diff(keys.inverted.indptr)
    cuts, whole = [0], np.append(0, np.cumsum(products))
    while cuts[-1] < len(features):
        last = int(np.searchsorted(whole, whole[cuts[-1]] + _PRODUCTS, "right")) - 1
        cuts.append(min(max(last, cuts[-1] + 1), cuts[-1] + _ROWS, len(features)))
    return [slice(a, b) for a, b in pairwise(cuts)]


def _search_sparse(keys: Keys, features: Features, ids: np.ndarray, values: np.ndarray) -> None:
    """Fills in the neighbours of some documents."""
    product = sp.csr_matrix(_scale(features.sparse) @ keys.inverted)
    for row in range(len(features)):
        at = slice(product.indptr[row], product.indptr[row + 1])
        found, cosine = product.indices[at], product.data[at]
        n = min(ids.shape[1], len(found))
        if len(found) > n:
            best = np.argpartition(-cosine, n)[:n]
            found, cosine = found[best], cosine[best]
        order = np.lexsort((found, -cosine))
        ids[row, :n], values[row, :n] = found[order], cosine[order]


def _search_vectors(keys: Keys, features: Features, ids: np.ndarray, values: np.ndarray) -> None:
    """Fills in the neighbours of some documents, a block of keys after the other."""
    queries = np.zeros((_ROWS, features.n_dense), np.float32)
    queries[: len(features)] = _normalize(features.dense)
    k = min(ids.shape[1], keys.n_documents)
    best, at = jnp.full((_ROWS, k), -jnp.inf), jnp.full((_ROWS, k), PAD, jnp.int32)
    for start in range(0, keys.n_documents, _KEYS):
        block = keys.vectors[start : start + _KEYS]
        best, at = merge_block(jnp.asarray(queries), jnp.asarray(block), best, at, start)
    ids[:, :k], values[:, :k] = np.asarray(at)[: len(ids)], np.asarray(best)[: len(ids)]


@partial(jax.jit, donate_argnums=(2, 3))
def merge_block(
    queries: Float[Array, "B H"],
    block: Float[Array, "M H"],
    best: Float[Array, "B k"],
    at: Int[Array, "B k"],
    start: Int[Array, ""] | int,
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Returns the best of those found before and those of a block."""
    product = jnp.matmul(queries, block.T, precision=jax.lax.Precision.HIGHEST)
    value, place = jax.lax.top_k(product, min(best.shape[1], product.shape[1]))
    every = jnp.concatenate([best, value], axis=1)
    number = jnp.concatenate([at, (place + start).astype(jnp.int32)], axis=1)
    best, order = jax.lax.top_k(every, best.shape[1])
    return best, jnp.take_along_axis(number, order, axis=1)


def _scale(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Returns the rows at norm 1."""
    squares = sp.csr_matrix((matrix.data**2, matrix.indices, matrix.indptr), matrix.shape)
    norms = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
    share = np.repeat(1 / np.where(norms > 0, norms, 1), np.diff(matrix.indptr))
    scaled = (matrix.data * share).astype(np.float32)
    return sp.csr_matrix((scaled, matrix.indices.copy(), matrix.indptr.copy()), matrix.shape)


def _normalize(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
