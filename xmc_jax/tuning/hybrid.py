"""The columns that the final levels score: sparse features beside the encoder's vectors, which stay dense."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.features import normalize_rows
from xmc_jax.model import Head, LabelTree, LevelWeights, build_weights
from xmc_jax.types import Features


def join_features(
    sparse: sp.csr_matrix, vectors: Float[np.ndarray, "N H"], scale: float = 0.0
) -> Features:
    """Returns [features | vectors]; each vector is scaled to norm 1, or all are divided by `scale` if it is above 0."""
    dense = vectors / np.float32(scale) if scale else normalize_rows(vectors)
    return Features(sparse, np.ascontiguousarray(dense, np.float32))


def hold_vectors(vectors: Float[np.ndarray, "N H"]) -> Features:
    """Returns unchanged vectors as features without sparse columns."""
    return Features(sp.csr_matrix((len(vectors), 0), dtype=np.float32), vectors)


def measure_scale(vectors: Float[np.ndarray, "N H"]) -> float:
    """Returns the mean norm of vectors, by which they can be divided to have mean norm 1."""
    return float(np.linalg.norm(vectors, axis=1).mean()) or 1.0


def to_level(head: Head, tree: LabelTree, level: int, scale: float = 1.0) -> LevelWeights:
    """Returns a head as the weights of a level that scores vectors divided by `scale`."""
    none = np.zeros(0, np.int64)
    return build_weights(
        tree.children_offsets(level),
        none,
        none,
        none,
        none.astype(np.float32),
        np.asarray(head.bias),
        np.asarray(head.weights) * np.float32(scale),
    )


def to_head(weights: LevelWeights) -> Head:
    """Returns the dense part of a level as a head."""
    return Head(np.asarray(weights.dense), np.asarray(weights.bias))
