"""The labels whose prototypes are nearest: the exact product with all of them, in chunks with a running top-k.

No tree is needed: one pass over L prototypes costs L · H products per document, which is what an accelerator is for. On
a mesh every device searches its own chunks for all documents, and only its best labels cross devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, Prototypes, XRModel
from xmc_jax.parallel import DATA, LABEL, WHOLE, fetch, place, shard_step
from xmc_jax.predict.predictions import Predictions
from xmc_jax.predict.prototype_tree import cluster_prototypes, find_in_tree, make_tree_model
from xmc_jax.types import PAD, AnyArray, NoProgress, Progress

_AXES = (DATA, LABEL)
_CUT = PartitionSpec(_AXES)
_CHUNK = 8192
_ROWS = 256
_LOWEST = -1e30
MIX_DEPTH = 50
"""Labels of each source that are mixed with those of others."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NearestIndex:
    """Prototypes laid out for the search, in chunks of K labels."""

    rows: AnyArray
    """[chunks, K, H]."""
    factor: AnyArray
    bias: AnyArray
    """float32 [chunks, K]; −∞ where there is no label."""
    hidden_labels: AnyArray
    """bool [chunks, K]: they count in the sum over all labels, but are not returned."""


def build_nearest(
    prototypes: Prototypes, mesh: Mesh | None = None, shown: np.ndarray | None = None
) -> NearestIndex:
    """Lays prototypes out on the default device, or in equal parts over the devices of a mesh.

    Args:
        prototypes: host arrays.
        mesh: of several devices, or None.
        shown: ids of the only labels to return; None: all.
    """
    n, n_devices = prototypes.n_labels, 1 if mesh is None else mesh.size
    share = -(-n // n_devices)
    n_chunks = n_devices * -(-share // _CHUNK)
    size = -(-n // n_chunks)

    def cut(array: np.ndarray, fill: Any = 0) -> np.ndarray:
        pad = [(0, n_chunks * size - n)] + [(0, 0)] * (array.ndim - 1)
        return np.pad(array, pad, constant_values=fill).reshape(n_chunks, size, *array.shape[1:])

    index = NearestIndex(
        cut(np.asarray(prototypes.rows)),
        cut(np.asarray(prototypes.factor)),
        cut(np.asarray(prototypes.bias), -np.inf),
        cut(np.zeros(n, bool), True),
    )
    index = jax.tree.map(jnp.asarray, index) if mesh is None else place(index, mesh, _CUT)
    return index if shown is None else show_labels(index, shown, mesh)


def show_labels(
    index: NearestIndex, shown: Int[np.ndarray, "n"], mesh: Mesh | None = None
) -> NearestIndex:
    """Returns an index that returns some labels only; the prototypes stay where they are."""
    hidden = np.ones(index.bias.size, bool)
    hidden[shown] = False
    hidden = hidden.reshape(index.bias.shape)
    put = jnp.asarray(hidden) if mesh is None else place(hidden, mesh, _CUT)
    return replace(index, hidden_labels=put)


@partial(jax.jit, static_argnames=("top_k", "scores", "recall", "mesh"))
def search_nearest(
    index: NearestIndex,
    vectors: Float[Array, "B H"],
    *,
    top_k: int,
    scores: str,
    recall: float = 1.0,
    mesh: Mesh | None = None,
) -> tuple[Int[Array, "B R"], Float[Array, "B R"], Float[Array, "B"]]:
    """Returns the best labels of each document, PAD where there are too few, their scores, and log Σ exp(z).

    Args:
        index: of `build_nearest`.
        vectors: norm 1.
        top_k: R, at most the labels.
        scores: of the prototypes.
        recall: share of the best labels of a chunk that has to be found; below 1 accelerators sort only in part.
        mesh: as the index lies.
    """

    def run(index: NearestIndex, vectors: Array) -> tuple[Array, Array, Array]:
        n_chunks, size = index.bias.shape
        first = 0 if mesh is None else jax.lax.axis_index(_AXES) * n_chunks * size
        best = _search_chunks(index, vectors, first, top_k, recall)
        return best if mesh is None else _merge_devices(*best, top_k)

    if mesh is not None:
        specs: Any = jax.tree.map(lambda _: _CUT, index)
        run = shard_step(run, mesh, (specs, WHOLE), WHOLE)
    labels, logits, log_sum = run(index, vectors)
    values = NORMALIZERS[scores](logits, log_sum)
    found = logits > _LOWEST
    return jnp.where(found, labels, PAD), jnp.where(found, values, 0), log_sum


def _search_chunks(
    index: NearestIndex, vectors: Array, first: Array | int, top_k: int, recall: float
) -> tuple[Array, Array, Array]:
    """Returns labels, logits [B, R] and log Σ exp(z) [B] of a device's chunks."""
    n_rows, size = len(vectors), index.bias.shape[1]
    kept = min(top_k, size)

    def visit(carry: Any, given: tuple[NearestIndex, Array]) -> tuple[Any, None]:
        labels, logits, top, total = carry
        part, number = given
        product = jnp.matmul(
            vectors,
            part.rows.astype(vectors.dtype).T,
            precision=jax.lax.Precision.HIGHEST,  # of float32; a TPU would round them to bfloat16
            preferred_element_type=jnp.float32,
        )
        z = product * part.factor[None] + part.bias[None]
        higher = jnp.maximum(top, z.max(axis=1))
        total = total * jnp.exp(top - higher) + jnp.exp(z - higher[:, None]).sum(axis=1)
        z = jnp.where(part.hidden_labels[None], -jnp.inf, z)
        if recall < 1:
            values, at = jax.lax.approx_max_k(z, kept, recall_target=recall)
        else:
            values, at = jax.lax.top_k(z, kept)
        labels = jnp.concatenate([labels, first + number * size + at], axis=1)
        logits, place = jax.lax.top_k(jnp.concatenate([logits, values], axis=1), top_k)
        return (jnp.take_along_axis(labels, place, axis=1), logits, higher, total), None

    begin = (
        jnp.full((n_rows, top_k), PAD, jnp.int32),
        jnp.full((n_rows, top_k), -jnp.inf),
        jnp.full(n_rows, _LOWEST),
        jnp.zeros(n_rows),
    )
    every = index, jnp.arange(len(index.bias))
    (labels, logits, top, total), _ = jax.lax.scan(visit, begin, every)
    return labels, logits, top + jnp.log(jnp.maximum(total, 1e-37))


def _merge_devices(
    labels: Array, logits: Array, log_sum: Array, top_k: int
) -> tuple[Array, Array, Array]:
    """Returns the best of all devices' results, on every device."""
    labels, logits = (jax.lax.all_gather(x, _AXES, axis=1, tiled=True) for x in (labels, logits))
    logits, place = jax.lax.top_k(logits, top_k)
    sums = jax.lax.all_gather(log_sum, _AXES)
    labels = jnp.take_along_axis(labels, place, axis=1)
    return labels, logits, jax.nn.logsumexp(sums, axis=0)


def _share(logits: Array, log_sum: Array) -> Array:
    return jnp.exp(logits - log_sum[:, None])


def _squash(logits: Array, log_sum: Array) -> Array:
    del log_sum
    return jax.nn.sigmoid(logits)


NORMALIZERS: dict[str, Callable[[Array, Array], Array]] = {"share": _share, "sigmoid": _squash}


def find_nearest(
    index: NearestIndex,
    vectors: Float[np.ndarray, "N H"],
    n_labels: int,
    *,
    top_k: int,
    scores: str,
    recall: float = 1.0,
    batch: int | Literal["auto"] = "auto",
    mesh: Mesh | None = None,
    progress: Progress | None = None,
    projected: bool = False,
) -> tuple[Int[np.ndarray, "N R"], Float[np.ndarray, "N R"], Float[np.ndarray, "N"]]:
    """Returns labels, scores and log Σ exp(z) of all documents, batch by batch; slots beyond L are PAD.

    Args:
        index: of `build_nearest`.
        vectors: scaled to norm 1 here, unless they are projections of such.
        n_labels: L.
        top_k, scores, recall, mesh: as in `search_nearest`.
        batch: documents at once; auto: 256.
        progress: told about documents.
        projected: the vectors are projections.

    Raises:
        InputError: vectors of another width.
    """
    hidden = index.rows.shape[2]
    if vectors.ndim != 2 or vectors.shape[1] != hidden:
        raise InputError(f"vectors of shape {vectors.shape} given, [N, {hidden}] needed")
    n, wanted = len(vectors), min(top_k, n_labels)
    ids = np.full((n, top_k), PAD, np.int32)
    values, sums = np.zeros(ids.shape, np.float32), np.zeros(n, np.float32)
    units = vectors if projected else _scale(vectors)
    size = 1 if n == 1 else _ROWS if batch == "auto" else batch
    progress = progress or NoProgress()
    progress.start("search", n)
    options: Any = {"top_k": wanted, "scores": scores, "recall": recall, "mesh": mesh}
    for start in range(0, n, size):
        part: Any = units[start : start + size]
        used = len(part)
        part = np.pad(part, ((0, size - used), (0, 0)))
        if mesh is not None:
            part = place(part, mesh)
        results = search_nearest(index, part, **options)
        labels, best, log_sum = (np.asarray(r) if mesh is None else fetch(r) for r in results)
        rows = slice(start, start + used)
        ids[rows, :wanted], values[rows, :wanted] = labels[:used], best[:used]
        sums[rows] = log_sum[:used]
        progress.advance(used)
    progress.finish("")
    return ids, values, sums


class Nearest:
    """The search among prototypes, which are laid out at its first use; from any thread.

    Args:
        prototypes: host arrays.
        tree: of the labels, for searches with a beam; None: it is made when one is asked for.
        seed: of that tree.
    """

    def __init__(
        self, prototypes: Prototypes, tree: LabelTree | None = None, seed: int = 0
    ) -> None:
        self.prototypes, self._tree, self._seed = prototypes, tree, seed
        self._lock = Lock()
        self._index: tuple[Mesh | None, NearestIndex] | None = None
        self._by_tree: XRModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"prototypes": self.prototypes, "tree": self._tree, "seed": self._seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def tree(self) -> LabelTree:
        """Of the labels."""
        with self._lock:
            if self._tree is None:
                self._tree = cluster_prototypes(self.prototypes, self._seed)
            return self._tree

    @property
    def made_tree(self) -> LabelTree | None:
        """The tree, if a search has needed it."""
        return self._tree

    def find(
        self,
        vectors: Float[np.ndarray, "N H"],
        top_k: int,
        *,
        beam: int | None = None,
        mesh: Mesh | None = None,
        shown: Int[np.ndarray, "n"] | None = None,
        label_names: Sequence[str] | None = None,
        **options: Any,
    ) -> tuple[Predictions, Float[np.ndarray, "N"]]:
        """Returns the nearest labels of documents, and log Σ exp(z) over all labels that they are compared with.

        Args:
            vectors: of the documents.
            top_k: R.
            beam: clusters of the tree whose labels are compared; None: all labels are.
            mesh: whose devices share the search among all labels; None: the default one.
            shown: ids of the only labels to return; None: all.
            label_names: of the predictions.
            options: `recall`, `batch`, `progress` of `find_nearest`.
        """
        if beam is not None:
            return self._find_in_tree(vectors, top_k, beam, shown, label_names, options)
        mesh = None if mesh is not None and mesh.size == 1 else mesh
        index = self._lay_out(mesh)
        index = index if shown is None else show_labels(index, shown, mesh)
        n, scores = self.prototypes.n_labels, self.prototypes.scores
        options |= {"top_k": top_k, "scores": scores, "mesh": mesh, "projected": True}
        units = self._take_units(vectors)
        ids, values, sums = find_nearest(index, units, n, **options)
        return Predictions(ids, values, label_names, n), sums

    def _find_in_tree(
        self,
        vectors: np.ndarray,
        top_k: int,
        beam: int,
        shown: np.ndarray | None,
        label_names: Sequence[str] | None,
        options: dict[str, Any],
    ) -> tuple[Predictions, np.ndarray]:
        """As `find`, by the tree: a share of Σ exp is one of the labels in the beam."""
        units, progress = self._take_units(vectors), options.get("progress")
        ids, logits, sums = find_in_tree(self._lay_in_tree(), units, beam, shown, progress)
        normalize = NORMALIZERS[self.prototypes.scores]
        values = np.asarray(normalize(jnp.asarray(logits), jnp.asarray(sums)))
        width = max(0, top_k - ids.shape[1])
        values = np.pad(np.where(ids == PAD, 0, values), ((0, 0), (0, width)))[:, :top_k]
        ids = np.pad(ids, ((0, 0), (0, width)), constant_values=PAD)[:, :top_k]
        return Predictions(ids, values, label_names, self.prototypes.n_labels), sums

    def score(
        self, vectors: Float[np.ndarray, "N H"], asked: sp.csr_matrix, mesh: Mesh | None = None
    ) -> sp.csr_matrix:
        """Returns the scores of chosen labels, as `score_labels`."""
        _, sums = self.find(vectors, 1, mesh=mesh)
        return score_labels(self.prototypes, vectors, sums, asked)

    def _take_units(self, vectors: np.ndarray) -> np.ndarray:
        """Returns what is compared of vectors."""
        hidden = self.prototypes.hidden
        if vectors.ndim != 2 or vectors.shape[1] != hidden:
            raise InputError(f"vectors of shape {vectors.shape} given, [N, {hidden}] needed")
        return self.prototypes.project(_scale(vectors))

    def _lay_out(self, mesh: Mesh | None) -> NearestIndex:
        with self._lock:
            if self._index is None or self._index[0] != mesh:
                self._index = mesh, build_nearest(self.prototypes, mesh)
            return self._index[1]

    def _lay_in_tree(self) -> XRModel:
        tree = self.tree
        with self._lock:
            if self._by_tree is None:
                self._by_tree = make_tree_model(self.prototypes, tree)
            return self._by_tree


def _scale(vectors: np.ndarray) -> Float[np.ndarray, "N H"]:
    """Returns vectors of norm 1."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def score_labels(
    prototypes: Prototypes,
    vectors: Float[np.ndarray, "N H"],
    log_sums: Float[np.ndarray, "N"],
    asked: sp.csr_matrix,
) -> sp.csr_matrix:
    """Returns the scores of chosen labels, CSR [N, L] of the entries of `asked`; one that is never predicted has 0.

    Args:
        prototypes: host arrays.
        vectors: of the documents.
        log_sums: of `find_nearest`.
        asked: CSR [N, L].
    """
    if asked.shape != (len(vectors), prototypes.n_labels):
        raise InputError(
            f"candidates of shape {asked.shape} given, {(len(vectors), prototypes.n_labels)} needed"
        )
    units = prototypes.project(_scale(vectors))
    row = np.repeat(np.arange(len(units)), np.diff(asked.indptr))
    out = np.empty(asked.nnz, np.float32)
    for start in range(0, asked.nnz, _CHUNK):
        at = slice(start, start + _CHUNK)
        mine, label = row[at], asked.indices[at]
        rows = np.asarray(prototypes.rows[label], np.float32)
        z = np.einsum("qh,qh->q", units[mine], rows)
        z = z * prototypes.factor[label] + prototypes.bias[label]
        normalize = NORMALIZERS[prototypes.scores]
        out[at] = np.asarray(normalize(jnp.asarray(z)[:, None], jnp.asarray(log_sums[mine])))[:, 0]
    return sp.csr_matrix((out, asked.indices, asked.indptr), asked.shape)
