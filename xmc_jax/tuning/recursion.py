"""XR-Transformer and X-Transformer from texts to the last level: features, a first tree, the encoder fine-tuned on it,
then a tree and linear levels on [features, vector] in the folder `ranker/` of the run.

As in `recursion.py` every stage is committed when it is done and read, not redone, when a stopped run goes on; within
a fine-tuned level it goes on from the last checkpoint. Of several processes, which all train, the first one writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax import run as checkpoint
from xmc_jax.calibrate import Calibration
from xmc_jax.config import (
    TransformerConfig,
    XTransformerConfig,
    flat_clusters,
    linear_part,
    to_dict,
)
from xmc_jax.encoder import Encoder, Tokens, embed_texts, flatten_params, start_encoder
from xmc_jax.errors import InputError
from xmc_jax.features import Vectorizer, embed_labels
from xmc_jax.linear.recursion import (
    Training,
    calibrate,
    check_sources,
    list_extras,
    make_features,
    make_tree,
    train_ranker,
)
from xmc_jax.model import Head, LabelTree, LevelWeights, XRModel
from xmc_jax.parallel import is_first, list_devices, run_first, wait
from xmc_jax.run.folder import close_run, fingerprint, open_run, write_names
from xmc_jax.run.restore import find_final, restore
from xmc_jax.tree import build_tree
from xmc_jax.tuning.curves import draw_curves
from xmc_jax.tuning.hybrid import hold_vectors, join_features, measure_scale, to_level
from xmc_jax.tuning.level import explain_memory
from xmc_jax.tuning.levels import Corpus, count_finished, count_levels, tune_levels
from xmc_jax.tuning.placement import choose_mesh
from xmc_jax.types import Features, Progress

_VECTORS = "vectors"


@dataclass(frozen=True)
class TransformerTraining:
    """What a run is trained on.

    Attributes:
        config: all settings.
        linear: texts, labels and what the final levels need, with the settings of `linear_part`.
        encoder: an encoder of one's own, or None for the one in the settings.
        validation: (texts, labels [N, L]) to choose parameters by, or None.
        validation_features: of those texts, where the training has features of its own.
    """

    config: TransformerConfig
    linear: Training
    encoder: Encoder | None = None
    validation: tuple[Any, sp.csr_matrix] | None = None
    validation_features: Features | None = None


class TransformerOutcome(NamedTuple):
    """The trained parts; `scale` as `join_features` takes it, `calibration` where documents were held out."""

    model: XRModel
    vectorizer: Vectorizer | None
    encoder: Encoder
    scale: float
    calibration: Calibration | None = None


def train_transformer(
    training: TransformerTraining, workdir: str | os.PathLike | None, progress: Progress
) -> TransformerOutcome:
    """Trains a model, or finishes the run that `workdir` holds.

    Args:
        training: settings and data.
        workdir: the run's folder; None keeps nothing.
        progress: told about each stage.

    Raises:
        InputError: bad data or settings, or the folder holds another run.
        RunError: the device has too little memory.
    """
    config, linear = training.config, training.linear
    check_sources(linear)
    _check(training)
    folder = None if workdir is None else Path(workdir)
    if folder is not None:
        complete = open_run(folder, to_dict(config), _digest(training))
        write_names(folder, linear.label_names)
        if complete:
            progress.start("run", 0)
            held = restore(folder, training.encoder)
            progress.finish("complete already, nothing to do")
            assert held.encoder is not None
            return TransformerOutcome(
                held.model, held.vectorizer, held.encoder, held.scale, held.calibration
            )
        _tell_resumed(config, folder, progress)
    # First, as it is refused most easily.
    encoder = training.encoder or start_encoder(config.encoder, linear.texts, config.seed)
    features, vectorizer = make_features(linear, folder, progress)
    progress.start("tokens", len(linear.texts))
    tokens = encoder.tokenize(linear.texts)
    progress.finish(f"{tokens.lengths.mean():.1f} a document")
    tree, encoder, head = _tune(training, encoder, tokens, features, vectorizer, folder, progress)
    model, scale, calibration = _rank(
        training, tree, encoder, head, tokens, features, folder, progress
    )
    if folder is not None:
        close_run(
            folder,
            model,
            n_train=linear.labels.shape[0],
            from_text=vectorizer is not None,
            named_labels=linear.label_names is not None,
            scale=scale,
        )
        if is_first():
            shutil.rmtree(find_final(folder, config.model) / _VECTORS, ignore_errors=True)
        wait("run closed")
    return TransformerOutcome(model, vectorizer, encoder, scale, calibration)


def _tell_resumed(config: TransformerConfig, folder: Path, progress: Progress) -> None:
    """Says what an unfinished run has done; nothing for a new one."""
    if not checkpoint.is_committed(folder / "tree") or config.tuning.is_off:
        return
    n_levels = count_levels(checkpoint.load_tree(folder)[0], config)
    done = count_finished(folder, n_levels, config)
    progress.start("resumed", n_levels)
    progress.finish(f"{done} of {n_levels} levels are fine-tuned")


def _tune(
    training: TransformerTraining,
    encoder: Encoder,
    tokens: Tokens,
    features: Features,
    vectorizer: Vectorizer | None,
    folder: Path | None,
    progress: Progress,
) -> tuple[LabelTree | None, Encoder, Head | None]:
    """Returns the first tree (None: none is needed), the fine-tuned encoder, and the last head."""
    config, linear = training.config, training.linear
    tree, head = None, None
    if isinstance(config, XTransformerConfig):
        tree = _make_flat_tree(training, encoder, tokens, features, folder, progress)
    elif not (config.tuning.is_off and config.refine):
        settings = dataclasses.replace(linear_part(config), tree=config.preliminary.as_tree())
        first = dataclasses.replace(linear, config=settings, label_features=None)
        tree = make_tree(first, features, folder, progress)
    if tree is not None and not config.tuning.is_off:
        corpus = Corpus(tokens, features.sparse, linear.labels)
        held_out = None
        if training.validation is not None:
            texts, labels = training.validation
            if training.validation_features is not None:
                sparse = training.validation_features.sparse
            else:
                assert vectorizer is not None
                sparse = vectorizer.transform(texts)
            held_out = Corpus(encoder.tokenize(texts), sparse, labels)
        tuned, head = tune_levels(
            tree, encoder.unscaled(), corpus, held_out, config, folder, progress
        )
        encoder = encoder.replace(tuned.params)
        if folder is not None:
            run_first(partial(draw_curves, folder))
    if folder is not None:
        checkpoint.save_encoder(folder, encoder)
    return tree, encoder, head


def _rank(
    training: TransformerTraining,
    tree: LabelTree | None,
    encoder: Encoder,
    head: Head | None,
    tokens: Tokens,
    features: Features,
    folder: Path | None,
    progress: Progress,
) -> tuple[XRModel, float, Calibration | None]:
    """Returns the final levels, trained on [features, vector], the scale of the vectors, and the maps to
    probabilities."""
    config = training.config
    below = None if folder is None else find_final(folder, config.model)
    vectors = _embed_all(encoder, tokens, config, below, progress)
    scale = 0.0
    kept: tuple[LevelWeights, ...] = ()
    linear = training.linear
    if isinstance(config, XTransformerConfig):
        assert tree is not None
        linear = dataclasses.replace(linear, tree=tree)
        if head is not None and tree.n_levels > 1:
            # The head scores vectors as they are: one scale for all keeps its ranking of clusters.
            scale = measure_scale(vectors)
            kept = (to_level(head, tree, 0, scale),)
    elif not config.refine:
        linear = dataclasses.replace(linear, tree=tree)
    hybrid = join_features(features.sparse, vectors, scale)
    model = train_ranker(linear, hybrid, below, progress, kept)
    if below is not None and kept:
        checkpoint.save_level(below, 0, kept[0], {"stage": "level", "level": 0, "from": "head"})
    # The vectors of a fine-tuned encoder know the documents that it was tuned on, whatever the levels saw.
    found = calibrate(linear, (model,), hybrid, folder, progress) if config.tuning.is_off else None
    return model, scale, found


def _embed_all(
    encoder: Encoder,
    tokens: Tokens,
    config: TransformerConfig,
    folder: Path | None,
    progress: Progress,
) -> np.ndarray:
    """Returns the vectors of the training set; those on disk, if a run goes on after they were made."""
    at = None if folder is None else folder / _VECTORS
    if at is not None and checkpoint.is_committed(at):
        return checkpoint.load_arrays(at)[0]["vectors"]
    with explain_memory(config.tuning):
        size, mesh = config.tuning.embed_batch, choose_mesh(config)
        vectors = embed_texts(encoder.unscaled(), tokens, size, progress=progress, mesh=mesh)
    if at is not None:
        checkpoint.save_arrays(at, {"vectors": vectors}, {})
    return vectors


def _make_flat_tree(
    training: TransformerTraining,
    encoder: Encoder,
    tokens: Tokens,
    features: Features,
    folder: Path | None,
    progress: Progress,
) -> LabelTree:
    """Returns X-Transformer's tree: one level of clusters, of the label embedding that the settings name."""
    config, linear = training.config, training.linear
    assert isinstance(config, XTransformerConfig)
    kind = config.label_embedding
    n_labels = linear.labels.shape[1]
    is_made = folder is not None and checkpoint.is_committed(folder / "tree")
    if is_made or linear.tree is not None or kind == "pifa-tfidf" or n_labels <= 1:
        return make_tree(linear, features, folder, progress)
    inputs = linear.label_names if kind == "text" else tokens
    with explain_memory(config.tuning):
        size, mesh = config.tuning.embed_batch, choose_mesh(config)
        embeddings: Any = embed_texts(
            encoder.unscaled(), inputs, size, progress=progress, mesh=mesh
        )
        if kind != "text":
            vectors = embeddings
            dense = hold_vectors(join_features(features.sparse, vectors).dense)
            embeddings = embed_labels(dense, linear.labels, config=config.tree, seed=config.seed)
    tree = build_tree(embeddings, flat_clusters(config.tree), config.seed)
    return make_tree(dataclasses.replace(linear, tree=tree), features, folder, progress)


