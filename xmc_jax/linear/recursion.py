"""Training from texts to the last level: features, tree, then level after level, each a stage of the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, at_level
from xmc_jax.errors import tell
from xmc_jax.features import Vectorizer, as_features, embed_labels, fit_transform, load_vectorizer
from xmc_jax.features.spread_embedding import embed_spread
from xmc_jax.linear.forest import MemberProgress, list_members
from xmc_jax.linear.heldout import Learned, choose_share, hold_out, learn_answers
from xmc_jax.linear.level import train_level
from xmc_jax.linear.relevance import induce_relevance
from xmc_jax.linear.rounds import Round, check_overlap, run_rounds
from xmc_jax.linear.training import Training, check_sources
from xmc_jax.matcher import propagate_pairs
from xmc_jax.memory import release_memory
from xmc_jax.model import MOST_WHOLE, LabelTree, LevelShare, LevelWeights, XRModel
from xmc_jax.ranker import Choice
from xmc_jax.run import (
    Run,
    Start,
    Trained,
    find_parts,
    keep_learned,
    layout,
    load_level,
    load_share,
    load_tree,
    open_run,
    read_learned,
    restore_run,
    save_level,
    save_share,
    save_tree,
)
from xmc_jax.tree import build_spread_tree, build_tree, flat_tree
from xmc_jax.types import Features, Progress

_LEAST_WEIGHTS = 0.05
"""Number of weights per node below which a level practically has none."""


def train(
    training: Training,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Trains a model of one tree or several, or finishes the run that `workdir` holds.

    Args:
        training: settings and data.
        workdir: the run's folder; None keeps nothing.
        progress: told about each stage.
        source: where the data came from, recorded in the folder.

    Raises:
        InputError: bad data, or the folder holds another run.
        RunError: another training works in the folder, it cannot be written, or there is too little memory.
    """
    check_sources(training)
    start = Start(
        training.config,
        training.describe_data,
        training.label_names,
        source,
        by_rows=training.describe_rows,
    )
    with open_run(workdir, start, progress) as run:
        if run.is_complete:
            progress.start("run", 0)
            held = restore_run(run, load=partial(load_held, training))
            if has_learned(training.config, run):
                progress.finish("already complete, nothing to do")
                return held
            progress.finish("complete except for what is learned from held-out documents")
        features, vectorizer = make_features(training, run, progress)
        models = train_trees(training, features, run, progress)
        learned = learn(training, features, run, progress)
        trained = training.describe_model(training.config, models, vectorizer, learned)
        run.close(trained.list_facts())
    return trained


def train_trees(
    training: Training,
    features: Features,
    run: Run,
    progress: Progress,
    *,
    trees: Sequence[LabelTree] = (),
    heads: Sequence[LevelWeights] = (),
) -> tuple[XRModel, ...]:
    """Returns the tree and its levels on these features, or those of each tree of a forest.

    Args:
        training: settings and data.
        features: of the documents.
        run: keeps the stages, those of a forest's trees in a separate part each.
        progress: told about each stage.
        trees: trees made elsewhere, one for each tree of the settings; if empty, they are made here.
        heads: levels of the first tree that were made elsewhere, from the top.
    """
    models = []
    members = list_members(training.config)
    for i, config in enumerate(members):
        at, told = run, progress
        if len(members) > 1:
            at = run.inside(layout.member_name(i))
            told = MemberProgress(progress, f"tree {i + 1} of {len(members)}")
        part = training.change(config, trees[i] if trees else training.tree)
        tell_resumed(at, told)
        tree = make_tree(part, features, at, told)
        check_overlap(tree, config.disentangle)
        model = train_levels(part, tree, features, at, told, heads=heads if not i else ())
        retrain = partial(_retrain, part, features, told)
        mesh = part.machine.own_mesh
        models.append(run_rounds(config, model, features, part.labels, at, retrain, told, mesh))
    return tuple(models)


