"""XR-Transformer and X-Transformer from texts to the last level: features, a first tree, the encoder fine-tuned on it,
and XR-Linear on [features, vector], which is trained like any other in a part of the run.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from xmc_jax.config import XRTransformerConfig, XTransformerConfig
from xmc_jax.encoder import start_encoder
from xmc_jax.errors import InputError
from xmc_jax.linear.recursion import (
    make_features,
)
from xmc_jax.linear.training import check_sources
from xmc_jax.run import (
    Start,
    Trained,
    find_trained,
    keep_label_texts,
    layout,
    open_run,
)
from xmc_jax.tuning.placement import choose_mesh
from xmc_jax.tuning.prototype.training import choose_mesh as choose_prototype_mesh
from xmc_jax.tuning.prototype.training import list_texts
from xmc_jax.tuning.stages import Stages
from xmc_jax.tuning.training import TransformerTraining
from xmc_jax.types import Progress


def train_transformer(
    training: TransformerTraining,
    workdir: str | os.PathLike | None,
    progress: Progress,
    source: dict[str, Any] | None = None,
) -> Trained:
    """Trains a model, or finishes the run that `workdir` holds.

    Args:
        training: settings and data.
        workdir: the run's folder; None keeps nothing.
        progress: is told about each stage.
        source: where the data came from, recorded in the folder.

    Raises:
        InputError: bad data or settings, or the folder holds another run.
        RunError: the device has too little memory, another training is using the folder, or it cannot be written.
    """
    config, linear = training.config, training.linear
    check_sources(linear)
    _check(training)
    start = Start(config, training.describe_data, linear.label_names, source)
    with open_run(workdir, start, progress) as run:
        if held := find_trained(run, progress, training.encoder):
            return held
        # The encoder comes first, as it is most likely to be refused.
        encoder = training.encoder or start_encoder(config.encoder, linear.texts, config.seed)
        work = Stages(training, run, progress, encoder)
        features, vectorizer = make_features(linear, run, progress)
        progress.start("tokens", len(linear.texts))
        tokens = encoder.tokenize(linear.texts)
        progress.finish(f"{tokens.lengths.mean():.1f} per document")
        trees = work.make_trees(tokens, features)
        prototypes, head = None, None
        if getattr(config, "has_prototypes", False):
            encoder, prototypes = work.tune_prototypes(tokens)
        else:
            encoder, head = work.tune(trees, tokens, features, vectorizer)
        models, scale, learned = work.rank(trees, encoder, head, tokens, features)
        trained = linear.describe_model(config, models, vectorizer, learned, encoder, scale)
        if prototypes is not None:
            assert isinstance(config, XRTransformerConfig)
            mix = work.choose_mix(models, prototypes, encoder, vectorizer)
            said = list_texts(config.head, training.label_texts, linear.label_names, prototypes)
            keep_label_texts(run, said)
            trained = dataclasses.replace(trained, prototypes=prototypes, mix=mix, label_texts=said)
        run.close(trained.list_facts())
        run.inside(layout.RANKER).drop(layout.VECTORS)
    return trained


def _check(training: TransformerTraining) -> None:
    """Refuses, before anything is written, what would be refused later."""
    config, linear = training.config, training.linear
    if linear.texts is None:
        raise InputError(
            f"model '{config.model}' reads texts, feature vectors given; give texts, or use XRLinear"
        )
    if training.encoder is not None and training.encoder.tokenizer is None:
        raise InputError(
            "an encoder without a tokenizer given, one that reads texts needed; use wrap_function(..., tokenizer=...)"
        )
    if getattr(config, "has_prototypes", False):
        choose_prototype_mesh(linear.machine.mesh, config.tuning.to_updates())
    else:
        choose_mesh(config, linear.machine.mesh)
    if config.trees > 1 and not getattr(config, "refine", True):
        raise InputError(
            f"trees={config.trees} given with refine=false, whose one tree all would share; set refine=true or trees=1"
        )
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
