"""XR-Transformer and X-Transformer from texts to the last level: features, a first tree, the encoder fine-tuned on it,
then XR-Linear on [features, vector], which is trained as any other in a part of the run.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import (
    TransformerConfig,
    XRTransformerConfig,
    XTransformerConfig,
    choose_merge,
    flat_clusters,
)
from xmc_jax.encoder import Encoder, Tokens, embed_texts, flatten_params, start_encoder
from xmc_jax.errors import InputError
from xmc_jax.features import Vectorizer, embed_labels
from xmc_jax.linear.forest import list_members
from xmc_jax.linear.heldout import Learned
from xmc_jax.linear.recursion import (
    learn,
    make_features,
    make_tree,
    train_trees,
)
from xmc_jax.linear.training import Training, check_sources, list_extras
from xmc_jax.model import Head, LabelTree, LevelWeights, Prototypes, XRModel
from xmc_jax.predict import FewResultsWarning, predict_forest
from xmc_jax.predict.mixture import choose_weights
from xmc_jax.predict.nearest import MIX_DEPTH, Nearest
from xmc_jax.run import (
    Run,
    Start,
    Trained,
    digest_texts,
    fingerprint,
    layout,
    load_arrays,
    load_prototypes,
    open_run,
    read_learned,
    restore_run,
    save_arrays,
    save_encoder,
    save_prototypes,
)
from xmc_jax.run import load_encoder as load_tuned
from xmc_jax.tree import build_tree
from xmc_jax.tuning.curves import draw_curves
from xmc_jax.tuning.hybrid import hold_vectors, join_features, measure_scale, to_level
from xmc_jax.tuning.level import explain_memory
from xmc_jax.tuning.levels import Corpus, count_finished, count_levels, tune_levels
from xmc_jax.tuning.placement import choose_mesh
from xmc_jax.tuning.prototype.training import check_columns, store, tune_in
from xmc_jax.tuning.prototype.training import choose_mesh as choose_prototype_mesh
from xmc_jax.tuning.prototype.tune import PrototypeTuning
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class TransformerTraining:
    """What a run is trained on.

    Attributes:
        config: all settings.
        linear: texts, labels and what the final levels need, with the settings of `linear_part`.
        encoder: an encoder of one's own, or None for the one in the settings.
        validation: (texts, labels [N, L]) to choose parameters by, or None.
        validation_features: of those texts, where the training has features of its own.
        label_texts: L texts of the labels for prototypes, empty where nothing is said of one; None: there are none.
        mixed_by: (texts, labels [N, L], features of one's own or None) that the share of the prototypes' score is
            chosen by; None: it is that of the settings.
    """

    config: TransformerConfig
    linear: Training
    encoder: Encoder | None = None
    validation: tuple[Any, sp.csr_matrix] | None = None
    validation_features: Features | None = None
    label_texts: list[str] | None = None
    mixed_by: tuple[Any, sp.csr_matrix, Features | None] | None = None

    def describe_data(self) -> dict[str, Any]:
        """Returns what tells this training set from another, JSON-ready."""
        linear = self.linear
        extras = list_extras(linear)
        if self.encoder is not None:
            extras += flatten_params(self.encoder.params).values()
        if self.validation is not None:
            texts, labels = self.validation
            extras += [digest_texts(texts), labels.indptr, labels.indices]
        if self.label_texts is not None:
            extras.append(digest_texts(self.label_texts))
        return fingerprint(linear.texts, linear.features, linear.labels, extras)


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
        progress: told about each stage.
        source: where the data came from, to be noted in the folder.

    Raises:
        InputError: bad data or settings, or the folder holds another run.
        RunError: the device has too little memory, another training works in the folder, or it cannot be written.
    """
    config, linear = training.config, training.linear
    check_sources(linear)
    _check(training)
    start = Start(config, training.describe_data, linear.label_names, source)
    with open_run(workdir, start, progress) as run:
        if run.is_complete:
            progress.start("run", 0)
            held = restore_run(run, training.encoder)
            progress.finish("complete already, nothing to do")
            return held
        # First, as it is refused most easily.
        encoder = training.encoder or start_encoder(config.encoder, linear.texts, config.seed)
        work = _Work(training, run, progress, encoder)
        features, vectorizer = make_features(linear, run, progress)
        progress.start("tokens", len(linear.texts))
        tokens = encoder.tokenize(linear.texts)
        progress.finish(f"{tokens.lengths.mean():.1f} a document")
        trees = work.make_trees(tokens, features)
        prototypes, head, mix = None, None, 0.0
        if getattr(config, "has_prototypes", False):
            encoder, prototypes = work.tune_prototypes(tokens)
        else:
            encoder, head = work.tune(trees, tokens, features, vectorizer)
        models, scale, learned = work.rank(trees, encoder, head, tokens, features)
        if prototypes is not None:
            mix = work.choose_mix(models, prototypes, encoder, vectorizer)
        trained = linear.describe_model(config, models, vectorizer, learned, encoder, scale)
        trained = dataclasses.replace(trained, prototypes=prototypes, mix=mix)
        run.close(trained.list_facts())
        run.inside(layout.RANKER).drop(layout.VECTORS)
    return trained


@dataclass(frozen=True)
class _Work:
    """The stages of a training.

    Attributes:
        training: settings and data.
        run: where they are kept.
        progress: told about each.
        pretrained: the encoder before its fine-tuning.
    """

    training: TransformerTraining
    run: Run
    progress: Progress
    pretrained: Encoder

    def make_trees(self, tokens: Tokens, features: Features) -> tuple[LabelTree, ...]:
        """Returns the tree that the encoder is fine-tuned on (none, if it is used as it is and every tree is made of
        its vectors); of X-Transformer, those of a forest's other trees behind it.
        """
        config, linear = self.training.config, self.training.linear
        if isinstance(config, XTransformerConfig):
            return self._make_flat_trees(tokens, features)
        if config.refine and (config.tuning.is_off or config.has_prototypes):
            return ()
        settings = dataclasses.replace(linear.config, tree=config.preliminary.as_tree())
        first = dataclasses.replace(linear, config=settings, label_features=None)
        return (make_tree(first, features, self.run, self.progress),)

    def _make_flat_trees(self, tokens: Tokens, features: Features) -> tuple[LabelTree, ...]:
        """Returns one level of clusters for each tree, of the label embedding that the settings name."""
        config, linear = self.training.config, self.training.linear
        assert isinstance(config, XTransformerConfig)
        members, trees = list_members(linear.config), []
        embeddings = None
        for i, member in enumerate(members):
            at = self.run if not i else self.run.inside(layout.RANKER).inside(layout.member_name(i))
            part = linear.change(member, linear.tree)
            if not at.has(layout.TREE) and self._clusters_vectors:
                if embeddings is None:
                    embeddings = self._embed_labels(tokens, features)
                tree = build_tree(embeddings, flat_clusters(member.tree), member.seed)
                part = linear.change(member, tree)
            trees.append(make_tree(part, features, at, self.progress))
        return tuple(trees)

    @property
    def _clusters_vectors(self) -> bool:
        """Whether labels are clustered by vectors of the encoder."""
        config, linear = self.training.config, self.training.linear
        kind = getattr(config, "label_embedding", "pifa-tfidf")
        return kind != "pifa-tfidf" and linear.tree is None and linear.labels.shape[1] > 1

    def _embed_labels(self, tokens: Tokens, features: Features) -> Any:
        """Returns what X-Transformer clusters: vectors of the labels' names, or means of those of their documents."""
        config, linear = self.training.config, self.training.linear
        if getattr(config, "label_embedding", "") == "text":
            return self._embed(self.pretrained, linear.label_names)
        vectors = self._embed(self.pretrained, tokens)
        dense = hold_vectors(join_features(features.sparse, vectors).dense)
        return embed_labels(dense, linear.labels, config=config.tree, seed=config.seed)

    def _embed(self, encoder: Encoder, inputs: Any) -> np.ndarray:
        config = self.training.config
        mesh = choose_mesh(config, self.training.linear.machine.mesh)
        size = config.tuning.embed_batch
        with explain_memory(f"{size} documents to encode", "lower tuning.embed_batch"):
            return embed_texts(encoder.unscaled(), inputs, size, progress=self.progress, mesh=mesh)

    def tune(
        self,
        trees: Sequence[LabelTree],
        tokens: Tokens,
        features: Features,
        vectorizer: Vectorizer | None,
    ) -> tuple[Encoder, Head | None]:
        """Returns the fine-tuned encoder, and the last head (None: it is used as it is)."""
        training, config, run = self.training, self.training.config, self.run
        encoder, head = self.pretrained, None
        if trees and not config.tuning.is_off:
            self._tell_resumed(trees[0])
            corpus = Corpus(tokens, features.sparse, training.linear.labels)
            tuned, head = tune_levels(
                trees[0],
                encoder.unscaled(),
                corpus,
                self._hold_out(vectorizer),
                config,
                training.linear.machine,
                run,
                self.progress,
            )
            encoder = encoder.replace(tuned.params)
            run.draw(draw_curves)
        encoder = run.once(
            layout.ENCODER,
            lambda: encoder,
            save_encoder,
            lambda path: encoder if head is not None else load_tuned(path, training.encoder),
        )
        return encoder, head

    def tune_prototypes(self, tokens: Tokens) -> tuple[Encoder, Prototypes]:
        """Returns the encoder fine-tuned with one head over all labels, and the prototypes."""
        training, config, run = self.training, self.training.config, self.run
        assert isinstance(config, XRTransformerConfig)
        encoder, said = self.pretrained, training.label_texts
        update = config.tuning.to_updates()
        check_columns(config.head, encoder)

        def tune() -> tuple[Encoder, Prototypes]:
            bare = encoder.unscaled()
            tuning = PrototypeTuning(
                encoder=bare,
                tokens=tokens,
                labels=training.linear.labels,
                label_tokens=None if said is None else bare.tokenize(said),
                silent=np.array([not text for text in said or ()], bool),
                head=config.head,
                update=update,
                seed=config.seed,
                mesh=choose_prototype_mesh(training.linear.machine.mesh, update),
            )
            tuned = tune_in(run, tuning, training.validation, self.progress)
            return encoder.replace(tuned.params), store(tuned.prototypes, config.head)

        if run.has(layout.ENCODER) and run.has(layout.PROTOTYPES):
            held = run.read(layout.ENCODER, lambda path: load_tuned(path, training.encoder))
            return held, run.read(layout.PROTOTYPES, load_prototypes)[0]
        tuned, prototypes = tune()
        run.once(layout.ENCODER, lambda: tuned, save_encoder, lambda path: tuned)
        counts = training.linear.count_positives()
        run.keep(layout.PROTOTYPES, partial(save_prototypes, prototypes=prototypes, counts=counts))
        return tuned, prototypes

    def choose_mix(
        self,
        models: Sequence[XRModel],
        prototypes: Prototypes,
        encoder: Encoder,
        vectorizer: Vectorizer | None,
    ) -> float:
        """Returns the share of the prototypes' score: what does best on held-out documents, else the setting."""
        training, config = self.training, self.training.config
        assert isinstance(config, XRTransformerConfig)
        if training.mixed_by is None or not config.mix:
            return config.mix
        held = self._read_held_out(*training.mixed_by, vectorizer)
        features = join_features(held.features, self._embed(encoder, held.tokens))
        linear = training.linear.config
        search = dataclasses.replace(linear.search, top_k=MIX_DEPTH)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)
            ranked = predict_forest(
                models, features, search, rule=linear.combine, merge=choose_merge(linear)
            )
        head, _ = Nearest(prototypes).find(features.dense, MIX_DEPTH)
        weights, score = choose_weights([ranked.to_csr(), head.to_csr()], held.labels)
        self.progress.start("mixture", 0)
        self.progress.finish(
            f"{weights[1]:.0%} prototypes, {weights[0]:.0%} levels; P@1,3,5 mean {score:.2f}"
        )
        return weights[1]

    def _tell_resumed(self, tree: LabelTree) -> None:
        """Says what an unfinished run has done; nothing for a new one."""
        n_levels = count_levels(tree, self.training.config)
        if self.run.steps(layout.level_name(0)).last_step is not None:
            done = count_finished(self.run, n_levels, self.training.config)
            self.progress.start("resumed", n_levels)
            self.progress.finish(f"{done} of {n_levels} levels are fine-tuned")

    def _hold_out(self, vectorizer: Vectorizer | None) -> Corpus | None:
        """Returns the documents that parameters are chosen by."""
        training = self.training
        if training.validation is None:
            return None
        return self._read_held_out(*training.validation, training.validation_features, vectorizer)

    def _read_held_out(
        self,
        texts: Any,
        labels: sp.csr_matrix,
        features: Features | None,
        vectorizer: Vectorizer | None,
    ) -> Corpus:
        """Returns documents as the fine-tuning takes them; `features` are one's own."""
        if features is not None:
            sparse = features.sparse
        else:
            assert vectorizer is not None
            sparse = vectorizer.transform(texts)
        return Corpus(self.pretrained.tokenize(texts), sparse, labels)

    def rank(
        self,
        trees: Sequence[LabelTree],
        encoder: Encoder,
        head: Head | None,
        tokens: Tokens,
        features: Features,
    ) -> tuple[tuple[XRModel, ...], float, Learned]:
        """Returns the models on [features, vector], the scale of the vectors, and what held-out documents taught."""
        config, run = self.training.config, self.run.inside(layout.RANKER)
        vectors = run.once(
            layout.VECTORS,
            partial(self._embed, encoder, tokens),
            lambda path, vectors: save_arrays(path, {"vectors": vectors}, {}),
            lambda path: load_arrays(path)[0]["vectors"],
        )
        scale = 0.0
        heads: tuple[LevelWeights, ...] = ()
        given: Sequence[LabelTree] = ()
        if isinstance(config, XTransformerConfig):
            given = trees
            if head is not None and trees[0].n_levels > 1:
                # The head scores vectors as they are: one scale for all keeps its ranking of clusters.
                scale = measure_scale(vectors)
                heads = (to_level(head, trees[0], 0, scale),)
        elif not config.refine:
            given = trees
        hybrid = join_features(features.sparse, vectors, scale)
        linear = self.training.linear
        models = train_trees(linear, hybrid, run, self.progress, trees=given, heads=heads)
        # The vectors of a fine-tuned encoder know the documents that it was tuned on, whatever the levels saw.
        if not config.tuning.is_off:
            return models, scale, Learned(*read_learned(self.run))
        return models, scale, learn(linear, hybrid, self.run, self.progress, given)


def _check(training: TransformerTraining) -> None:
    """Refuses before anything is written what would be refused later."""
    config, linear = training.config, training.linear
    if linear.texts is None:
        raise InputError(
            f"model '{config.model}' reads texts, feature vectors given; give texts, or use XRLinear"
        )
    if training.encoder is not None and training.encoder.tokenizer is None:
        raise InputError(
            "an encoder without a tokenizer given, one that reads texts needed; wrap_function(..., tokenizer=...)"
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
