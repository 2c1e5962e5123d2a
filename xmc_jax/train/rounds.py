"""Rounds of disentangling: match, assign labels to clusters, train again.

A round has a folder of its own in the run's, `round_01/` …, with its tree and the levels that it trains. Its tree is
committed once the assignment is done, with what it gained; the levels above those that it trains stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmc_jax import checkpoint
from xmc_jax.config import DisentangleConfig, LinearConfig
from xmc_jax.disentangle import Disentangled, disentangle, route_positives
from xmc_jax.errors import InputError
from xmc_jax.model import XRModel
from xmc_jax.predict import matched_clusters
from xmc_jax.ranker import LevelWeights
from xmc_jax.train.run import append_metrics
from xmc_jax.tree import LabelTree, labels_at
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class Round:
    """What is trained in a round.

    Attributes:
        number: 1 for the first.
        tree: with the new edges.
        folder: of the round, or None.
        kept: weights of the upper levels that are not trained again.
        routed: CSR [N, E], the copies of its labels that each document is a positive of; None: all of them.
    """

    number: int
    tree: LabelTree
    folder: Path | None
    kept: tuple[LevelWeights, ...]
    routed: sp.csr_matrix | None

    def find_true_labels(self, level: int, labels: sp.csr_matrix) -> sp.csr_matrix | None:
        """Returns all copies of the documents' labels [N, E] for the last level, if only some are positives."""
        if self.routed is None or level < self.tree.n_levels - 1:
            return None
        return labels_at(self.tree, level, labels)


def check_overlap(tree: LabelTree, config: DisentangleConfig) -> None:
    """Refuses a tree that labels cannot be moved in, before its levels are trained.

    Raises:
        InputError: it has one level, or labels under more clusters than `copies`.
    """
    if config.copies == 1 or config.rounds == 0:
        return
    if tree.n_levels < 2:
        raise InputError(
            f"disentangle.copies={config.copies} given for a tree of one level, which has no clusters; "
            "set tree.max_leaf_size below the number of labels, or disentangle.copies=1"
        )
    most = int(tree.copies_per_label.max())
    if most > config.copies:
        raise InputError(
            f"disentangle.copies={config.copies} given for a tree with a label under {most} clusters; "
            f"{most} or more needed"
        )


def run_rounds(
    config: LinearConfig,
    model: XRModel,
    features: Features,
    labels: sp.csr_matrix,
    folder: Path | None,
    retrain: Callable[[Round], XRModel],
    progress: Progress,
) -> XRModel:
    """Disentangles the labels of a trained model; returns it as it is if the settings ask for one copy.

    Args:
        config: all settings.
        model: trained.
        features: of the N training documents.
        labels: [N, L].
        folder: of the run, or None.
        retrain: trains the levels of a round.
        progress: told about the work.
    """
    settings = config.disentangle
    if settings.copies == 1:
        return model
    for number in range(1, settings.rounds + 1):
        at = None if folder is None else checkpoint.round_folder(folder, number)
        matched = None
        if at is not None and checkpoint.is_committed(at / "tree"):
            tree, _, note = checkpoint.load_tree(at)
        else:
            matched = _match(model, features, config, number, progress)
            tree, note = _assign(config, model, labels, matched, number, folder, progress)
        if note["stop"]:
            break
        routed = None
        if settings.positives == "routed":
            if matched is None:
                matched = _match(model, features, config, number, progress)
            routed = route_positives(labels, matched, tree)
        model = retrain(Round(number, tree, at, model.levels[: note["first_level"]], routed))
    return model


def _match(
    model: XRModel, features: Features, config: LinearConfig, number: int, progress: Progress
) -> sp.csr_matrix:
    """Returns the clusters in the beams of the training documents [N, C]."""
    progress.start(f"round {number}, beams", len(features))
    upper = XRModel(
        model.tree, model.levels[:-1], model.post_processors, model.n_sparse, model.n_dense
    )
    matched = matched_clusters(upper, features, config.search.beam)
    progress.finish("")
    return matched


def _assign(
    config: LinearConfig,
    model: XRModel,
    labels: sp.csr_matrix,
    matched: sp.csr_matrix,
    number: int,
    folder: Path | None,
    progress: Progress,
) -> tuple[LabelTree, dict]:
    """Returns the round's tree and its note, committed."""
    settings = config.disentangle
    progress.start(f"round {number}, assignment", labels.shape[1])
    found = disentangle(
        labels, matched, model.tree, copies=settings.copies, capacity=settings.capacity
    )
    gain = found.after.objective - found.before.objective
    stop = gain <= settings.tolerance * found.before.objective
    note = {
        "round": number,
        "stop": stop,
        "first_level": 0 if settings.retrain == "all" else model.tree.n_levels - 1,
        "before": found.before._asdict(),
        "after": found.after._asdict(),
    }
    if folder is not None:
        counts = np.bincount(labels.indices, minlength=labels.shape[1])
        checkpoint.save_tree(checkpoint.round_folder(folder, number), found.tree, counts, note)
        append_metrics(folder, {"stage": "disentangle"} | note)
    progress.finish(_summarize(found) + ("; the gain is too small, done" if stop else ""))
    return found.tree, note


def _summarize(found: Disentangled) -> str:
    before, after = found.before, found.after
    return (
        f"objective {before.objective:,} -> {after.objective:,}, {100 * after.gap:.1f} % below the "
        f"optimum; positives in reach {100 * before.reached:.1f} -> {100 * after.reached:.1f} %; "
        f"{after.edges:,} edges, {after.largest:,} in the fullest cluster"
    )
