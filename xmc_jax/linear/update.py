"""An update as a run: the old vectoriser (and encoder), trees that have grown, and levels solved where they changed.

Every stage is kept as in a training, so that a stopped update resumes; the result is a run like any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig
from xmc_jax.data import Revision
from xmc_jax.errors import InputError
from xmc_jax.features import Vectorizer, as_features, load_vectorizer
from xmc_jax.linear.forest import MemberProgress, list_members
from xmc_jax.linear.growth import Growth, grow_level, measure_reached
from xmc_jax.linear.heldout import Learned
from xmc_jax.linear.recursion import learn
from xmc_jax.linear.training import Training
from xmc_jax.model import LevelWeights, Prototypes, XRModel
from xmc_jax.ranker import Choice
from xmc_jax.run import (
    Run,
    Start,
    Trained,
    find_trained,
    fingerprint,
    keep_label_texts,
    layout,
    load_level,
    load_origins,
    load_tree,
    open_run,
    save_encoder,
    save_level,
    save_tree,
)
from xmc_jax.run.arrays import load_note
from xmc_jax.run.restore import final_run
from xmc_jax.tree import Grown
from xmc_jax.types import Features, Progress

Featurize = Callable[[Run, Vectorizer | None], Features]
"""Returns the features of all documents that the levels score."""


class Prototyped(NamedTuple):
    """Prototypes beside the levels of a model, which follow the documents too.

    Attributes:
        identity: what tells them from others.
        label_texts: texts of the labels of now, where they are others than the names.
        grow: makes them, given all features, and says what was done.
    """

    identity: list[np.ndarray]
    label_texts: list[str] | None
    grow: Callable[[Run, Features, Progress], tuple[Prototypes, dict[str, int]]]


@dataclass(frozen=True)
class Update:
    """A model, and the data of its update.

    Attributes:
        training: all documents after the update, the known ones first, with the settings of the levels.
        old: the model.
        labels: CSR [N, L], the labels it was trained on.
        revision: the change of its training set.
        renamed: number of labels that were renamed.
        n_kept: number of levels from the top that are kept.
        learns: whether probabilities and a re-ranker are learned from held-out documents, as in a training.
        prototypes: what prototypes beside the levels become, or None.
    """

    training: Training
    old: Trained
    labels: sp.csr_matrix
    revision: Revision
    renamed: int = 0
    n_kept: int = 0
    learns: bool = True
    prototypes: Prototyped | None = None

    def describe_data(self) -> dict[str, Any]:
        """Returns facts that distinguish this update from others and from a training, JSON-ready."""
        training, old = self.training, self.old
        extras = [np.array([self.labels.shape[0], len(old.updates)]), self.revision.label_origin]
        for model in old.models:
            extras += [*model.tree.parents, model.tree.edge_label, model.tree.edge_cluster]
        if self.prototypes is not None:
            extras += self.prototypes.identity
        return fingerprint(training.texts, training.features, training.labels, extras)

    def describe(self, reached: dict[str, Any], solved: int, nodes: int, split: int) -> dict:
        """Returns what the update did, JSON-ready."""
        facts = {"renamed": self.renamed, "clusters_split": split, "solved": solved, "nodes": nodes}
        return self.revision.count_changes() | facts | reached


class _Solved(NamedTuple):
    """A level, and how many of its nodes were solved again."""

    weights: LevelWeights
    n_solved: int


def check_update(config: LinearConfig) -> None:
    """Refuses models that cannot be updated.

    Raises:
        InputError: the setting that prevents it, and why.
    """
    if config.disentangle.copies > 1 and config.disentangle.positives == "routed":
        raise InputError(
            "disentangle.positives=routed: a model does not keep which copy of a label each document was routed to, so "
            "it cannot be updated; train anew, or with positives=all"
        )
    kinds = config.ranker.negatives
    if any("usn" in kind.split("+") for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        raise InputError(
            f"ranker.negatives={kinds}: a model does not keep your negatives, so it cannot be updated; train anew"
        )


def run_update(
    update: Update,
    featurize: Featurize | None,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Returns the updated model, or finishes the update that `workdir` holds.

    Args:
        update: the model and the data of its update.
        featurize: makes features; None if texts are vectorised or features are given.
        workdir: the folder of the new run; None keeps nothing.
        progress: told about each stage.
        source: where the data came from, recorded in the folder.

    Raises:
        InputError: the folder holds another run, or settings that cannot be updated.
        RunError: another training works in the folder, it cannot be written, or there is too little memory.
    """
    old, training = update.old, update.training
    check_update(training.config)
    start = Start(old.config, update.describe_data, training.label_names, source)
    with open_run(workdir, start, progress) as run:
        if held := find_trained(run, progress, old.encoder):
            return held
        vectorizer = old.vectorizer
        if vectorizer is not None:
            kept = vectorizer
            vectorizer = run.once(
                layout.VECTORIZER, lambda: kept, lambda path, it: it.save(path), load_vectorizer
            )
        encoder = old.encoder
        if encoder is not None:
            run.once(layout.ENCODER, lambda: encoder, save_encoder, lambda path: encoder)
        progress.start("features", training.labels.shape[0])
        features = (featurize or partial(_featurize, training))(run, vectorizer)
        progress.finish(f"{features.n_sparse + features.n_dense:,} columns, as before")
        models, done = _grow_models(update, features, final_run(run, old.config), progress)
        learned = Learned()
        if update.learns:
            learned = learn(training, features, run, progress)
        trained = training.describe_model(
            old.config, models, vectorizer, learned, old.encoder, old.scale
        )
        if update.prototypes is not None:
            grown, moved = update.prototypes.grow(run, features, progress)
            done |= moved
            texts = update.prototypes.label_texts
            keep_label_texts(run, texts)
            trained = replace(trained, prototypes=grown, mix=old.mix, label_texts=texts)
        trained = replace(trained, updates=(*old.updates, done))
        run.close(trained.list_facts())
        run.log({"stage": "update"} | done)
        final_run(run, old.config).drop(layout.VECTORS)
    return trained