def _check(training: TransformerTraining) -> None:
    """Refuses before anything is written what would be refused later."""
    config, linear = training.config, training.linear
    list_devices(config.parallel)
    if linear.texts is None:
        raise InputError(
            f"model '{config.model}' reads texts, feature vectors given; give texts, or use XRLinear"
        )
    if training.encoder is not None and training.encoder.tokenizer is None:
        raise InputError(
            "an encoder without a tokenizer given, one that reads texts needed; wrap_function(..., tokenizer=...)"
        )
    choose_mesh(config)
    if not isinstance(config, XTransformerConfig):
        return
    if config.label_embedding == "text" and linear.label_names is None:
        raise InputError(
            "label_embedding=text given, but the labels have no names; give label_names, or choose pifa-tfidf"
        )
    if linear.tree is not None and linear.tree.n_levels != 2:
        raise InputError(
            f"a tree of {linear.tree.n_levels} levels given, X-Transformer has one level of clusters above the "
            "labels (2 levels); use xr-transformer for deeper trees"
        )


def _digest(training: TransformerTraining) -> dict[str, Any]:
    """Returns what tells one training set from another, JSON-ready."""
    linear = training.linear
    extras = list_extras(linear)
    if training.encoder is not None:
        extras += flatten_params(training.encoder.params).values()
    if training.validation is not None:
        texts, labels = training.validation
        digest = hashlib.blake2b()
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        extras += [np.frombuffer(digest.digest(), np.uint8), labels.indptr, labels.indices]
    return fingerprint(linear.texts, linear.features, linear.labels, extras)