def learn(
    training: Training,
    features: Features,
    run: Run,
    progress: Progress,
    trees: Sequence[LabelTree] = (),
) -> Learned:
    """Returns the maps to probabilities and the re-ranker that the settings ask for, fitted to held-out training
    documents.

    Args:
        training: settings and data.
        features: of the documents.
        run: keeps them.
        progress: told about each stage.
        trees: as in `train_trees`.
    """
    config = training.config
    if has_learned(config, run):
        return Learned(*read_learned(run))
    if run.has(layout.RERANKER) and config.rerank.mode == "off":
        # The probabilities kept with it are of its scores.
        run.drop(layout.RERANKER)
        run.drop(layout.CALIBRATION)
    if not any(choose_share(config)) or len(features) < 2:
        return Learned()

    def train_part(rows: np.ndarray, name: str) -> Sequence[XRModel]:
        told = MemberProgress(progress, name)
        return train_trees(training.take_rows(rows), features[rows], Run(), told, trees=trees)

    parts = hold_out(config, features, training.labels, train_part, progress)
    if config.rerank.mode != "off":
        progress.start("re-ranker", 0)
    learned = learn_answers(config, features, training.labels, parts)
    if learned.reranker is not None:
        progress.finish(learned.reranker.describe())
    keep_learned(run, learned)
    return learned


def has_learned(config: LinearConfig, run: Run) -> bool:
    """Returns whether a run has everything that the settings ask to learn from held-out documents."""
    wanted = {
        layout.CALIBRATION: config.calibrate.holds_out,
        layout.RERANKER: config.rerank.mode != "off",
    }
    if run.has(layout.RERANKER) and not wanted[layout.RERANKER]:
        return False
    return all(run.has(name) for name, is_wanted in wanted.items() if is_wanted)


def tell_resumed(run: Run, progress: Progress) -> None:
    """Reports what an unfinished run has done, or nothing for a new run."""
    if run.has(layout.TREE):
        parts = find_parts(run)
        done = parts.list_levels(parts.read_tree().tree)
        progress.start("resumed", len(done))
        after = f" after round {parts.round} of disentangling" if parts.round else ""
        progress.finish(f"{sum(done)} of {len(done)} levels are complete{after}")


def make_features(
    training: Training, run: Run, progress: Progress
) -> tuple[Features, Vectorizer | None]:
    """Returns the features of the training set; a vectoriser that the run has is used as it is."""
    if training.features is not None:
        return training.features, None
    n, texts, rows = len(training.texts), training.texts, training.rows
    progress.start("features", n)

    def load(path: Path) -> tuple[Vectorizer, sp.csr_matrix]:
        vectorizer = load_vectorizer(path)
        return vectorizer, vectorizer.transform(texts)

    vectorizer, matrix = run.once(
        layout.VECTORIZER,
        partial(fit_transform, texts, training.config.features, rows),
        lambda path, made: made[0].save(path),
        load,
    )
    progress.finish(f"{matrix.shape[1]:,} features, {matrix.nnz / max(n, 1):.1f} per document")
    return as_features(matrix), vectorizer


def make_tree(training: Training, features: Features, run: Run, progress: Progress) -> LabelTree:
    """Returns the tree of the run, the user's tree, or a new one."""
    return run.once(
        layout.TREE,
        partial(_make_tree, training, features, progress),
        lambda path, tree: save_tree(path, tree, training.count_positives(), {}),
        lambda path: load_tree(path).tree,
    )


def _make_tree(training: Training, features: Features, progress: Progress) -> LabelTree:
    labels, config, tree = training.labels, training.config, training.tree
    progress.start("tree", labels.shape[1])
    if tree is None and training.rows is not None:
        tree = _spread_tree(training, features)
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
    release_memory()
    progress.finish(" - ".join(f"{n:,}" for n in tree.level_sizes))
    return tree


