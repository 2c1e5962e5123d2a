"""Training from texts to the last level: features, tree, then one level after the other.

Every stage is committed to the run's folder as soon as it is done, and a stage that is there is read, not redone: a run
that was stopped goes on after its last complete level and ends with the same weights.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax import run as checkpoint
from xmc_jax.calibrate import Calibration
from xmc_jax.config import LinearConfig, at_level, to_dict
from xmc_jax.disentangle import route_positives
from xmc_jax.errors import InputError
from xmc_jax.features import Vectorizer, as_features, embed_labels, fit_transform, load_vectorizer
from xmc_jax.linear.forest import MemberProgress, check_forest, train_forest
from xmc_jax.linear.heldout import fit_to, rank_held_out
from xmc_jax.linear.level import train_level
from xmc_jax.linear.relevance import check_relevance, induce_relevance
from xmc_jax.linear.rounds import Round, check_overlap, run_rounds
from xmc_jax.matcher import propagate_pairs
from xmc_jax.memory import release_memory
from xmc_jax.model import LabelTree, LevelWeights, XRModel, edges_at, labels_at
from xmc_jax.parallel import agree_first, list_devices, run_first, run_together
from xmc_jax.predict import build_index, matched_clusters
from xmc_jax.ranker import Choice
from xmc_jax.run.folder import (
    append_metrics,
    close_run,
    fingerprint,
    list_levels,
    open_run,
    write_names,
)
from xmc_jax.run.restore import restore
from xmc_jax.tree import build_tree
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class Training:
    """What a run is trained on.

    Attributes:
        config: all settings.
        texts: N texts, or None if features are given.
        features: of N instances, or None if texts are given.
        labels: CSR [N, L].
        label_names: L names, or None.
        tree: of L labels, or None to cluster them.
        relevance: CSR [N, L] or None.
        negatives: user-supplied negatives by level, or None.
        label_features: [L, D'] or None.
    """

    config: LinearConfig
    texts: Any
    features: Features | None
    labels: sp.csr_matrix
    label_names: list[str] | None = None
    tree: LabelTree | None = None
    relevance: sp.csr_matrix | None = None
    negatives: Mapping[int, sp.spmatrix] | None = None
    label_features: Any = None


class Outcome(NamedTuple):
    """The trained model of each tree, what made features of the texts (None for the user's own features), and the maps
    to probabilities, if training documents were held out for them."""

    models: tuple[XRModel, ...]
    vectorizer: Vectorizer | None
    calibration: Calibration | None = None


def train(training: Training, workdir: str | os.PathLike | None, progress: Progress) -> Outcome:
    """Trains a model of one tree or several, or finishes the run that `workdir` holds.

    Args:
        training: settings and data.
        workdir: the run's folder; None keeps nothing.
        progress: told about each stage.

    Raises:
        InputError: bad data, or the folder holds another run.
    """
    check_sources(training)
    list_devices(
        training.config.parallel
    )  # a grid that does not fit is refused before anything runs
    folder = None if workdir is None else Path(workdir)
    if folder is not None:
        given = training.features
        data = fingerprint(training.texts, given, training.labels, list_extras(training))
        complete = open_run(folder, to_dict(training.config), data)
        write_names(folder, training.label_names)
        if complete:
            progress.start("run", 0)
            held = restore(folder)
            if held.calibration is not None or not training.config.calibrate.holds_out:
                progress.finish("complete already, nothing to do")
                return Outcome(held.models, held.vectorizer, held.calibration)
            progress.finish("complete but for probabilities")
        _tell_resumed(folder, progress)
    features, vectorizer = make_features(training, folder, progress)

    def train_one(config: LinearConfig, at: Path | None, told: Progress) -> XRModel:
        if at is not None and at != folder:
            _tell_resumed(at, told)
        return train_ranker(replace(training, config=config), features, at, told)

    models = train_forest(training.config, folder, train_one, progress)
    calibration = calibrate(training, models, features, folder, progress)
    if folder is not None:
        close_run(
            folder,
            models[0],
            n_train=training.labels.shape[0],
            from_text=vectorizer is not None,
            named_labels=training.label_names is not None,
        )
    return Outcome(models, vectorizer, calibration)


def train_ranker(
    training: Training,
    features: Features,
    folder: Path | None,
    progress: Progress,
    kept: tuple[LevelWeights, ...] = (),
) -> XRModel:
    """Returns tree and levels on these features; `kept` are levels from the top that were made elsewhere."""
    tree = make_tree(training, features, folder, progress)
    check_overlap(tree, training.config.disentangle)
    model = _train_levels(training, tree, features, folder, progress, kept=kept)

    def retrain(plan: Round) -> XRModel:
        part, x = training, features
        if plan.rows is not None:
            part, x = take_rows(training, plan.rows), features[plan.rows]
        return _train_levels(part, plan.tree, x, plan.folder, progress, plan)

    return run_rounds(training.config, model, features, training.labels, folder, retrain, progress)


def calibrate(
    training: Training,
    models: tuple[XRModel, ...],
    features: Features,
    folder: Path | None,
    progress: Progress,
) -> Calibration | None:
    """Returns the maps to probabilities that the settings ask for, fitted to training documents held out in turn."""
    config, labels = training.config, training.labels
    found = None if folder is None else checkpoint.load_calibration(folder)
    if found is not None or not config.calibrate.holds_out or len(features) < 2:
        return found

    def retrain(tree: LabelTree, rows: np.ndarray, name: str) -> XRModel:
        part, x, plan = take_rows(training, rows), features[rows], None
        if tree.has_copies and config.disentangle.positives == "routed":
            owner = next(model for model in models if model.tree is tree)
            above = replace(owner, levels=owner.levels[:-1])
            matched = matched_clusters(build_index(above), x, config.search.choose_beam())
            plan = Round(1, tree, None, (), (), route_positives(part.labels, matched, tree))
        return _train_levels(part, tree, x, None, MemberProgress(progress, name), plan)

    ranked, truth, _ = rank_held_out(config, models, features, labels, retrain, progress)
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    found = fit_to(ranked, truth, counts, config.calibrate.method)
    if folder is not None:
        checkpoint.save_calibration(folder, found)
    return found


def _tell_resumed(folder: Path, progress: Progress) -> None:
    """Says what an unfinished run has done; nothing for a new one."""
    if checkpoint.is_committed(folder / "tree"):
        n_levels = checkpoint.load_tree(folder)[0].n_levels
        progress.start("resumed", n_levels)
        done, newest = list_levels(folder, n_levels), checkpoint.find_parts(folder).round
        after = f" after round {newest} of disentangling" if newest else ""
        progress.finish(f"{sum(done)} of {n_levels} levels are complete{after}")


def list_extras(training: Training) -> list[np.ndarray]:
    """Returns the arrays beside features and labels that change the outcome."""
    extras = []
    if training.tree is not None:
        extras += [*training.tree.parents, training.tree.edge_label, training.tree.edge_cluster]
    negatives = (training.negatives or {}).values()
    for matrix in (training.relevance, training.label_features, *negatives):
        if sp.issparse(matrix):
            csr = sp.csr_matrix(matrix)
            extras += [csr.indptr, csr.indices, csr.data]
        elif matrix is not None:
            extras.append(np.asarray(matrix))
    return extras


def make_features(
    training: Training, folder: Path | None, progress: Progress
) -> tuple[Features, Vectorizer | None]:
    """Returns the features of the training set; a vectoriser that is on disk is used as it is."""
    if training.features is not None:
        return training.features, None
    n = len(training.texts)
    saved = folder / "vectorizer" if folder is not None else None
    progress.start("features", n)
    # Processes begin this at different times: the first says what is there.
    if saved is not None and agree_first((saved / "vectorizer.json").exists()):
        vectorizer = run_together(partial(load_vectorizer, saved))
        matrix = vectorizer.transform(training.texts)
    else:
        vectorizer, matrix = fit_transform(training.texts, training.config.features)
        if saved is not None:
            run_first(partial(vectorizer.save, saved))
    progress.finish(f"{matrix.shape[1]:,} features, {matrix.nnz / max(n, 1):.1f} a document")
    return as_features(matrix), vectorizer


def make_tree(
    training: Training, features: Features, folder: Path | None, progress: Progress
) -> LabelTree:
    """Returns the tree on disk, the user's, or a new one."""
    if folder is not None and checkpoint.is_committed(folder / "tree"):
        return checkpoint.load_tree(folder)[0]
    labels, config = training.labels, training.config
    progress.start("tree", labels.shape[1])
    tree = training.tree
    if tree is None:
        embeddings: Any = sp.csr_matrix((labels.shape[1], 1), dtype=np.float32)
        if config.tree.kind != "flat" and labels.shape[1] > config.tree.max_leaf_size:
            embeddings = embed_labels(
                features,
                labels,
                config=config.tree,
                seed=config.seed,
                label_features=training.label_features,
            )
        tree = build_tree(embeddings, config.tree, config.seed)
    if folder is not None:
        counts = np.bincount(labels.indices, minlength=labels.shape[1])
        checkpoint.save_tree(folder, tree, counts, {})
    release_memory()
    progress.finish(" - ".join(f"{n:,}" for n in tree.level_sizes))
    return tree


def _train_levels(
    training: Training,
    tree: LabelTree,
    features: Features,
    folder: Path | None,
    progress: Progress,
    plan: Round | None = None,
    kept: tuple[LevelWeights, ...] = (),
) -> XRModel:
    """Trains level after level; each needs those above for its matcher-aware negatives.

    In a round of disentangling (`plan`) the levels that it keeps are not trained, and its positives are trained on.
    """
    config, labels = training.config, training.labels
    ranker = config.ranker
    n_levels = tree.n_levels if plan is None else plan.n_levels
    relevance = induce_relevance(
        tree, labels, training.relevance, ranker.relevance, ranker.relevance_norm
    )
    user = None
    if training.negatives is not None:
        user = propagate_pairs(tree, training.negatives, labels.shape[0])
    post = tuple(at_level(config.search.post_processor, t) for t in range(tree.n_levels))
    levels = list(kept) if plan is None else list(plan.kept)
    for t in range(len(levels), n_levels):
        at = None if folder is None else checkpoint.level_folder(folder, t)
        if folder is not None and at is not None and checkpoint.is_committed(at):
            levels.append(checkpoint.load_level(folder, t)[0])
            continue
        began, chosen = time.monotonic(), list[Choice]()
        stage = f"level {t}" if plan is None else f"{plan.name}, level {t}"
        progress.start(stage, tree.level_sizes[t])
        model = XRModel(tree, tuple(levels), post, features.n_sparse, features.n_dense)
        kind = at_level(ranker.negatives, t)
        weights = train_level(
            model,
            features,
            _sum_positives(tree, t, labels, plan),
            config,
            positives=_sum_positives(tree, t - 1, labels, plan) if t else None,
            matched=_match(model, features, config) if t and "man" in kind.split("+") else None,
            user=None if user is None else user[t],
            relevance=relevance[t],
            true_labels=None if plan is None else plan.find_true_labels(t, labels),
            held=_count_held(training),
            start=None if plan is None else plan.find_start(t),
            advance=progress.advance,
            tell=chosen.append,
        )
        note = {"stage": "level", "level": t, "weights": weights.n_entries}
        if plan is not None:
            note["round"] = plan.number
        if folder is not None:
            checkpoint.save_level(folder, t, weights, note)
            told = {"seconds": round(time.monotonic() - began, 3), "solver": chosen[0].note()}
            append_metrics(folder, note | told)
        release_memory()
        levels.append(weights)
        progress.finish(f"{weights.n_entries:,} weights; {chosen[0].describe()}")
    return XRModel(tree, tuple(levels), post, features.n_sparse, features.n_dense)


def _count_held(training: Training) -> int:
    """Returns the bytes of texts, labels and names, which stay in memory while levels are trained."""
    texts = 0 if training.texts is None else training.texts.nbytes
    names = 100 * len(training.label_names or ())
    return texts + names + 8 * training.labels.nnz + 8 * training.labels.shape[0]


def take_rows(training: Training, rows: np.ndarray) -> Training:
    """Returns the training set with some of its documents; their features are given apart."""
    negatives, relevance = training.negatives, training.relevance
    return replace(
        training,
        labels=training.labels[rows],
        relevance=None if relevance is None else relevance[rows],
        negatives=None
        if negatives is None
        else {height: sp.csr_matrix(matrix)[rows] for height, matrix in negatives.items()},
    )


def _sum_positives(
    tree: LabelTree, level: int, labels: sp.csr_matrix, plan: Round | None
) -> sp.csr_matrix:
    """Returns the positives of a level's nodes [N, nodes]: routed to a copy, if the round routes them."""
    if plan is None or plan.routed is None:
        return labels_at(tree, level, labels)
    return edges_at(tree, level, plan.routed)


def _match(model: XRModel, features: Features, config: LinearConfig) -> sp.csr_matrix:
    # An index of its own, dropped here: the model's would be kept while the level is solved.
    return matched_clusters(build_index(model), features, config.search.choose_beam())


def check_sources(training: Training) -> None:
    """Refuses before anything is written what would be refused later: negatives, relevance or trees without a use."""
    check_forest(training.config, training.labels.shape[1], training.tree is not None)
    kinds = training.config.ranker.negatives
    uses = any("usn" in kind.split("+") for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if uses and training.negatives is None:
        raise InputError(
            "ranker.negatives names usn, but fit was given no negatives={level: matrix}"
        )
    if training.negatives is not None and not isinstance(training.negatives, Mapping):
        raise InputError(
            f"negatives given as {type(training.negatives).__name__}, {{level: matrix}} needed"
        )
    if training.negatives is not None and not uses:
        raise InputError(
            "negatives given, but ranker.negatives names no usn; set usn, usn+tfn, ..."
        )
    if training.relevance is not None:
        check_relevance(training.relevance, training.labels, training.config.ranker.relevance)