def _featurize(training: Training, run: Run, vectorizer: Vectorizer | None) -> Features:
    if training.features is not None:
        return training.features
    assert vectorizer is not None
    return as_features(vectorizer.transform(training.texts))


def _grow_models(
    update: Update, features: Features, run: Run, progress: Progress
) -> tuple[tuple[XRModel, ...], dict[str, Any]]:
    """Returns the model of each tree, and what was done."""
    training, models, solved, split = update.training, [], 0, 0
    members = list_members(training.config)
    for i, (config, old) in enumerate(zip(members, update.old.models, strict=True)):
        at, told = run, progress
        if len(members) > 1:
            at = run.inside(layout.member_name(i))
            told = MemberProgress(progress, f"tree {i + 1} of {len(members)}")
        growth = Growth(
            training.change(config, None),
            features,
            old,
            update.labels,
            update.revision.label_origin,
            update.n_kept,
        )
        grown = _make_tree(growth, at, told)
        model, n_solved = _make_levels(growth, grown, at, told)
        models.append(model)
        solved, split = solved + n_solved, split + grown.n_split
    progress.start("reached positives", 0)
    reached = _measure(update, tuple(models), features)
    progress.finish(", ".join(f"{k[8:]} {v:.1%}" for k, v in reached.items()) or "no clusters")
    nodes = sum(sum(model.tree.level_sizes) for model in models)
    return tuple(models), update.describe(reached, solved, nodes, split)


def _make_tree(growth: Growth, run: Run, progress: Progress) -> Grown:
    """Returns the grown tree, from the run if it is there."""

    def make() -> Grown:
        progress.start("tree", growth.training.labels.shape[1])
        grown = growth.grow()
        sizes = " - ".join(f"{n:,}" for n in grown.tree.level_sizes)
        progress.finish(f"{sizes}; clusters that were split: {grown.n_split:,}")
        return grown

    def save(path: Path, grown: Grown) -> None:
        note = {"clusters_split": grown.n_split}
        save_tree(path, grown.tree, growth.training.count_positives(), note, grown.origins)

    def load(path: Path) -> Grown:
        tree, _, note = load_tree(path)
        return Grown(tree, load_origins(path), note["clusters_split"])

    return run.once(layout.TREE, make, save, load)


def _make_levels(growth: Growth, grown: Grown, run: Run, progress: Progress) -> tuple[XRModel, int]:
    """Returns the model, and how many of its nodes were solved again."""
    old, levels, n_solved = growth.model, list[LevelWeights](), 0
    relevance = growth.list_relevance(grown.tree)
    for t in range(grown.tree.n_levels):
        note: dict[str, Any] = {"stage": "level", "level": t}

        def make(t: int = t, note: dict[str, Any] = note) -> _Solved:
            chosen: list[Choice] = []
            found, n = grow_level(growth, grown, levels, relevance[t], progress, chosen)
            run.log(note | {"weights": found.n_entries, "solved": n})
            return _Solved(found, n)

        def save(path: Path, made: _Solved, note: dict[str, Any] = note) -> None:
            facts = {"weights": made.weights.n_entries, "solved": made.n_solved}
            save_level(path, made.weights, note | facts)

        made = run.once(
            layout.level_name(t),
            make,
            save,
            lambda path: _Solved(load_level(path), load_note(path)["solved"]),
        )
        levels.append(made.weights)
        n_solved += made.n_solved
    model = XRModel(grown.tree, tuple(levels), old.post_processors, old.n_sparse, old.n_dense)
    return model, n_solved


def _measure(update: Update, models: tuple[XRModel, ...], features: Features) -> dict[str, float]:
    """Returns the shares of positives that are reached, mean over the trees.

    They are those of the known documents by the old model, of the new documents (their known labels) by the old model,
    and of all documents by the new model.
    """
    beam = update.training.config.search.choose_beam()
    mesh = update.training.machine.own_mesh
    n, origin = update.labels.shape[0], update.revision.label_origin
    labels = update.training.labels
    new = sp.csr_matrix((0, update.labels.shape[1]), dtype=np.float32)
    if labels.shape[0] > n:
        place = sp.csr_matrix(
            (np.ones(int((origin >= 0).sum())), (np.flatnonzero(origin >= 0), origin[origin >= 0])),
            (len(origin), update.labels.shape[1]),
        )
        new = (labels[n:] @ place).tocsr()
    asked = {
        "reached_before": (update.old.models, slice(0, n), update.labels),
        "reached_new": (update.old.models, slice(n, labels.shape[0]), new),
        "reached_after": (models, slice(0, labels.shape[0]), labels),
    }
    found = {}
    for name, (searched, rows, truth) in asked.items():
        shares = [measure_reached(m, features[rows], truth, beam, mesh) for m in searched]
        if None not in shares:
            found[name] = float(np.mean([s for s in shares if s is not None]))
    return found
