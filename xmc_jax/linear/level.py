"""One level's training: who trains which cluster, then the problems of all its nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, RankerConfig, TransformerConfig, at_level
from xmc_jax.disentangle import find_pairs, keep_entries
from xmc_jax.matcher import choose_pairs
from xmc_jax.memory import find_budget, leave, release_memory
from xmc_jax.model import LabelTree, LevelWeights, XRModel
from xmc_jax.parallel import make_mesh, run_together
from xmc_jax.ranker import (
    Choice,
    LevelProblem,
    Penalty,
    SolveSettings,
    pose_level,
    solve_level,
)
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
    held: int = 0,
    start: LevelWeights | None = None,
    advance: Callable[[int], None] = lambda n: None,
    tell: Callable[[Choice], None] = lambda choice: None,
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
        held: bytes that the caller holds beside features and model.
        start: weights of the same nodes near those that are sought, or None.
        advance: called with the number of nodes that are done.
        tell: called with the solvers that were chosen, and why.

    Raises:
        RunError: `config.memory` is too little for the level; says how much it needs.
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
    problem = _pose_nodes(model.tree, level, features, labels, mask, relevance)
    # Solving takes long and needs the problem only.
    del positives, matched, user, true_labels, labels, mask, relevance
    held += sum(weights.n_bytes for weights in model.levels)
    return _solve_problem(problem, level, ranker, config, held, start, advance, tell)


def solve_nodes(
    tree: LabelTree,
    level: int,
    features: Features,
    labels: sp.csr_matrix,
    mask: sp.csr_matrix,
    ranker: RankerConfig,
    config: LinearConfig | TransformerConfig,
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
        config: of the model: its seed, memory and devices.
        relevance: [N, nodes] or None.
        advance: called with the number of nodes that are done.

    Raises:
        RunError: `config.memory` is too little; says how much is needed.
    """
    problem = _pose_nodes(tree, level, features, labels, mask, relevance)
    return _solve_problem(problem, level, ranker, config, advance=advance)


def _pose_nodes(
    tree: LabelTree,
    level: int,
    features: Features,
    labels: sp.csr_matrix,
    mask: sp.csr_matrix,
    relevance: sp.csr_matrix | None,
) -> LevelProblem:
    parent, offsets = np.asarray(tree.parent(level)), tree.children_offsets(level)
    return pose_level(features, mask, labels, parent, offsets, relevance)


def _solve_problem(
    problem: LevelProblem,
    level: int,
    ranker: RankerConfig,
    config: LinearConfig | TransformerConfig,
    held: int = 0,
    start: LevelWeights | None = None,
    advance: Callable[[int], None] = lambda n: None,
    tell: Callable[[Choice], None] = lambda choice: None,
) -> LevelWeights:
    """Solves a level with these settings of its ranker, beside what is held, with the model's seed, memory, devices."""
    memory = run_together(lambda: _leave_for_level(problem, level, ranker, held, config.memory))
    release_memory()
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
        memory=memory,
        mesh=make_mesh(config.parallel),
    )
    return solve_level(problem, penalty, settings, start=start, advance=advance, tell=tell)


def _leave_for_level(
    problem: LevelProblem, level: int, ranker: RankerConfig, held: int, memory: str
) -> int:
    """Returns the bytes that the solution of a level may take beside what is in memory already.

    The weights that come out are counted at half an entry for each feature of a node's own documents (measured, with a
    threshold above 0), or `max_nonzeros` of each node.
    """
    arrays = [problem.row_instance, problem.row_masked, problem.positive_row, problem.positive_node]
    features = problem.features
    held += sum(a.nbytes for a in arrays) + features.dense.nbytes
    held += features.sparse.data.nbytes + features.sparse.indices.nbytes
    a_row = features.sparse.nnz / max(1, features.n_rows)
    entries = len(problem.positive_row) * a_row * 0.5
    if ranker.max_nonzeros:
        entries = min(entries, int(problem.child_offsets[-1]) * ranker.max_nonzeros)
    return leave(find_budget(memory), held + round(20 * entries), f"level {level}")
