"""A prototype model from texts to prototypes: tokens, the fine-tuning with its states, what predicts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from xmc_jax.config import HeadConfig, PrototypeConfig, UpdateConfig
from xmc_jax.data import list_own_texts
from xmc_jax.encoder import Encoder, flatten_params, start_encoder
from xmc_jax.errors import InputError
from xmc_jax.metrics import evaluate as score_ranking
from xmc_jax.model import Prototypes, project_prototypes, store_prototypes
from xmc_jax.parallel import Machine
from xmc_jax.predict import Predictions
from xmc_jax.predict.nearest import Nearest, build_nearest, find_nearest
from xmc_jax.predict.prototype_tree import cluster_prototypes
from xmc_jax.run import (
    Run,
    SavedTree,
    Start,
    Trained,
    digest_texts,
    find_trained,
    fingerprint,
    keep_label_texts,
    layout,
    load_prototypes,
    load_tree,
    open_run,
    save_encoder,
    save_prototypes,
    save_tree,
)
from xmc_jax.run import load_encoder as load_tuned
from xmc_jax.tuning.curves import draw_curves
from xmc_jax.tuning.level import Reporter, Scores
from xmc_jax.tuning.prototype.tune import Evaluate, PrototypeTuning, Tuned, tune_prototypes
from xmc_jax.types import Progress

_CUTS = (1, 3, 5)
_SAMPLE = 256
"""Documents that the loss of a smaller type is told by."""


@dataclass(frozen=True)
class PrototypeTraining:
    """What a prototype model is trained on.

    Attributes:
        config: all settings.
        texts: of N documents.
        labels: CSR [N, L].
        label_names: L names, or None.
        label_texts: L texts, empty where nothing is said of a label; None: there are none.
        machine: that it is trained on.
        encoder: an encoder of one's own, or None for the one in the settings.
        validation: (texts, labels [N, L]) to choose parameters by, or None.
    """

    config: PrototypeConfig
    texts: Any
    labels: sp.csr_matrix
    label_names: list[str] | None
    label_texts: list[str] | None
    machine: Machine
    encoder: Encoder | None = None
    validation: tuple[Any, sp.csr_matrix] | None = None

    def count_positives(self) -> np.ndarray:
        """Returns the training documents of each label, int32 [L]."""
        return self.labels.getnnz(axis=0).astype(np.int32)

    def describe_data(self) -> dict[str, Any]:
        """Returns facts that distinguish this training set from others, JSON-ready."""
        extras: list[Any] = []
        if self.encoder is not None:
            extras += flatten_params(self.encoder.params).values()
        if self.label_texts is not None:
            extras.append(digest_texts(self.label_texts))
        if self.validation is not None:
            texts, labels = self.validation
            extras += [digest_texts(texts), labels.indptr, labels.indices]
        return fingerprint(self.texts, None, self.labels, extras)


def train_prototypes(
    training: PrototypeTraining,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Trains a model, or finishes the run that `workdir` holds.

    Args:
        training: settings and data.
        workdir: the run's folder; None keeps nothing.
        progress: told about each stage.
        source: where the data came from, to be noted in the folder.

    Raises:
        InputError: bad data or settings, or the folder holds another run.
        RunError: the device has too little memory, another training works in the folder, or it cannot be written.
    """
    config = training.config
    mesh = _check(training)
    start = Start(config, training.describe_data, training.label_names, source)
    with open_run(workdir, start, progress) as run:
        if held := find_trained(run, progress, training.encoder):
            return held
        # First, as it is refused most easily.
        encoder = training.encoder or start_encoder(config.encoder, training.texts, config.seed)
        check_columns(config.head, encoder)
        progress.start("tokens", len(training.texts))
        tokens = encoder.tokenize(training.texts)
        progress.finish(f"{tokens.lengths.mean():.1f} a document")
        said = training.label_texts
        tuning = PrototypeTuning(
            encoder=encoder,
            tokens=tokens,
            labels=training.labels,
            label_tokens=None if said is None else encoder.tokenize(said),
            silent=np.array([not text for text in said or ()], bool),
            head=config.head,
            update=config.tuning,
            seed=config.seed,
            mesh=mesh,
        )
        tuned = tune_in(run, tuning, training.validation, progress)
        trained = _keep(training, run, tuned, encoder)
        tell_loss(tuning, tuned, trained, progress)
        run.close(trained.list_facts())
        for step in (0, config.tuning.steps + 1):  # the parts that predict hold their outcome
            run.drop(f"{layout.TUNING}/{step}")
    return trained


def tune_in(
    run: Run,
    tuning: PrototypeTuning,
    validation: tuple[Any, sp.csr_matrix] | None,
    progress: Progress,
) -> Tuned:
    """Fine-tunes with states that a run keeps; `validation` is (texts, labels [N, L]) to choose parameters by."""
    steps = run.steps(layout.TUNING)
    if steps.last_step:
        progress.start("resumed", tuning.update.steps)
        done = min(steps.last_step, tuning.update.steps)
        progress.finish(f"{done} of {tuning.update.steps} updates are done")
    evaluate = None if validation is None else make_evaluation(tuning, *validation)
    reporter = Reporter(progress, run, tuning.update.log_every)
    tuned = tune_prototypes(tuning, steps, reporter, evaluate)
    run.draw(draw_curves)
    return tuned


