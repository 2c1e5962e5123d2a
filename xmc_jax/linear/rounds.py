"""Rounds of disentangling: match, assign labels to clusters, train again.

A round has a folder of its own in the run's, `round_01/` …, with the training documents' beams, its tree and the
levels that it trains. Beams and tree are committed when they are done, the tree with what it gained; the levels above
those that it trains stay where they are.

A matcher finds the clusters of documents that it was trained on nearly always, which says little of where new documents
are routed. So the documents are dealt into folds, and the beams of a fold are those of a matcher trained on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmc_jax import run as checkpoint
from xmc_jax.config import DisentangleConfig, LinearConfig
from xmc_jax.disentangle import Disentangled, disentangle, route_positives
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, LevelWeights, XRModel, labels_at
from xmc_jax.predict import matched_clusters
from xmc_jax.run.folder import append_metrics
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class Round:
    """What is trained in a round.

    Attributes:
        number: 1 for the first.
        tree: with the new edges.
        folder: of the round, or None.
        kept: weights of the upper levels that are not trained again.
        before: weights of all levels before the round, near which the upper levels end again; empty for a fold, which
            must not know what its documents were.
        routed: CSR [N, E], the copies of its labels that each document is a positive of; None: all of them.
        fold: 1 … if only the matcher is trained, on the documents of the other folds.
        rows: those documents; None: all.
    """

    number: int
    tree: LabelTree
    folder: Path | None
    kept: tuple[LevelWeights, ...]
    before: tuple[LevelWeights, ...]
    routed: sp.csr_matrix | None
    fold: int = 0
    rows: np.ndarray | None = None

    @property
    def n_levels(self) -> int:
        """Levels that the model has in the end."""
        return self.tree.n_levels - 1 if self.fold else self.tree.n_levels

    @property
    def name(self) -> str:
        return f"round {self.number}" + (f", fold {self.fold}" if self.fold else "")

    def find_start(self, level: int) -> LevelWeights | None:
        """Returns weights of the level's nodes to start from; the last level has other nodes than before."""
        return self.before[level] if level < len(self.before) - 1 else None

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
        matched = None if at is None else load_beams(at)
        if matched is None:
            matched = _match(config, model, features, number, retrain, progress)
            if at is not None:
                _save_beams(at, matched)
        if at is not None and checkpoint.is_committed(at / "tree"):
            tree, _, note = checkpoint.load_tree(at)
        else:
            tree, note = _assign(config, model, labels, matched, number, folder, progress)
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
) -> sp.csr_matrix:
    """Returns the clusters in the beams of the training documents [N, C], searched fold by fold."""
    n, beam = len(features), config.search.choose_beam()
    folds = min(config.disentangle.folds, n)
    if folds < 2:
        progress.start(f"round {number}, beams", n)
        matched = matched_clusters(_cut(model), features, beam)
        progress.finish("")
        return matched
    fold = np.random.default_rng([config.seed, number]).permutation(n) % folds
    parts = []
    for held_out in range(folds):
        rows = np.flatnonzero(fold != held_out)
        upper = retrain(Round(number, model.tree, None, (), (), None, fold=held_out + 1, rows=rows))
        parts.append(matched_clusters(upper, features[np.flatnonzero(fold == held_out)], beam))
    order = np.argsort(np.argsort(fold, kind="stable"))
    return sp.vstack(parts, format="csr")[order]


def _cut(model: XRModel) -> XRModel:
    """Returns the matcher: the model without its last level."""
    return XRModel(
        model.tree, model.levels[:-1], model.post_processors, model.n_sparse, model.n_dense
    )


def _save_beams(folder: Path, matched: sp.csr_matrix) -> None:
    arrays = {
        "found": np.diff(matched.indptr).astype(np.int32),
        "nodes": matched.indices.astype(np.int32),
        "scores": matched.data,
    }
    checkpoint.save_arrays(folder / "beams", arrays, {"n_clusters": matched.shape[1]})


def load_beams(folder: Path) -> sp.csr_matrix | None:
    """Returns the beams of a round, or None if they are not complete."""
    if not checkpoint.is_committed(folder / "beams"):
        return None
    arrays, note = checkpoint.load_arrays(folder / "beams")
    ends = np.append(0, np.cumsum(arrays["found"], dtype=np.int64))
    shape = (len(arrays["found"]), note["n_clusters"])
    return sp.csr_matrix((arrays["scores"], arrays["nodes"], ends), shape)


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
    stop = gain <= settings.least_gain * found.before.objective
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
