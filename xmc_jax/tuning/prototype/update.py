"""An update of a prototype model as a run: the encoder of before, prototypes that follow the documents of now."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xmc_jax.data import Revision, TextStore
from xmc_jax.model import LabelTree, Prototypes
from xmc_jax.predict.prototype_tree import cluster_prototypes
from xmc_jax.run import (
    Run,
    SavedTree,
    Start,
    Trained,
    fingerprint,
    keep_label_texts,
    layout,
    load_arrays,
    load_prototypes,
    load_tree,
    open_run,
    restore_run,
    save_arrays,
    save_encoder,
    save_prototypes,
    save_tree,
)
from xmc_jax.run.arrays import load_note
from xmc_jax.tuning.prototype.growth import PrototypeGrowth
from xmc_jax.types import Progress


@dataclass(frozen=True)
class PrototypeUpdate:
    """What a prototype model is to become.

    Attributes:
        old: the model.
        growth: what its prototypes are to follow.
        documents: N' texts, the known ones first.
        revision: from its training set to that of now.
        renamed: labels that have another name now.
    """

    old: Trained
    growth: PrototypeGrowth
    documents: TextStore
    revision: Revision
    renamed: int

    def describe_data(self) -> dict[str, Any]:
        """Returns what tells this update from another and from a training, JSON-ready."""
        old, labels = self.old, self.revision.labels
        counts = np.array([self.growth.before.shape[0], len(old.updates)])
        return fingerprint(self.documents, None, labels, [counts, *self.growth.list_identity()])

    def describe(self, done: dict[str, int]) -> dict[str, Any]:
        """Returns what it did, JSON-ready."""
        return self.revision.count_changes() | {"renamed": self.renamed} | done


def update_prototypes(
    update: PrototypeUpdate,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Returns the model of now, or finishes the update that `workdir` holds.

    Args:
        update: what changes.
        workdir: the folder of the new run; None keeps nothing.
        progress: told about each stage.
        source: where the data came from, to be noted in the folder.

    Raises:
        InputError: the folder holds another run.
        RunError: another training works in the folder, or it cannot be written; memory is too little.
    """
    old, labels = update.old, update.revision.labels
    encoder = old.encoder
    assert encoder is not None
    start = Start(old.config, update.describe_data, update.revision.names, source)
    with open_run(workdir, start, progress) as run:
        if run.is_complete:
            progress.start("run", 0)
            held = restore_run(run, encoder)
            progress.finish("complete already, nothing to do")
            return held
        run.once(layout.ENCODER, lambda: encoder, save_encoder, lambda path: encoder)
        vectors = run.once(
            layout.VECTORS,
            lambda: update.growth.embed(update.documents),
            lambda path, made: save_arrays(path, {"vectors": made}, {}),
            lambda path: load_arrays(path)[0]["vectors"],
        )
        prototypes, done = grow_in(run, update.growth, lambda: vectors, progress)
        said = update.growth.list_texts(update.revision.names)
        keep_label_texts(run, said)
        trained = replace(
            old,
            label_names=update.revision.names,
            label_counts=labels.getnnz(axis=0).astype(np.int32),
            n_train=labels.shape[0],
            calibration=None,
            reranker=None,
            prototypes=prototypes,
            prototype_tree=_make_tree(old, run, prototypes, labels.getnnz(axis=0)),
            updates=(*old.updates, update.describe(done)),
            label_texts=said,
        )
        run.close(trained.list_facts())
        run.log({"stage": "update"} | trained.updates[-1])
        run.drop(layout.VECTORS)
    return trained


def grow_in(
    run: Run, growth: PrototypeGrowth, embed: Callable[[], np.ndarray], progress: Progress
) -> tuple[Prototypes, dict[str, int]]:
    """Returns the prototypes of now and what was done, from the run if they are there; `embed` gives the vectors."""

    def make() -> tuple[Prototypes, dict[str, int]]:
        progress.start("prototypes", growth.now.shape[1])
        made, done = growth.grow(embed())
        progress.finish(f"{done['prototypes_moved']:,} moved, {done['prototypes_made']:,} made")
        return made, done

    counts = growth.now.getnnz(axis=0)
    return run.once(
        layout.PROTOTYPES,
        make,
        lambda path, made: save_prototypes(path, made[0], counts, {"done": made[1]}),
        lambda path: (load_prototypes(path)[0], load_note(path)["done"]),
    )


def _make_tree(
    old: Trained, run: Run, prototypes: Prototypes, counts: np.ndarray
) -> LabelTree | None:
    """Returns a tree over the prototypes of now, if those of before had one."""
    if old.prototype_tree is None:
        return None
    found = run.once(
        layout.TREE,
        lambda: SavedTree(cluster_prototypes(prototypes, old.config.seed), counts, {}),
        lambda path, made: save_tree(path, *made),
        load_tree,
    )
    return found.tree