def _spread_tree(training: Training, features: Features) -> LabelTree:
    labels, config = training.labels, training.config
    if config.tree.kind == "flat" or labels.shape[1] <= config.tree.max_leaf_size:
        return flat_tree(labels.shape[1])
    embeddings = embed_spread(features, labels, config=config.tree, seed=config.seed)
    return build_spread_tree(embeddings, config.tree, config.seed)


def _retrain(training: Training, features: Features, progress: Progress, plan: Round) -> XRModel:
    """Trains the levels of a round of disentangling."""
    if plan.rows is not None:
        training, features = training.take_rows(plan.rows), features[plan.rows]
    return train_levels(training, plan.tree, features, plan.run, progress, plan)


def train_levels(
    training: Training,
    tree: LabelTree,
    features: Features,
    run: Run,
    progress: Progress,
    plan: Round | None = None,
    heads: Sequence[LevelWeights] = (),
) -> XRModel:
    """Trains level after level; each needs those above for its matcher-aware negatives.

    In a round of disentangling (`plan`), the levels that it keeps are not trained, and its positives are used. The
    levels in `heads`, from the top, were made elsewhere and are kept as they are.
    """
    config, labels = training.config, training.labels
    n_levels = plan.n_levels if plan else tree.n_levels
    ranker = config.ranker
    relevance = induce_relevance(
        tree, labels, training.relevance, ranker.relevance, ranker.relevance_norm
    )
    user: Sequence[sp.csr_matrix | None] = [None] * tree.n_levels
    if training.negatives is not None:
        user = propagate_pairs(tree, training.negatives, labels.shape[0])
    post = tuple(at_level(config.search.post_processor, t) for t in range(tree.n_levels))
    levels: list[Any] = list(plan.kept) if plan else []
    for t in range(len(levels), n_levels):
        model = XRModel(tree, tuple(levels), post, features.n_sparse, features.n_dense)
        name, note = layout.level_name(t), {"stage": "level", "level": t}
        is_new, began, chosen = not run.has(name), time.monotonic(), list[Choice]()
        make: Callable[[], Any] = partial(
            train_level, training, model, features, relevance[t], user[t], plan, progress, chosen
        )
        if t < len(heads):
            make, note = partial(_take, heads[t]), note | {"from": "head"}
        elif plan:
            note["round"] = plan.number
        save, load = partial(_save_level, note=note), partial(load_held, training)
        levels.append(run.once(name, make, save, load))
        if is_new:
            seconds = round(time.monotonic() - began, 3)
            note |= {"weights": levels[-1].n_entries, "seconds": seconds}
            run.log(note | ({"solver": chosen[0].note()} if chosen else {}))
            tell_weightless(levels[-1], t, config)
    return XRModel(tree, tuple(levels), post, features.n_sparse, features.n_dense)


def tell_weightless(weights: LevelWeights | LevelShare, level: int, config: LinearConfig) -> None:
    """Reports a level whose nodes have hardly any weights, so that its scores do not depend on the document."""
    if weights.n_entries >= _LEAST_WEIGHTS * weights.n_nodes:
        return
    if isinstance(weights, LevelShare) or weights.dense.any():
        return  # the dense columns of other processes are not known here
    tell(
        f"level {level} has {weights.n_entries:,} weights for {weights.n_nodes:,} nodes, so its scores are equal for "
        f"most documents: none reaches ranker.threshold={config.ranker.threshold}; lower it, or check the features"
    )


def _take(weights: LevelWeights) -> LevelWeights:
    return weights


def _save_level(path: Path, weights: LevelWeights | LevelShare, note: dict[str, Any]) -> None:
    note = note | {"weights": weights.n_entries}
    if isinstance(weights, LevelShare):
        save_share(path, weights, note)
    else:
        save_level(path, weights, note)


def load_held(training: Training, path: Path) -> LevelWeights | LevelShare:
    """Restores a level, or the part of it that this process holds."""
    if training.rows is None:
        return load_level(path)
    return load_share(path, jax.process_index(), jax.process_count(), MOST_WHOLE)
