"""An update of a prototype model as a run: the old encoder, and prototypes that follow the current documents."""

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
    find_trained,
    fingerprint,
    keep_label_texts,
    layout,
    load_arrays,
    load_prototypes,
    load_tree,
    open_run,
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
    """A prototype model, and the data of its update.

    Attributes:
        old: the model.
        growth: the change that its prototypes follow.
        documents: N' texts, the known ones first.
        revision: the change of its training set.
        renamed: number of labels that were renamed.
    """

    old: Trained
    growth: PrototypeGrowth
    documents: TextStore
    revision: Revision
    renamed: int

    def describe_data(self) -> dict[str, Any]:
        """Returns facts that distinguish this update from others and from a training, JSON-ready."""
        old, labels = self.old, self.revision.labels
        counts = np.array([self.growth.before.shape[0], len(old.updates)])
        return fingerprint(self.documents, None, labels, [counts, *self.growth.list_identity()])

    def describe(self, done: dict[str, int]) -> dict[str, Any]:
        """Returns what the update did, JSON-ready."""
        return self.revision.count_changes() | {"renamed": self.renamed} | done


def update_prototypes(
    update: PrototypeUpdate,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Returns the updated model, or finishes the update that `workdir` holds.

    Args:
        update: the model and the data of its update.
        workdir: the folder of the new run; None keeps nothing.
        progress: told about each stage.
        source: where the data came from, recorded in the folder.

    Raises:
        InputError: the folder holds another run.
        RunError: another training works in the folder, it cannot be written, or there is too little memory.
    """
    old, labels = update.old, update.revision.labels
    encoder = old.encoder
    assert encoder is not None
    start = Start(old.config, update.describe_data, update.revision.names, source)
    with open_run(workdir, start, progress) as run:
        if held := find_trained(run, progress, encoder):
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
    """Returns the updated prototypes and what was done, from the run if they are there; `embed` makes the vectors."""

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
    """Returns a tree over the updated prototypes if the old ones had one."""
    if old.prototype_tree is None:
        return None
    found = run.once(
        layout.TREE,
        lambda: SavedTree(cluster_prototypes(prototypes, old.config.seed), counts, {}),
        lambda path, made: save_tree(path, *made),
        load_tree,
    )
    return found.tree
