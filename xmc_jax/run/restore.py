"""Reading a complete run back from its folder, with the model of each of its trees."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xmc_jax.calibrate import Calibration
from xmc_jax.config import (
    Config,
    ParallelConfig,
    PrototypeConfig,
    TreeModelConfig,
    at_level,
    linear_part,
)
from xmc_jax.data import read_labels
from xmc_jax.errors import InputError
from xmc_jax.features import Vectorizer, load_vectorizer
from xmc_jax.files import read_json
from xmc_jax.model import LabelTree, Prototypes, XRModel
from xmc_jax.rerank import Reranker
from xmc_jax.run import layout
from xmc_jax.run.arrays import load_note
from xmc_jax.run.calibration import read_calibration
from xmc_jax.run.identity import read_config
from xmc_jax.run.manifest import RESTORE, Manifest
from xmc_jax.run.opening import find_manifest, read_header
from xmc_jax.run.parts import SavedTree, load_encoder, load_level, load_tree
from xmc_jax.run.prototypes import load_prototypes, read_label_texts
from xmc_jax.run.reranker import read_reranker
from xmc_jax.run.stages import Run
from xmc_jax.types import Progress

if TYPE_CHECKING:  # so that a linear model does not wait for flax
    from xmc_jax.encoder import Encoder

_FACTS = {"n_sparse", "n_dense", "n_train", "from_text", "named_labels"}


@dataclass(frozen=True)
class Trained:
    """A trained model with everything it needs to answer: the result of a training and the content of a run's folder.

    Attributes:
        config: its settings.
        models: the tree and levels; several for a forest.
        vectorizer: the text vectorizer; None if it was trained on features.
        label_names: the names of the labels; None if it was trained on a label matrix without names.
        label_counts: the training positives per label, int32 [L].
        n_train: the number of training documents.
        encoder: the encoder, or None.
        scale: the scale of the encoder's vectors, as `join_features` takes it.
        calibration: the maps to probabilities, or None.
        prototypes: of the labels, in the place of trees or beside them.
        mix: share of the prototypes' score in that of a label, where there are trees too.
        reranker: a memory of the training set and what ranks by it, or None.
        unit_rows: whether rows of features that it is given are scaled to length 1.
        prototype_tree: that prototypes are searched by, or None.
        updates: what each update since its first training did, JSON-ready.
        label_texts: texts of the labels that prototypes were made of, where they are others than the names.
    """

    config: Config
    models: tuple[XRModel, ...]
    vectorizer: Vectorizer | None
    label_names: list[str] | None
    label_counts: np.ndarray
    n_train: int
    encoder: Encoder | None = None
    scale: float = 0.0
    calibration: Calibration | None = None
    prototypes: Prototypes | None = None
    mix: float = 0.0
    reranker: Reranker | None = None
    unit_rows: bool = False
    prototype_tree: LabelTree | None = None
    updates: tuple[dict[str, Any], ...] = ()
    label_texts: list[str] | None = None

    def list_facts(self) -> dict[str, Any]:
        """Returns the facts that mark its run as complete, JSON-ready."""
        sizes = (0, 0)
        if self.models:
            sizes = (self.models[0].n_sparse, self.models[0].n_dense)
        elif self.prototypes is not None:
            sizes = (0, self.prototypes.hidden)
        return (
            {
                "n_sparse": sizes[0],
                "n_dense": sizes[1],
                "n_train": self.n_train,
                "from_text": self.vectorizer is not None,
                "named_labels": self.label_names is not None,
                "scale": self.scale,
            }
            | ({"mix": self.mix} if self.mix else {})
            | ({"unit_rows": True} if self.unit_rows else {})
            | ({"updates": list(self.updates)} if self.updates else {})
        )


def restore(workdir: str | os.PathLike, own: Encoder | None = None) -> Trained:
    """Reads a complete run.

    Args:
        workdir: the run's folder.
        own: the user's own encoder that it was trained with.

    Raises:
        InputError: there is no run, or it is unfinished or damaged.
    """
    folder = Path(workdir)
    return restore_run(Run(find_manifest(folder)), own)


def find_trained(run: Run, progress: Progress, own: Encoder | None = None) -> Trained | None:
    """Returns the model of an open run and reports it if the run is complete; None: training has to continue."""
    if not run.is_complete:
        return None
    progress.start("run", 0)
    held = restore_run(run, own)
    progress.finish("already complete, nothing to do")
    return held


def restore_run(
    run: Run, own: Encoder | None = None, load: Callable[[Path], Any] = load_level
) -> Trained:
    """Reads a complete run that is already open; see `restore`. `load` reads a level."""
    assert run.manifest is not None
    config, facts = read_settings(run.manifest), read_facts(run)
    if isinstance(config, PrototypeConfig):
        return _restore_prototypes(run, config, facts, own)
    read = [
        _read_member(member, config, facts, load)
        for member in list_members(final_run(run, config), config)
    ]
    models, counts = tuple(model for model, _ in read), read[0][1]
    for number, model in enumerate(models):
        if model.tree.n_labels != models[0].tree.n_labels:
            raise InputError(
                f"{run.folder / layout.member_name(number)}: {model.tree.n_labels} labels, {layout.member_name(0)} "
                f"has {models[0].tree.n_labels}: parts of two runs; {RESTORE}"
            )
    vectorizer = names = encoder = None
    if facts["from_text"]:
        vectorizer = run.read(layout.VECTORIZER, load_vectorizer)
    if facts["named_labels"]:
        names = _read_names(run, models[0].tree.n_labels)
    if config.model != "linear":
        encoder = run.read(layout.ENCODER, lambda path: load_encoder(path, own))
    n_train, scale = facts["n_train"], facts.get("scale", 0.0)
    calibration, reranker = read_learned(run)
    prototypes = None
    if run.has(layout.PROTOTYPES):
        prototypes, _ = run.read(layout.PROTOTYPES, load_prototypes)
    return Trained(
        config,
        models,
        vectorizer,
        names,
        counts,
        n_train,
        encoder,
        scale,
        calibration,
        prototypes,
        facts.get("mix", 0.0),
        reranker,
        bool(facts.get("unit_rows", False)),
        updates=tuple(facts.get("updates", ())),
        label_texts=read_label_texts(run),
    )


def _restore_prototypes(
    run: Run, config: PrototypeConfig, facts: dict[str, Any], own: Encoder | None
) -> Trained:
    prototypes, counts = run.read(layout.PROTOTYPES, load_prototypes)
    calibration, reranker = read_learned(run)
    return Trained(
        config,
        (),
        None,
        _read_names(run, prototypes.n_labels) if facts["named_labels"] else None,
        counts,
        facts["n_train"],
        run.read(layout.ENCODER, lambda path: load_encoder(path, own)),
        calibration=calibration,
        prototypes=prototypes,
        reranker=reranker,
        prototype_tree=run.read(layout.TREE, load_tree).tree if run.has(layout.TREE) else None,
        updates=tuple(facts.get("updates", ())),
        label_texts=read_label_texts(run),
    )


def _read_names(run: Run, n_labels: int) -> list[str]:
    names = run.read(layout.LABELS, read_labels)
    if len(names) != n_labels:
        raise InputError(
            f"{run.folder / layout.LABELS}: {len(names)} names, the model has {n_labels} labels; "
            "the file was changed: restore it or train again"
        )
    return names


def read_learned(run: Run) -> tuple[Calibration | None, Reranker | None]:
    """Returns what a run learned from held-out documents: its calibration and re-ranker."""
    calibration = reranker = None
    if run.has(layout.CALIBRATION):
        calibration = run.read(layout.CALIBRATION, read_calibration)
    if run.has(layout.RERANKER):
        reranker = run.read(layout.RERANKER, read_reranker)
    return calibration, reranker


def read_settings(manifest: Manifest) -> Config:
    """Returns the settings of a run; memory, threads and devices are left out, as the machine may be another.

    Raises:
        InputError: the file is damaged or of a newer version.
    """
    folder = manifest.folder
    config = read_config(read_header(folder)["config"], folder / layout.CONFIG)
    return replace(config, memory="auto", threads="auto", parallel=ParallelConfig())


def read_facts(run: Run) -> dict[str, Any]:
    """Returns the facts recorded when the run was completed.

    Raises:
        InputError: it is unfinished, or the file is damaged.
    """
    file = run.folder / layout.FACTS
    if not run.is_complete:
        raise InputError(
            f"{run.folder}: unfinished run; run the training command again to finish it"
        )
    facts = run.read(layout.FACTS, lambda path: read_json(path, RESTORE))
    if not isinstance(facts, dict) or not facts.keys() >= _FACTS:
        raise InputError(f"{file}: damaged, not what this program writes; {RESTORE}")
    return facts


def _read_member(
    run: Run, config: TreeModelConfig, facts: dict[str, Any], load: Callable[[Path], Any]
) -> tuple[XRModel, np.ndarray]:
    """Returns the newest tree of a run with its levels, and the training positives of each label."""
    parts = find_parts(run)
    tree, counts, _ = parts.read_tree()
    levels = []
    for t, size in enumerate(tree.level_sizes):
        levels.append(parts.find_level(t).read(layout.level_name(t), load))
        if levels[-1].n_nodes != size:
            raise InputError(
                f"{run.folder}: level {t} has {levels[-1].n_nodes} nodes, the tree {size}: parts of two runs; {RESTORE}"
            )
    post = tuple(at_level(config.search.post_processor, t) for t in range(tree.n_levels))
    return XRModel(tree, tuple(levels), post, facts["n_sparse"], facts["n_dense"]), counts


def final_run(run: Run, config: Config) -> Run:
    """Returns where the ranking tree and levels are kept: in the run itself, or in a part if it has an encoder."""
    return run if config.model == "linear" else run.inside(layout.RANKER)


def list_members(run: Run, config: Config) -> list[Run]:
    """Returns where each tree is kept: the run itself for a single tree; empty for a model without trees."""
    if isinstance(config, PrototypeConfig):
        return []
    n_trees = linear_part(config).trees
    if n_trees == 1:
        return [run]
    return [run.inside(layout.member_name(i)) for i in range(n_trees)]


class Parts(NamedTuple):
    """Where a run keeps its newest tree and the levels that belong to it.

    Attributes:
        run: the run of the tree.
        first_levels: the first level trained by the first training (0) and by each round after it; those
            above are older.
    """

    run: Run
    first_levels: tuple[int, ...]

    @property
    def round(self) -> int:
        """Number of the newest round whose tree is in use; 0: the first training."""
        return len(self.first_levels) - 1

    def read_tree(self) -> SavedTree:
        """Returns the newest tree."""
        return find_round(self.run, self.round).read(layout.TREE, load_tree)

    def find_level(self, level: int) -> Run:
        """Returns where a level is kept, trained or not."""
        newest = max(r for r, first in enumerate(self.first_levels) if first <= level)
        return find_round(self.run, newest)

    def list_levels(self, tree: LabelTree) -> list[bool]:
        """Returns whether each level of the newest tree is there."""
        return [self.find_level(t).has(layout.level_name(t)) for t in range(tree.n_levels)]


def find_round(run: Run, number: int) -> Run:
    """Returns where a round keeps its tree and the levels that it trains; round 0 is the first training."""
    return run.inside(layout.round_name(number)) if number else run


def find_parts(run: Run) -> Parts:
    """Finds the newest tree of a run and the levels that belong to it.

    Raises:
        InputError: a round's tree is damaged.
    """
    firsts = [note["first_level"] for note in list_rounds(run) if not note["stop"]]
    return Parts(run, (0, *firsts))


def list_rounds(run: Run) -> list[dict[str, Any]]:
    """Returns the notes of the rounds whose tree is kept; one with `stop` is the last and changed nothing.

    Raises:
        InputError: a round's tree is damaged.
    """
    notes: list[dict[str, Any]] = []
    while (at := find_round(run, len(notes) + 1)).has(layout.TREE):
        notes.append(at.read(layout.TREE, load_note))
    return notes
