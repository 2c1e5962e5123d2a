"""Predictions for a whole set, batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from xmc_jax.config import MergeName, SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.model import XRModel
from xmc_jax.parallel import DATA, Target, gather_each, keep_mesh
from xmc_jax.predict.batches import choose_results, limit_rows, plan_batches, run_batches, run_one
from xmc_jax.predict.index import SearchIndex, find_index
from xmc_jax.predict.predictions import Predictions
from xmc_jax.predict.search import match, search
from xmc_jax.predict.shared import find_shared_index, run_on_mesh, search_on_mesh
from xmc_jax.predict.spread import build_spread_index, find_line, search_spread
from xmc_jax.types import PAD, Features, NoProgress, Progress


class FewResultsWarning(UserWarning):
    """More results were asked for than the beam can return."""


def predict_batches(
    model: XRModel | SearchIndex,
    features: Features,
    config: SearchConfig,
    *,
    label_names: Sequence[str] | None = None,
    merge: MergeName = "mean",
    memory: int | None = None,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
) -> Predictions:
    """Returns the best labels of every document, in the order given; a row depends only on its document.

    Args:
        model: a complete model; it is laid out for search on first use.
        features: [N], as the model was trained on.
        config: `beam`, `top_k` and `batch`; the model holds its own post-processors.
        label_names: names of the labels, for the predictions.
        merge: the score of a label found under several clusters: the mean, the largest, or 1 − Π(1 − score).
        memory: bytes that the batches under way may take; None for no bound.
        progress: told about documents.
        mesh: several devices that share the work, or None; every process calls with the same arguments and gets all
            predictions.

    Raises:
        InputError: a number of features other than the model's, or an incomplete model.

    Warns:
        FewResultsWarning: the beam cannot return `top_k` labels.

    Returns:
        As many columns as wanted or, if that is less, as can be found, with PAD for documents that have fewer labels.
    """
    if isinstance(model, XRModel) and model.is_spread:
        return _predict_spread(model, features, config, label_names, merge, memory, progress)
    search = prepare_search(model, config, label_names=label_names, merge=merge, mesh=mesh)
    return search.run(features, memory=memory, progress=progress)


@dataclass(frozen=True)
class PreparedSearch:
    """A search of one model that is ready for documents; a service prepares it once for all its queries.

    Attributes:
        index: the levels, laid out on the devices.
        beam: number of clusters kept on each level.
        batch: largest number of rows of a batch, or "auto".
        n_results: results per document.
        step: the program, with everything but the index and the documents.
        target: the device that runs it.
        mesh: several devices that share the work, or None.
        label_names: names of the labels, for the predictions.
    """

    index: SearchIndex
    beam: int
    batch: int | Literal["auto"]
    n_results: int
    step: Callable[..., tuple[jax.Array, ...]]
    target: Target
    mesh: Mesh | None
    label_names: Sequence[str] | None

    def run(
        self,
        features: Features,
        *,
        memory: int | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Returns the best labels of every document, as `predict_batches` does.

        Raises:
            InputError: a number of features other than the model's.
        """
        index, target, mesh = self.index, self.target, self.mesh
        index.check(features)
        progress = progress or NoProgress()
        progress.start("search", len(features))
        if mesh is None and len(features) == 1:
            ids, scores = run_one(index, features, self.step, self.n_results)
            progress.advance(1)
        else:
            ids = np.full((len(features), self.n_results), PAD, np.int32)
            scores = np.zeros(ids.shape, np.float32)
            out = ids, scores
            limit = limit_rows(index, self.beam, target, self.batch, memory)
            n_shards = 1 if mesh is None else mesh.shape[DATA]
            batches = plan_batches(_count_slots(features), limit, target, n_shards)
            if mesh is None:
                run_batches(index, features, batches, self.step, out, target, progress.advance)
            else:
                run_on_mesh(index, features, batches, self.step, out, mesh, progress.advance)
        progress.finish("")
        return Predictions(ids, scores, self.label_names, index.n_labels)


