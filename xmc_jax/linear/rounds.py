"""Rounds of disentangling: match, assign labels to clusters, train again.

A round is a part of the run with parts of its own: the beams of the training documents, its tree with the measured
gain, and the levels that it trains; the levels above are not stored again.

A matcher nearly always finds the clusters of documents that it was trained on, which says little about the routing of
new documents. So the documents are dealt into folds, and the beams of a fold come from a matcher trained on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from xmc_jax.config import DisentangleConfig, LinearConfig
from xmc_jax.disentangle import Disentangled, disentangle, route_positives
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, LevelWeights, XRModel, labels_at
from xmc_jax.predict import matched_clusters
from xmc_jax.run import (
    Run,
    SavedTree,
    find_round,
    layout,
    load_arrays,
    load_tree,
    save_arrays,
    save_tree,
)
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class Round:
    """The training of one round.

    Attributes:
        number: 1 for the first.
        tree: the tree with the new edges.
        run: keeps its levels.
        kept: weights of the upper levels that are not trained again.
        before: weights of all levels before the round, near which the upper levels end again; empty for a fold, which
            must not know its held-out documents.
        routed: CSR [N, E], the copies of its labels for which each document is a positive; None for all copies.
        fold: number from 1 if only the matcher is trained, on the documents of the other folds.
        rows: those documents; None for all.
    """

    number: int
    tree: LabelTree
    run: Run
    kept: tuple[LevelWeights, ...]
    before: tuple[LevelWeights, ...]
    routed: sp.csr_matrix | None
    fold: int = 0
    rows: np.ndarray | None = None

    @property
    def n_levels(self) -> int:
        """Number of levels of the resulting model."""
        return self.tree.n_levels - 1 if self.fold else self.tree.n_levels

    @property
    def name(self) -> str:
        return f"round {self.number}" + (f", fold {self.fold}" if self.fold else "")

    def find_start(self, level: int) -> LevelWeights | None:
        """Returns weights of the level's nodes to start from; None for the last level, whose nodes have changed."""
        return self.before[level] if level < len(self.before) - 1 else None

    def find_true_labels(self, level: int, labels: sp.csr_matrix) -> sp.csr_matrix | None:
        """Returns all copies of the documents' labels [N, E] for the last level if only some are positives, else
        None."""
        if self.routed is None or level < self.tree.n_levels - 1:
            return None
        return labels_at(self.tree, level, labels)


def check_overlap(tree: LabelTree, config: DisentangleConfig) -> None:
    """Refuses a tree in which labels cannot be moved, before its levels are trained.

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
    run: Run,
    retrain: Callable[[Round], XRModel],
    progress: Progress,
    mesh: Mesh | None = None,
) -> XRModel:
    """Disentangles the labels of a trained model; returns it unchanged if the settings ask for one copy.

    Args:
        config: all settings.
        model: the trained model.
        features: features of the N training documents.
        labels: [N, L].
        run: keeps the rounds.
        retrain: trains the levels of a round.
        progress: told about the work.
        mesh: of the devices that share the search; None: the default device.
    """
    settings = config.disentangle
    if settings.copies == 1:
        return model
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    for number in range(1, settings.rounds + 1):
        at = find_round(run, number)
        match = partial(_match, config, model, features, number, retrain, progress, mesh)
        matched = at.once(layout.BEAMS, match, _save_beams, load_beams)
        is_new = not at.has(layout.TREE)
        tree, _, note = at.once(
            layout.TREE,
            partial(_assign, config, model, labels, matched, number, progress),
            lambda path, made: save_tree(path, made.tree, counts, made.note),
            load_tree,
        )
        if is_new:
            run.log({"stage": "disentangle"} | note)
        if note["stop"]:
            break
        routed = None
        if settings.positives == "routed":
            routed = route_positives(labels, matched, tree)
        model = retrain(
            Round(number, tree, at, model.levels[: note["first_level"]], model.levels, routed)
        )
    return model


def _match(
    config: LinearConfig,
    model: XRModel,
    features: Features,
    number: int,
    retrain: Callable[[Round], XRModel],
    progress: Progress,
    mesh: Mesh | None,
) -> sp.csr_matrix:
    """Returns the clusters in the beams of the training documents [N, C], searched fold by fold."""
    n, beam = len(features), config.search.choose_beam()
    folds = min(config.disentangle.folds, n)
    if folds < 2:
        progress.start(f"round {number}, beams", n)
        matched = matched_clusters(model.cut(-1), features, beam, mesh=mesh)
        progress.finish("")
        return matched
    fold = np.random.default_rng([config.seed, number]).permutation(n) % folds
    parts = []
    for held_out in range(folds):
        rows = np.flatnonzero(fold != held_out)
        upper = retrain(
            Round(number, model.tree, Run(), (), (), None, fold=held_out + 1, rows=rows)
        )
        held = features[np.flatnonzero(fold == held_out)]
        parts.append(matched_clusters(upper, held, beam, mesh=mesh))
    order = np.argsort(np.argsort(fold, kind="stable"))
    return sp.vstack(parts, format="csr")[order]


def _save_beams(path: Path, matched: sp.csr_matrix) -> None:
    arrays = {
        "found": np.diff(matched.indptr).astype(np.int32),
        "nodes": matched.indices.astype(np.int32),
        "scores": matched.data,
    }
    save_arrays(path, arrays, {"n_clusters": matched.shape[1]})


def load_beams(path: Path) -> sp.csr_matrix:
    """Returns the beams of a round."""
    arrays, note = load_arrays(path)
    ends = np.append(0, np.cumsum(arrays["found"], dtype=np.int64))
    shape = (len(arrays["found"]), note["n_clusters"])
    return sp.csr_matrix((arrays["scores"], arrays["nodes"], ends), shape)


def _assign(
    config: LinearConfig,
    model: XRModel,
    labels: sp.csr_matrix,
    matched: sp.csr_matrix,
    number: int,
    progress: Progress,
) -> SavedTree:
    """Returns the round's tree and its note."""
    settings = config.disentangle
    progress.start(f"round {number}, assignment", labels.shape[1])
    found = disentangle(
        labels, matched, model.tree, copies=settings.copies, capacity=settings.capacity
    )
    gain = found.after.objective - found.before.objective
    stop = gain <= settings.least_gain * found.before.objective
    note = {
        "round": number,
        "stop": stop,
        "first_level": 0 if settings.retrain == "all" else model.tree.n_levels - 1,
        "before": found.before._asdict(),
        "after": found.after._asdict(),
    }
    progress.finish(_summarize(found) + ("; the gain is too small, done" if stop else ""))
    return SavedTree(found.tree, np.zeros(0, np.int32), note)


def _summarize(found: Disentangled) -> str:
    before, after = found.before, found.after
    return (
        f"objective {before.objective:,} -> {after.objective:,}, {100 * after.gap:.1f} % below the "
        f"optimum; positives in reach {100 * before.reached:.1f} -> {100 * after.reached:.1f} %; "
        f"{after.edges:,} edges, {after.largest:,} in the fullest cluster"
    )
