"""One level's training: who trains which cluster, then the problems of all its nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, at_level
from xmc_jax.matcher import choose_pairs
from xmc_jax.model import XRModel
from xmc_jax.ranker import LevelWeights, Penalty, SolveSettings, pose_level, solve_level
from xmc_jax.types import Features


def train_level(
    model: XRModel,
    features: Features,
    labels: sp.csr_matrix,
    config: LinearConfig,
    *,
    positives: sp.csr_matrix | None = None,
    matched: sp.csr_matrix | None = None,
    user: sp.csr_matrix | None = None,
    relevance: sp.csr_matrix | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> LevelWeights:
    """Trains the level after those that the model has.

    Args:
        model: the tree and the levels above.
        features: of N instances.
        labels: [N, nodes of the level], the level's positives.
        config: all settings.
        positives, matched, user: [N, C] over the clusters above, for tfn, man and usn negatives.
        relevance: [N, nodes] or None.
        advance: called with the number of nodes that are done.
    """
    level, ranker = len(model.levels), config.ranker
    kind = at_level(ranker.negatives, level)
    mask = choose_pairs(
        kind, level, features.n_rows, positives=positives, matched=matched, user=user
    )
    problem = pose_level(
        features,
        mask,
        labels,
        np.asarray(model.tree.parent(level)),
        model.tree.children_offsets(level),
        relevance,
    )
    # Solving takes long and needs the problem only.
    del mask, labels, positives, matched, user, relevance
    penalty = Penalty(
        ranker.loss,
        at_level(ranker.cost_positive, level),
        at_level(ranker.cost_negative, level),
        ranker.bias,
    )
    settings = SolveSettings(
        tolerance=ranker.tolerance,
        max_epochs=ranker.max_epochs,
        threshold=at_level(ranker.threshold, level),
        max_nonzeros=ranker.max_nonzeros,
        formulation=at_level(ranker.formulation, level),
        seed=config.seed + level,
    )
    return solve_level(problem, penalty, settings, advance=advance)
