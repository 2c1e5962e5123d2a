"""Carries a beam down by one level."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from xmc_jax.config import PostProcessorName
from xmc_jax.errors import InputError
from xmc_jax.matcher import Beam, SearchLevel, build_level, score_beam, select_beam
from xmc_jax.model import LevelWeights
from xmc_jax.parallel import Target
from xmc_jax.predict.batches import Batch, pack_batch, plan_batches, run_parallel
from xmc_jax.types import PAD, Features

_FLOATS = 2**24  # candidates of a batch


def extend_matches(
    weights: LevelWeights,
    kind: PostProcessorName,
    features: Features,
    above: sp.csr_matrix | None,
    beam: int,
    *,
    mesh: Mesh | None = None,
) -> sp.csr_matrix:
    """Returns the best children of the clusters that each document has, and their scores.

    Levels may score different features; each is given those it was trained on.

    Args:
        weights: weights of the level.
        kind: its post-processor.
        features: [N], of the kind that the level was trained on.
        above: [N, C], scores of clusters; stored entries count, also zeros. None for the root.
        beam: largest number of nodes per document.
        mesh: devices whose kind decides the size of batches; None for the default device.

    Returns:
        float32 CSR [N, nodes] with sorted indices; a score of 0 is stored.

    Raises:
        InputError: `above` does not have a row per document and a column per cluster of the level.
    """
    first, n = above is None, len(features)
    if above is None:
        above = sp.csr_matrix(np.ones((n, 1), np.float32))
    if above.shape != (n, weights.n_clusters):
        raise InputError(f"clusters of shape {above.shape} given, {(n, weights.n_clusters)} needed")
    stored: dict[str, Any] = {f.name: np.asarray(getattr(weights, f.name)) for f in fields(weights)}
    target = Target.of(mesh)
    level = build_level(**stored, n_sparse=features.n_sparse, target=target)
    width = max(1, int(np.diff(above.indptr).max(initial=0)))
    slots = min(beam, width * level.max_children, level.n_nodes)
    nodes, scores = np.full((n, slots), PAD, np.int32), np.zeros((n, slots), np.float32)

    def run(batch: Batch) -> None:
        extra = ((0, batch.size - len(batch.rows)), (0, 0))
        mine = _pad_clusters(above[batch.rows], width)
        clusters, score = (
            np.pad(a, extra, constant_values=v) for a, v in zip(mine, (PAD, -np.inf), strict=True)
        )
        found = _extend(
            level,
            *pack_batch(features, batch),
            clusters,
            score,
            kind=kind,
            first=first,
            slots=slots,
        )
        for out, one in zip((nodes, scores), found, strict=True):
            out[batch.rows] = np.asarray(one)[: len(batch.rows)]

    limit = max(1, _FLOATS // (width * level.max_children))
    run_parallel(run, plan_batches(np.diff(features.sparse.indptr), limit, target), target)
    used = nodes != PAD
    ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return sp.csr_matrix((scores[used], nodes[used], ends), (n, level.n_nodes))


@partial(jax.jit, static_argnames=("kind", "first", "slots"))
def _extend(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    clusters: Int[Array, "B W"],
    score: Float[Array, "B W"],
    *,
    kind: PostProcessorName,
    first: bool,
    slots: int,
) -> tuple[Int[Array, "B S"], Float[Array, "B S"]]:
    beam = Beam(clusters, score)
    scores = score_beam(level, kind, ids, values, dense, beam, first=first)
    found = select_beam(level, beam, scores, slots)
    return found.node, found.score


def _pad_clusters(matrix: sp.csr_matrix, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the stored clusters of each row and their scores, [B, W]."""
    counts = np.diff(matrix.indptr)
    used = np.arange(width)[None, :] < counts[:, None]
    clusters = np.full(used.shape, PAD, np.int32)
    scores = np.full(used.shape, -np.inf, np.float32)
    clusters[used], scores[used] = matrix.indices, matrix.data
    return clusters, scores