def tell_loss(tuning: PrototypeTuning, tuned: Tuned, trained: Trained, progress: Progress) -> None:
    """Says what a smaller type of the finished prototypes and a search by beam cost: how many of the first labels stay
    the same."""
    assert isinstance(trained.config, PrototypeConfig) and trained.prototypes is not None
    beam, stored = trained.config.search.beam, trained.prototypes
    ways = [] if stored.rows.dtype == tuned.prototypes.rows.dtype else [str(stored.rows.dtype)]
    ways += [] if stored.basis is None else [f"{stored.rows.shape[1]} of {stored.hidden} columns"]
    ways += [] if beam is None else [f"beam {beam}"]
    if not ways:
        return
    sample = tuning.tokens.select(np.arange(min(_SAMPLE, len(tuning.tokens))))
    progress.start("loss of the search", 0)
    vectors, most = tuning.embed(sample, tuned.params), min(5, stored.n_labels)
    exact = Nearest(tuned.prototypes).find(vectors, most)[0].ids
    small = Nearest(stored, trained.prototype_tree).find(vectors, most, beam=beam)[0].ids
    first = (exact[:, 0] == small[:, 0]).mean()
    five = np.mean([np.isin(a, b).mean() for a, b in zip(exact, small, strict=True)])
    progress.finish(
        f"{', '.join(ways)}: of {len(sample):,} documents {first:.1%} have the first label of the exact search in "
        f"float32, {five:.1%} of the first five are the same"
    )


def make_evaluation(tuning: PrototypeTuning, texts: Any, labels: sp.csr_matrix) -> Evaluate:
    """Returns what scores parameters and prototypes on a held-out set: P@1, P@3 and P@5."""
    tokens = tuning.encoder.tokenize(texts)
    n_labels = labels.shape[1]
    cuts = [k for k in _CUTS if k <= n_labels]

    def evaluate(params: Any, prototypes: Prototypes) -> Scores:
        vectors = tuning.embed(tokens, params)
        index = build_nearest(prototypes, tuning.mesh)
        ids, scores, _ = find_nearest(
            index, vectors, n_labels, top_k=max(cuts), scores=prototypes.scores, mesh=tuning.mesh
        )
        report = score_ranking(Predictions(ids, scores, None, n_labels), labels, k=cuts)
        return {f"P@{k}": float(report[f"P@{k}"]) for k in cuts}

    return evaluate


def store(prototypes: Prototypes, head: HeadConfig, basis: np.ndarray | None = None) -> Prototypes:
    """Returns finished prototypes as the settings want them kept; `basis` is that of others, None: their own."""
    if head.project is not None:
        prototypes = project_prototypes(prototypes, head.project, basis)
    return store_prototypes(prototypes, head.storage)


def list_texts(
    head: HeadConfig, texts: list[str] | None, names: list[str] | None, prototypes: Prototypes
) -> list[str] | None:
    """Returns the texts of labels that a model has to keep, as its names do not give them."""
    return None if head.labels_text is None else list_own_texts(texts, names, prototypes.n_labels)


def check_columns(head: HeadConfig, encoder: Encoder) -> None:
    """Raises InputError for more columns of the finished prototypes than the encoder has."""
    if head.project is not None and head.project > encoder.hidden:
        raise InputError(
            f"head.project={head.project} given with an encoder of {encoder.hidden} columns, as many at most needed"
        )


def choose_mesh(mesh: Mesh, update: UpdateConfig) -> Mesh | None:
    """Returns the mesh that texts and labels are cut over; None: one device, which needs none.

    Raises:
        InputError: its devices do not divide a batch.
    """
    if mesh.size == 1:
        return None
    needed = mesh.size * update.accumulate
    if not update.is_off and update.batch_size % needed:
        raise InputError(
            f"tuning.batch_size={update.batch_size} given with {mesh.size} devices and tuning.accumulate="
            f"{update.accumulate}, a multiple of {needed} needed; change tuning.batch_size or parallel.data"
        )
    return mesh


def _check(training: PrototypeTraining) -> Mesh | None:
    """Refuses before anything is written what would be refused later; returns the mesh of several devices."""
    if training.encoder is not None and training.encoder.tokenizer is None:
        raise InputError(
            "an encoder without a tokenizer given, one that reads texts needed; wrap_function(..., tokenizer=...)"
        )
    if training.config.head.start == "texts" and not any(training.label_texts or ()):
        raise InputError(
            "head.start=texts given, but no label has a text; give labels_text, or set head.start to sums"
        )
    return choose_mesh(training.machine.mesh, training.config.tuning)


def _keep(training: PrototypeTraining, run: Run, tuned: Tuned, encoder: Encoder) -> Trained:
    """Keeps what predicts."""
    final = run.once(
        layout.ENCODER,
        lambda: encoder.replace(tuned.params),
        save_encoder,
        lambda path: load_tuned(path, training.encoder),
    )
    counts = training.count_positives()
    prototypes, _ = run.once(
        layout.PROTOTYPES,
        lambda: (store(tuned.prototypes, training.config.head), counts),
        lambda path, made: save_prototypes(path, *made),
        load_prototypes,
    )
    said = list_texts(training.config.head, training.label_texts, training.label_names, prototypes)
    keep_label_texts(run, said)
    tree = None
    if training.config.search.beam is not None:
        tree, *_ = run.once(
            layout.TREE,
            lambda: SavedTree(cluster_prototypes(prototypes, training.config.seed), counts, {}),
            lambda path, made: save_tree(path, *made),
            load_tree,
        )
    return Trained(
        training.config,
        (),
        None,
        training.label_names,
        counts,
        len(training.texts),
        final,
        prototypes=prototypes,
        prototype_tree=tree,
        label_texts=said,
    )