def prepare_search(
    model: XRModel | SearchIndex,
    config: SearchConfig,
    *,
    label_names: Sequence[str] | None = None,
    merge: MergeName = "mean",
    mesh: Mesh | None = None,
) -> PreparedSearch:
    """Returns the search of a model that one process holds; arguments, errors and warnings are those of
    `predict_batches`."""
    mesh = keep_mesh(mesh)
    index = find_index(model) if mesh is None else find_shared_index(model, mesh)
    check_complete(index)
    most, beam = count_results(index, config), config.choose_beam(index.has_copies)
    n = min(config.top_k, most)
    options: Any = {"wanted": np.int32(n), "beam": beam, "merge": merge}
    options["top_k"] = choose_results(n, most)
    step = (
        partial(search, **options)
        if mesh is None
        else partial(search_on_mesh, mesh=mesh, **options)
    )
    return PreparedSearch(index, beam, config.batch, n, step, Target.of(mesh), mesh, label_names)


def _predict_spread(
    model: XRModel,
    features: Features,
    config: SearchConfig,
    label_names: Sequence[str] | None,
    merge: MergeName,
    memory: int | None,
    progress: Progress | None,
) -> Predictions:
    """Returns the predictions of a model that several processes hold; each searches some of the documents."""
    mesh = find_line()
    index = model.layouts.once(("index", mesh), lambda: build_spread_index(model, mesh))
    check_complete(index)
    index.check(features)
    n = min(config.top_k, count_results(index, config))
    n_processes, me = jax.process_count(), jax.process_index()
    bounds = [len(features) * p // n_processes for p in range(n_processes + 1)]
    progress = progress or NoProgress()
    progress.start("search", bounds[me + 1] - bounds[me])
    found = search_spread(
        index,
        features[bounds[me] : bounds[me + 1]],
        config,
        mesh,
        n_results=n,
        merge=merge,
        memory=memory,
        progress=progress,
    )
    progress.finish("")
    every = gather_each(dict(zip(("ids", "scores"), found, strict=True)))
    ids, scores = (np.concatenate([sent[name] for sent in every]) for name in ("ids", "scores"))
    return Predictions(ids, scores, label_names, index.n_labels)


def matched_clusters(
    model: XRModel | SearchIndex,
    features: Features,
    beam: int,
    *,
    mesh: Mesh | None = None,
) -> sp.csr_matrix:
    """Returns the nodes of the model's deepest level in each document's beam, and their scores.

    The levels may be a prefix of the tree's: the matcher of the next level.

    Args:
        model: a model whose levels are searched, or an index that is on the mesh.
        features: [N].
        beam: number of nodes to keep.
        mesh: several devices that share the work, or None for the default device.

    Returns:
        float32 CSR [N, nodes] with sorted indices; a score of 0 is stored.

    Raises:
        InputError: a number of features other than the model's.
    """
    mesh = keep_mesh(mesh)
    index = find_index(model) if mesh is None else find_shared_index(model, mesh)
    index.check(features)
    n_nodes = index.levels[-1].n_nodes
    shape = (len(features), min(beam, n_nodes))
    nodes, scores = np.full(shape, PAD, np.int32), np.zeros(shape, np.float32)
    target = Target.of(mesh)
    limit, out = limit_rows(index, beam, target, "auto"), (nodes, scores)
    if mesh is None:
        batches = plan_batches(_count_slots(features), limit, target)
        run_batches(index, features, batches, partial(match, beam=beam), out, target)
    else:
        batches = plan_batches(_count_slots(features), limit, target, mesh.shape[DATA])
        options: Any = {"beam": beam, "top_k": None, "merge": "mean", "wanted": np.int32(0)}
        step = partial(search_on_mesh, mesh=mesh, **options)
        run_on_mesh(index, features, batches, step, out, mesh)
    used = nodes != PAD
    ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return sp.csr_matrix((scores[used], nodes[used], ends), (len(features), n_nodes))


def count_results(index: SearchIndex, config: SearchConfig) -> int:
    """Returns the number of labels that a document can get; warns if the beam leaves fewer than wanted."""
    beam = config.choose_beam(index.has_copies)
    most = index.count_results(beam)
    if most < min(config.top_k, index.n_labels):
        warnings.warn(
            f"top_k={config.top_k} given, beam={beam} finds at most {most} labels per document; "
            "a wider beam gives more",
            FewResultsWarning,
            stacklevel=4,
        )
    return most


def check_complete(index: SearchIndex) -> None:
    """Checks that an index reaches down to the labels.

    Raises:
        InputError: it has fewer levels than the tree.
    """
    if not index.is_complete:
        raise InputError(
            f"a model with {len(index.levels)} of {index.n_levels} levels given, all needed to "
            "predict labels; finish training"
        )


def _count_slots(features: Features) -> np.ndarray:
    return np.diff(features.sparse.indptr)
