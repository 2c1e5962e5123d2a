"""One level's training: who trains which cluster, then the problems of all its nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, RankerConfig, at_level
from xmc_jax.disentangle import find_pairs, keep_entries
from xmc_jax.matcher import choose_pairs
from xmc_jax.model import XRModel
from xmc_jax.ranker import LevelWeights, Penalty, SolveSettings, pose_level, solve_level
from xmc_jax.tree import LabelTree
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
    true_labels: sp.csr_matrix | None = None,
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
        true_labels: [N, nodes] if `labels` leaves some positives out (documents routed to other copies of a label): a
            document that trains a cluster for another reason is a positive of it all the same, never a negative.
        advance: called with the number of nodes that are done.
    """
    level, ranker = len(model.levels), config.ranker
    kind = at_level(ranker.negatives, level)
    mask = choose_pairs(
        kind, level, features.n_rows, positives=positives, matched=matched, user=user
    )
    if true_labels is not None:
        parent = np.asarray(model.tree.parent(level))
        labels = labels + keep_entries(true_labels, find_pairs(true_labels, parent, mask))
        labels.sort_indices()
    return solve_nodes(
        model.tree, level, features, labels, mask, ranker, config.seed, relevance, advance=advance
    )


def solve_nodes(
    tree: LabelTree,
    level: int,
    features: Features,
    labels: sp.csr_matrix,
    mask: sp.csr_matrix,
    ranker: RankerConfig,
    seed: int,
    relevance: sp.csr_matrix | None = None,
    *,
    advance: Callable[[int], None] = lambda n: None,
) -> LevelWeights:
    """Solves the problems of a level's nodes.

    Args:
        tree, level: whose nodes.
        features: of N instances.
        labels: [N, nodes], the positives.
        mask: [N, C], which instances train the children of which clusters.
        ranker: its settings, which may differ by level.
        seed: of the run.
        relevance: [N, nodes] or None.
        advance: called with the number of nodes that are done.
    """
    problem = pose_level(
        features,
        mask,
        labels,
        np.asarray(tree.parent(level)),
        tree.children_offsets(level),
        relevance,
    )
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
        seed=seed + level,
    )
    return solve_level(problem, penalty, settings, advance=advance)
