"""XR-Transformer and X-Transformer as models: XR-Linear on [features, vector], with the encoder of the vectors."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.calibrate import Calibration
from xmc_jax.config import XRTransformerConfig, XTransformerConfig, linear_part
from xmc_jax.data import LabelTexts, TextStore
from xmc_jax.encoder import Encoder, embed_texts
from xmc_jax.errors import InputError
from xmc_jax.estimator.change import Change
from xmc_jax.estimator.linear import XRLinear
from xmc_jax.estimator.mixture import Mixture
from xmc_jax.estimator.texts import find_label_texts, split_documents
from xmc_jax.estimator.work import hear, working
from xmc_jax.features import Vectorizer, check_width
from xmc_jax.linear.heldout import drop_labels, list_tuned, split_once
from xmc_jax.linear.sources import read_documents
from xmc_jax.linear.training import Training
from xmc_jax.linear.update import Featurize, Prototyped
from xmc_jax.model import LabelTree, Prototypes, XRModel
from xmc_jax.parallel import Machine
from xmc_jax.plan import list_transformer
from xmc_jax.predict import (
    Asked,
    Predictions,
)
from xmc_jax.predict.nearest import Nearest
from xmc_jax.progress import expect
from xmc_jax.rerank import Reranker
from xmc_jax.run import Run, Trained, layout, load_arrays, save_arrays
from xmc_jax.tuning.hybrid import join_features
from xmc_jax.tuning.prototype.growth import PrototypeGrowth
from xmc_jax.tuning.prototype.update import grow_in
from xmc_jax.tuning.recursion import TransformerTraining, train_transformer
from xmc_jax.types import Features, Progress


class XRTransformer(Mixture):
    """XR-Transformer (Zhang et al. 2021): an encoder fine-tuned level by level, then XR-Linear on [features, vector].

    Args:
        config: all settings; defaults if None.
        **settings: as in `XRLinear`; also the sections `encoder`, `preliminary` and `tuning`
            (`encoder=dict(name="folder")`, `tuning=dict(steps=400)`).

    Raises:
        InputError: an unknown setting (with a suggestion) or a value out of range.

    Attributes:
        encoder: the encoder with the fine-tuned parameters; None before training.
        linear: the XR-Linear on [features, vector].
        others: as in `XRLinear`.

    >>> texts = ["a red apple", "a green pear", "a fast car", "a slow bus"] * 2
    >>> labels = [["fruit"], ["fruit"], ["vehicle"], ["vehicle"]] * 2
    >>> model = XRTransformer(name="static", hidden=16, steps=0).fit(texts, labels)  # 0: not fine-tuned
    >>> model.predict(["a slow car"], top_k=1).names()
    [['vehicle']]
    """

    CONFIG: ClassVar[type] = XRTransformerConfig
    encoder: Encoder | None = None
    _scale = 0.0

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self._linear = XRLinear()

    @property
    def linear(self) -> XRLinear:
        """The XR-Linear on [features, vector], with this model's settings."""
        self._linear.config = linear_part(self.config)
        return self._linear

    @property
    def machine(self) -> Machine:
        """As in `XRLinear`."""
        return self.linear.machine

    @property
    def models(self) -> tuple[XRModel, ...]:  # type: ignore[override]
        """The trained `XRModel` of each tree; none before training."""
        return self._linear.models

    @property
    def label_names(self) -> list[str] | None:  # type: ignore[override]
        """Label names by id; None if the model was trained on a label matrix."""
        return self._linear.label_names

    @property
    def label_counts(self) -> np.ndarray | None:  # type: ignore[override]
        """Number of training positives of each label, int32 [L]."""
        return self._linear.label_counts

    @property
    def n_train(self) -> int:  # type: ignore[override]
        """Number of training documents."""
        return self._linear.n_train

    @property
    def calibration(self) -> Calibration | None:
        """The maps from scores to probabilities, or None without any."""
        return self._linear.calibration

    @calibration.setter
    def calibration(self, found: Calibration | None) -> None:
        self._linear.calibration = found

    @property
    def reranker(self) -> Reranker | None:
        """A memory of the training set and what re-ranks with it, or None without one."""
        return self._linear.reranker

    @reranker.setter
    def reranker(self, found: Reranker | None) -> None:
        self._linear.reranker = found

    @property
    def reads_text(self) -> bool:
        """Whether it reads texts; it always does."""
        return True

    @working
    def fit(
        self,
        x: Any,
        labels: Any,
        *,
        tree: LabelTree | Mapping[str, Any] | None = None,
        validation: tuple[Any, Any] | None = None,
        workdir: str | os.PathLike | None = None,
        relevance: Any = None,
        negatives: Mapping[int, sp.spmatrix] | None = None,
        label_features: Any = None,
        label_names: Sequence[str] | None = None,
        progress: Progress | bool | None = None,
        source: dict[str, Any] | None = None,
        encoder: Encoder | None = None,
        labels_text: LabelTexts | None = None,
    ) -> XRTransformer:
        """Trains, or resumes the unfinished run that `workdir` holds.

        Args:
            x: N texts, or a pair (texts, features [N, D]) with features of your own instead of TF-IDF.
            labels, tree, workdir, relevance, negatives, label_features, label_names, progress, source: as in
                `XRLinear.fit`; a tree of your own serves both for fine-tuning and for the final levels.
            validation: (x, labels); the parameters that do best on it are kept, level by level.
            encoder: an encoder of your own (`wrap_function`) instead of the one that the settings name.
            labels_text: with `tuning.head=prototype`, texts of the labels, as name → text or one per label in order.

        Returns:
            self.

        Raises:
            InputError: bad data, an encoder that cannot be loaded, or `workdir` holds another run.
            RunError: the device does not have enough memory.
        """
        texts, features = split_documents(x)
        held_features = None
        if isinstance(validation, tuple) and len(validation) == 2:
            held_texts, held_features = split_documents(validation[0])
            validation = held_texts, validation[1]
            if (features is None) != (held_features is None):
                raise InputError(
                    "features given with texts for training or for validation only; both needed"
                )
        training, held_out = self._read(
            texts, labels, tree, validation, relevance, negatives, label_features, label_names
        )
        if features is not None:
            if len(features) != len(texts):
                raise InputError(f"{len(features)} rows of features given for {len(texts)} texts")
            training = dataclasses.replace(training, features=features)
            if held_features is not None:
                check_width(held_features, features.n_sparse, 0)
        chosen_by = held_out
        if held_out is None:
            training, held_out = self._hold_out(training)
        told = hear(progress)
        said = self._read_texts(labels_text, training, told)
        if chosen_by is not None and held_features is not None:
            held_out = (chosen_by[0], held_features.sparse), chosen_by[1]
        mixed_by = None
        if held_out is not None:
            held_texts, own = split_documents(held_out[0])
            mixed_by = held_texts, held_out[1], own
        whole = TransformerTraining(
            self.config, training, encoder, chosen_by, held_features, said, mixed_by
        )
        expect(told, lambda: list_transformer(whole))
        self._take(train_transformer(whole, workdir, told, source), workdir)
        self._known = None if relevance is not None else (x, labels, label_names)
        if held_out is not None and self.config.rerank.mode != "off" and self.reranker is None:
            given: Any = training.texts
            if training.features is not None:
                given = given, training.features.sparse
            self._learn(given, training.labels, *held_out)
        return self._finish(held_out)

    def _read_texts(
        self, given: LabelTexts | None, training: Training, progress: Progress
    ) -> list[str] | None:
        """Returns the texts of the labels for prototypes; None: there are none, or no prototypes."""
        if not getattr(self.config, "has_prototypes", False):
            if given is not None:
                raise InputError(
                    "labels_text given, which only prototypes read; set tuning.head=prototype, or leave it out"
                )
            return None
        n_labels = training.labels.shape[1]
        names = training.label_names
        found = find_label_texts(self.config.head.labels_text, given, names, n_labels, progress)
        return None if found is None else found.texts[:n_labels]

    def _hold_out(self, training: Training) -> tuple[Training, tuple[Any, sp.csr_matrix] | None]:
        """Returns the documents to train on, and those left out to fit probabilities to: a fine-tuned encoder is not
        trained twice."""
        off, n = self.config.tuning.is_off, training.labels.shape[0]
        found = None if off else split_once(n, self.config)
        if found is None:
            return training, None
        rest, held = found
        documents = training.texts[held]
        if training.features is not None:
            documents = documents, training.features.sparse[held]
        known = training.labels[rest].getnnz(axis=0) > 0
        part = dataclasses.replace(
            training.take_rows(rest),
            texts=training.texts[rest],
            features=None if training.features is None else training.features[rest],
        )
        return part, (documents, drop_labels(training.labels[held], known))

    def _list_trained(self, n: int) -> np.ndarray | None:
        return None if self.config.tuning.is_off else list_tuned(n, self.config)

    def _read_label_texts(self, change: Change, given: LabelTexts | None) -> Change:
        if self.prototypes is None:
            return super()._read_label_texts(change, given)
        source = self.config.head.labels_text
        return change.take_texts(self._label_texts, given, source, adds=False)

    def _follow_prototypes(self, change: Change) -> Prototyped | None:
        if self.prototypes is None:
            return None
        encoder = self._need_encoder().unscaled()
        growth = PrototypeGrowth(
            self.prototypes,
            *change.labels,
            self.config.head,
            lambda texts: self._embed(encoder, texts),
        )

        def grow(
            run: Run, features: Features, progress: Progress
        ) -> tuple[Prototypes, dict[str, int]]:
            return grow_in(run, growth, lambda: features.dense, progress)

        return Prototyped(growth.list_identity(), growth.list_texts(change.now.names), grow)

    def _count_kept_levels(self) -> int:
        # The first level of X-Transformer is the head that its encoder was tuned with.
        is_head = isinstance(self.config, XTransformerConfig) and not self.config.tuning.is_off
        return int(is_head and self._need_model().tree.n_levels > 1)

    @property
    def _learns_from_held_out(self) -> bool:
        # A tuned encoder knows the documents that are held out of the levels.
        return self.config.tuning.is_off

    def _featurize_all(self, training: Training) -> Featurize:
        encoder, scale, texts = self._need_encoder().unscaled(), self._scale, training.texts

        def featurize(run: Run, vectorizer: Vectorizer | None) -> Features:
            given = training.features
            sparse = vectorizer.transform(texts) if vectorizer else given.sparse  # type: ignore[union-attr]
            vectors = run.inside(layout.RANKER).once(
                layout.VECTORS,
                lambda: self._embed(encoder, texts),
                lambda path, vectors: save_arrays(path, {"vectors": vectors}, {}),
                lambda path: load_arrays(path)[0]["vectors"],
            )
            return join_features(sparse, vectors, scale)

        return featurize

    def _predict(
        self, x: Any, top_k: int | None, asked: Asked, **options: Any
    ) -> Predictions | sp.csr_matrix:
        features = self.featurize(x)
        if self._near is None or not self._mix:
            return self.linear._predict(features, top_k, asked, **options)
        candidates = options.get("candidates")
        if candidates is not None and self.reranker is None:
            return self._mix_candidates(features, candidates, options.get("progress"))
        return self._rank_twice(features, top_k, asked, **options)

    @working
    def featurize(self, x: Any) -> Features:
        """Returns what the final levels score: [features, vector] of texts, or of a pair (texts, features)."""
        model = self._need_model()
        if isinstance(x, Features):
            check_width(x, model.n_sparse, model.n_dense)
            return x
        texts, given = split_documents(x)
        texts, vectors = read_documents(texts, None)
        if texts is None or vectors is not None:
            raise InputError("feature vectors given, but the model reads texts: texts needed")
        if self.vectorizer is not None:
            if given is not None:
                raise InputError(
                    "features given with the texts, but the model makes its own; give texts only"
                )
            sparse = self.vectorizer.transform(texts)
        elif given is None:
            raise InputError(
                "texts given, but the model was trained on texts with features of their own; give (texts, features)"
            )
        else:
            check_width(given, model.n_sparse, 0)
            if len(given) != len(texts):
                raise InputError(f"{len(given)} rows of features given for {len(texts)} texts")
            sparse = given.sparse
        return join_features(
            sparse, self._embed(self._need_encoder().unscaled(), texts), self._scale
        )

    @working
    def encode(
        self, texts: Any, progress: Progress | bool | None = None
    ) -> Float[np.ndarray, "N H"]:
        """Returns the fine-tuned encoder's vectors of texts, float32 [N, H], as the encoder's folder asks for them.

        Where its last module scales to norm 1 these do have norm 1; the levels see the same vectors before that
        (`Encoder.unscaled`), which they scale by themselves. A tuned prompt, pooling and dense maps are in both.

        Raises:
            InputError: not trained yet, or no texts.
        """
        return self._embed(self._need_encoder(), texts, hear(progress))

    def _need_encoder(self) -> Encoder:
        if self.encoder is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        return self.encoder

    def _embed(
        self, encoder: Encoder, texts: Any, progress: Progress | None = None
    ) -> Float[np.ndarray, "N H"]:
        texts = texts if isinstance(texts, TextStore) else TextStore.from_texts(texts)
        batch, mesh = self.config.tuning.embed_batch, self.machine.mesh
        return embed_texts(encoder, texts, batch, progress=progress, mesh=mesh)

    @property
    def _updates(self) -> tuple[dict[str, Any], ...]:  # type: ignore[override]
        return self._linear._updates

    def _give(self) -> Trained:
        parts = {"config": self.config, "vectorizer": self.vectorizer, "encoder": self.encoder}
        parts |= {"scale": self._scale, "prototypes": self.prototypes, "mix": self._mix}
        parts |= {"label_texts": self._label_texts}
        return dataclasses.replace(self._linear._give(), **parts)

    def _take(self, held: Trained, workdir: str | os.PathLike | None) -> None:
        self.linear._take(dataclasses.replace(held, vectorizer=None), None)
        self.encoder, self.vectorizer, self._scale = held.encoder, held.vectorizer, held.scale
        self._workdir = workdir
        self.prototypes, self._mix = held.prototypes, held.mix
        self._label_texts = held.label_texts
        self._near = None if held.prototypes is None else Nearest(held.prototypes)


class XTransformer(XRTransformer):
    """X-Transformer (Chang et al. 2020): an encoder fine-tuned once on flat label clusters, whose head finds the
    clusters of a document; a linear model on [features, vector] ranks the labels in them.

    Args:
        config: all settings; defaults if None.
        **settings: as in `XRTransformer`; `label_embedding` chooses what labels are clustered by.

    >>> texts = ["a red apple", "a green pear", "a fast car", "a slow bus"] * 2
    >>> labels = [["fruit"], ["fruit"], ["vehicle"], ["vehicle"]] * 2
    >>> model = XTransformer(name="static", hidden=16, steps=0).fit(texts, labels)  # 0: not fine-tuned
    >>> model.predict(["a slow car"], top_k=1).names()
    [['vehicle']]
    """

    CONFIG: ClassVar[type] = XTransformerConfig
