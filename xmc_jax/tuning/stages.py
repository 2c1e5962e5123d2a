"""The stages of training XR-Transformer and X-Transformer: trees, fine-tuning, prototypes, final levels."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import (
    XRTransformerConfig,
    XTransformerConfig,
    choose_merge,
    flat_clusters,
)
from xmc_jax.encoder import Encoder, Tokens, embed_texts
from xmc_jax.features import Vectorizer, embed_labels
from xmc_jax.linear.forest import list_members
from xmc_jax.linear.heldout import Learned
from xmc_jax.linear.recursion import (
    learn,
    make_tree,
    train_trees,
)
from xmc_jax.model import Head, LabelTree, LevelWeights, Prototypes, XRModel
from xmc_jax.predict import FewResultsWarning, predict_forest
from xmc_jax.predict.mixture import choose_weights
from xmc_jax.predict.nearest import MIX_DEPTH, Nearest
from xmc_jax.run import (
    Run,
    layout,
    load_arrays,
    load_prototypes,
    read_learned,
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
from xmc_jax.tuning.training import TransformerTraining
from xmc_jax.types import Features, Progress


@dataclass(frozen=True)
class Stages:
    """The stages of a training, one after another.

    Attributes:
        training: the settings and data.
        run: where the stages are kept.
        progress: is told about each stage.
        pretrained: the encoder before its fine-tuning.
    """

    training: TransformerTraining
    run: Run
    progress: Progress
    pretrained: Encoder

    def make_trees(self, tokens: Tokens, features: Features) -> tuple[LabelTree, ...]:
        """Returns the tree that the encoder is fine-tuned on (none if it is used as it is and every tree is built from
        its vectors), followed by the other trees of a forest for X-Transformer.
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
        """Returns one level of clusters per tree, built from the label embedding that the settings name."""
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
        """Returns what X-Transformer clusters: the vectors of the labels' names, or the means of their documents'."""
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
        """Returns the fine-tuned encoder and the last head (None: the encoder is used as it is)."""
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
        """Returns the share of the prototypes' score: the best one on held-out documents, or else the setting."""
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
        """Reports what an unfinished run has done; nothing for a new one."""
        n_levels = count_levels(tree, self.training.config)
        if self.run.steps(layout.level_name(0)).last_step is not None:
            done = count_finished(self.run, n_levels, self.training.config)
            self.progress.start("resumed", n_levels)
            self.progress.finish(f"{done} of {n_levels} levels are fine-tuned")

    def _hold_out(self, vectorizer: Vectorizer | None) -> Corpus | None:
        """Returns the documents by which parameters are chosen."""
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
        """Returns documents as inputs of the fine-tuning; `features` are the user's own."""
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
        """Returns the models on [features, vector], the vectors' scale, and what held-out documents taught."""
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
                # The head scores unscaled vectors; one scale for all keeps its ranking of clusters.
                scale = measure_scale(vectors)
                heads = (to_level(head, trees[0], 0, scale),)
        elif not config.refine:
            given = trees
        hybrid = join_features(features.sparse, vectors, scale)
        linear = self.training.linear
        models = train_trees(linear, hybrid, run, self.progress, trees=given, heads=heads)
        # The vectors of a fine-tuned encoder reflect the documents that it was tuned on, whatever the levels saw.
        if not config.tuning.is_off:
            return models, scale, Learned(*read_learned(self.run))
        return models, scale, learn(linear, hybrid, self.run, self.progress, given)
