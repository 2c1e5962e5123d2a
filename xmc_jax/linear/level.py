"""Training of one level: chooses the documents of each cluster, then solves the problems of all nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import RankerConfig, at_level
from xmc_jax.disentangle import find_pairs, keep_entries
from xmc_jax.linear.rounds import Round
from xmc_jax.linear.training import Training
from xmc_jax.matcher import choose_pairs
from xmc_jax.memory import leave, release_memory
from xmc_jax.model import (
    MOST_WHOLE,
    LabelTree,
    LevelShare,
    LevelWeights,
    XRModel,
    edges_at,
    labels_at,
)
from xmc_jax.parallel import Machine, Rows, run_together
from xmc_jax.predict import find_line, lay_out, match_spread, matched_clusters
from xmc_jax.ranker import (
    Choice,
    LevelProblem,
    Penalty,
    SolveSettings,
    pose_level,
    solve_level,
    solve_share,
    take_census,
)
from xmc_jax.types import Features, Progress


def train_level(
    training: Training,
    model: XRModel,
    features: Features,
    relevance: sp.csr_matrix | None,
    user: sp.csr_matrix | None,
    plan: Round | None,
    progress: Progress,
    chosen: list[Choice],
) -> LevelWeights | LevelShare:
    """Trains the next level of a model.

    Args:
        training: settings and labels of N documents.
        model: the tree and the levels above.
        features: features of the documents.
        relevance: [N, nodes] or None.
        user: [N, C], the user's own negatives, or None.
        plan: the round of disentangling that the level is trained in, whose positives are used, or None.
        progress: told about its nodes.
        chosen: list that receives the choice of solvers.

    Raises:
        RunError: the level does not fit into memory; the message says how much it needs.
    """
    config, tree, level = training.config, model.tree, len(model.levels)
    labels = training.labels
    progress.start(
        f"{plan.name}, level {level}" if plan else f"level {level}", tree.level_sizes[level]
    )
    rows = training.rows
    is_shared = rows is not None and tree.level_sizes[level] > MOST_WHOLE
    solve: Callable[..., Any] = solve_level
    if is_shared:
        solve = solve_share
    elif plan:
        solve = partial(solve_level, start=partial(plan.find_start, level))
    # The arguments of the problem are freed before it is solved, which takes long.
    weights = solve(
        *prepare_nodes(
            tree.parent(level),
            tree.children_offsets(level),
            level,
            features,
            _sum_positives(tree, level, labels, plan),
            choose_rows(training, model, features, labels, user, plan),
            config.ranker,
            config.seed,
            training.machine,
            true_labels=plan.find_true_labels(level, labels) if plan else None,
            relevance=relevance,
            held=training.count_held() + sum(weights.n_bytes for weights in model.levels),
            rows=rows,
        ),
        advance=progress.advance,
        tell=chosen.append,
    )
    release_memory()
    progress.finish(f"{weights.n_entries:,} weights; {chosen[-1].describe()}")
    return weights


def choose_rows(
    training: Training,
    model: XRModel,
    features: Features,
    labels: sp.csr_matrix,
    user: sp.csr_matrix | None,
    plan: Round | None,
) -> sp.csr_matrix:
    """Returns the documents that train each cluster above the model's next level, CSR [N, C] of ones.

    Args:
        training: settings, and the documents of each process.
        model: the tree and the levels above.
        features: features of the N documents.
        labels: [N, L].
        user, plan: as in `train_level`.
    """
    level = len(model.levels)
    kind = at_level(training.config.ranker.negatives, level)
    return choose_pairs(
        kind,
        level,
        features.n_rows,
        positives=_sum_positives(model.tree, level - 1, labels, plan) if level else None,
        matched=_match(training, model, features) if level and "man" in kind.split("+") else None,
        user=user,
    )


def _sum_positives(
    tree: LabelTree, level: int, labels: sp.csr_matrix, plan: Round | None
) -> sp.csr_matrix:
    """Returns the positives of a level's nodes [N, nodes], routed to copies if the round routes them."""
    if plan is None or plan.routed is None:
        return labels_at(tree, level, labels)
    return edges_at(tree, level, plan.routed)


def _match(training: Training, model: XRModel, features: Features) -> sp.csr_matrix:
    beam = training.config.search.choose_beam()
    if training.rows is not None:
        return match_spread(model, features, beam, find_line())
    # A separate index that is dropped here, since the model's own would be kept while the level is solved.
    mesh = training.machine.own_mesh
    return matched_clusters(lay_out(model, mesh), features, beam, mesh=mesh)


def prepare_nodes(
    parent: np.ndarray,
    offsets: np.ndarray,
    level: int,
    features: Features,
    labels: sp.csr_matrix,
    mask: sp.csr_matrix,
    ranker: RankerConfig,
    seed: int,
    machine: Machine,
    *,
    true_labels: sp.csr_matrix | None = None,
    relevance: sp.csr_matrix | None = None,
    held: int = 0,
    rows: Rows | None = None,
) -> tuple[LevelProblem, Penalty, SolveSettings]:
    """Returns the problems of a level's nodes, with penalty and settings, as `solve_level` takes them.

    Args:
        parent: int32 [nodes], the cluster of each node, ascending.
        offsets: int32 [C + 1], where the nodes of each cluster begin.
        level: number of the level to which the nodes, all or some, belong.
        features: features of N instances.
        labels: [N, nodes], the positives.
        mask: [N, C], the instances that train the children of each cluster.
        ranker: settings, which may differ by level.
        seed: seed of the model.
        machine: devices and memory.
        true_labels: [N, nodes] if `labels` leaves some positives out (documents routed to other copies of a label): a
            document that trains a cluster for another reason is still a positive of it, never a negative.
        relevance: [N, nodes] or None.
        held: bytes that the caller holds beside the features.
        rows: the documents of each process if several processes have a part each; None if these are all.

    Raises:
        RunError: the level does not fit into memory; the message says how much it needs.
    """
    if true_labels is not None:
        labels = labels + keep_entries(true_labels, find_pairs(true_labels, parent, mask))
        labels.sort_indices()
    problem = pose_level(features, mask, labels, parent, offsets, relevance)
    if rows is not None:
        problem = take_census(problem, rows)
    memory = run_together(lambda: _leave_for_level(problem, level, ranker, held, machine.memory))
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
        seed=seed + level,
        memory=memory,
        mesh=machine.mesh,
    )
    return problem, penalty, settings


def _leave_for_level(
    problem: LevelProblem, level: int, ranker: RankerConfig, held: int, budget: int
) -> int:
    """Returns the bytes that solving a level may take beside what is already in memory.

    The resulting weights are counted as half an entry per feature of a node's own documents (measured, with a threshold
    above 0), or as `max_nonzeros` per node.
    """
    arrays = [problem.row_instance, problem.row_masked, problem.positive_row, problem.positive_node]
    features = problem.features
    held += sum(a.nbytes for a in arrays) + features.dense.nbytes
    held += features.sparse.data.nbytes + features.sparse.indices.nbytes
    a_row = features.sparse.nnz / max(1, features.n_rows)
    entries = len(problem.positive_row) * a_row * 0.5
    if ranker.max_nonzeros:
        entries = min(entries, int(problem.child_offsets[-1]) * ranker.max_nonzeros)
    return leave(budget, held + round(20 * entries), f"level {level}")
