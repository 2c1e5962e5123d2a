"""A prototype model with scikit-learn's interface: one encoder, one prototype per label; the nearest ones answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.config import PrototypeConfig
from xmc_jax.data import LabelTexts, check_features
from xmc_jax.encoder import Encoder, embed_texts
from xmc_jax.errors import InputError
from xmc_jax.estimator.change import Change
from xmc_jax.estimator.estimator import Estimator
from xmc_jax.estimator.reasons import explain_prototypes
from xmc_jax.estimator.texts import find_label_texts
from xmc_jax.estimator.work import hear, working
from xmc_jax.explain import Explanation
from xmc_jax.linear.heldout import drop_labels, list_tuned, split_once
from xmc_jax.linear.sources import read_documents, read_label_matrix, read_validation
from xmc_jax.model import Prototypes
from xmc_jax.plan import list_prototypes
from xmc_jax.predict import Asked, Predictions
from xmc_jax.predict.nearest import Nearest
from xmc_jax.progress import expect
from xmc_jax.run import Trained
from xmc_jax.tuning.prototype.growth import PrototypeGrowth
from xmc_jax.tuning.prototype.training import PrototypeTraining, train_prototypes
from xmc_jax.tuning.prototype.update import PrototypeUpdate, update_prototypes
from xmc_jax.types import Features, Progress

HeldOut = tuple[Any, sp.csr_matrix] | None


class PrototypeModel(Estimator):
    """One encoder and one prototype per label, trained together; the labels nearest to a text are its labels.

    A prototype starts as the sum of the vectors of its label's documents and text; a document is left out of the
    prototypes of its own labels when it is compared with them. Labels without documents are predicted from their text.

    Args:
        config: all settings; defaults if None.
        **settings: sections as dataclass or dict (`head=dict(scale=30)`), or a field by its own name where it is
            unique (`steps=400`).

    Raises:
        InputError: an unknown setting (with a suggestion) or a value out of range.

    Attributes:
        prototypes: the prototypes of the labels, or None before training.
        encoder: the encoder with the fine-tuned parameters, or None.
        label_names, label_counts, n_train, calibration, reranker: as in `XRLinear`; labels that are known only by their
            text come after the others.

    >>> texts = ["a red apple", "a green pear", "a fast car", "a slow bus"] * 2
    >>> labels = [["fruit"], ["fruit"], ["vehicle"], ["vehicle"]] * 2
    >>> model = PrototypeModel(name="static", hidden=16, steps=0).fit(texts, labels)  # 0: not fine-tuned
    >>> model.predict(["a slow car"], top_k=1).names()
    [['vehicle']]
    """

    CONFIG: ClassVar[type] = PrototypeConfig
    prototypes: Prototypes | None = None
    encoder: Encoder | None = None
    _near: Nearest | None = None
    _label_texts: list[str] | None = None
    """Texts of the labels, where they are others than the names."""

    @property
    def reads_text(self) -> bool:
        """Whether it reads texts; it always does."""
        return True

    @property
    def reads_vectors(self) -> bool:
        """Whether it reads feature vectors; it never does."""
        return False

    @property
    def n_labels(self) -> int:
        """Number of labels L of a trained model."""
        return self._need_prototypes().n_labels

    @working
    def fit(
        self,
        x: Any,
        labels: Any,
        *,
        validation: tuple[Any, Any] | None = None,
        workdir: str | os.PathLike | None = None,
        labels_text: LabelTexts | None = None,
        label_names: Sequence[str] | None = None,
        progress: Progress | bool | None = None,
        source: dict[str, Any] | None = None,
        encoder: Encoder | None = None,
    ) -> PrototypeModel:
        """Trains, or resumes the unfinished run that `workdir` holds.

        Args:
            x: N texts.
            labels: N lists of names, or a matrix [N, L] whose column j is label j.
            validation: (x, labels); the parameters that do best on it are kept, and probabilities and a re-ranker are
                fitted to it.
            workdir: folder of the run, with checkpoints; None keeps nothing.
            labels_text: texts of the labels, as name → text or one per label in order, instead of what
                `head.labels_text` names. A name that no document has becomes a label known by its text alone.
            label_names: names of the columns of a label matrix.
            progress: True shows a bar (in a notebook or a terminal) or lines; or an object that is told about the work.
            source: where the data came from, noted in the folder.
            encoder: an encoder of your own (`wrap_function` with a tokenizer) instead of that of the settings.

        Returns:
            self.

        Raises:
            InputError: bad data, an encoder that cannot be loaded, or `workdir` holds another run.
            RunError: the device does not have enough memory.
        """
        told = hear(progress)
        matrix, names = read_label_matrix(labels, label_names)
        texts, features = read_documents(x, matrix.shape[0])
        if texts is None or features is not None:
            raise InputError(
                "feature vectors given, but a prototype model reads texts: texts needed"
            )
        matrix, names, said = self._read_texts(matrix, names, labels_text, told)
        held_out: HeldOut = None
        if validation is not None:
            held_out = read_validation(validation, names, matrix.shape[1], None)
        training = PrototypeTraining(
            self.config, texts, matrix, names, said, self.machine, encoder, held_out
        )
        if held_out is None:
            training, held_out = self._hold_out(training)
        expect(told, lambda: list_prototypes(training))
        self._take(train_prototypes(training, workdir, told, source), workdir)
        self._known = x, labels, label_names
        if held_out is not None and self.config.rerank.mode != "off" and self.reranker is None:
            self._learn(training.texts, training.labels, *held_out)
        return self._finish(held_out)

    def _read_texts(
        self,
        matrix: sp.csr_matrix,
        names: list[str] | None,
        given: LabelTexts | None,
        progress: Progress,
    ) -> tuple[sp.csr_matrix, list[str] | None, list[str] | None]:
        """Returns the label matrix with a column for each label known by its text alone, the names, and the texts."""
        source, n_labels = self.config.head.labels_text, matrix.shape[1]
        found = find_label_texts(source, given, names, n_labels, progress)
        if found is None:
            return matrix, names, None
        if found.extra and names is not None:
            names = [*names, *found.extra]
            columns = sp.csr_matrix((matrix.shape[0], len(found.extra)), dtype=matrix.dtype)
            matrix = sp.hstack([matrix, columns], format="csr")
        return matrix, names, found.texts

    def _hold_out(self, training: PrototypeTraining) -> tuple[PrototypeTraining, HeldOut]:
        """Returns what to train on, and the documents left out to fit probabilities and a re-ranker to."""
        found = split_once(training.labels.shape[0], self.config)
        if found is None:
            return training, None
        rest, held = found
        labels = training.labels[rest]
        truth = drop_labels(training.labels[held], labels.getnnz(axis=0) > 0)
        part = replace(training, texts=training.texts[rest], labels=labels)
        return part, (training.texts[held], truth)

    @working
    def _predict(
        self,
        x: Any,
        top_k: int | None,
        asked: Asked,
        *,
        beam: int | None = None,
        candidates: sp.spmatrix | None = None,
        **options: Any,
    ) -> Predictions | sp.csr_matrix:
        if beam is not None and beam < 1:
            raise InputError(f"beam={beam} given, 1 or more needed (clusters of labels)")
        near = self._need_model()
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k={top_k} given, 1 or more needed")
        features = self.featurize(x)
        if candidates is not None and self.reranker is None:
            given = check_features(candidates, "candidates")
            return near.score(features.dense, given, self.machine.mesh)
        return self._rank_twice(features, top_k, asked, beam=beam, candidates=candidates, **options)

    def rank_first(
        self,
        features: Features,
        depth: int,
        beam: int | None = None,
        shown: np.ndarray | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions:
        search = self.config.search
        beam = search.beam if beam is None else beam
        options: Any = {"recall": search.recall, "batch": search.batch, "progress": hear(progress)}
        names, mesh = self.label_names, self.machine.mesh
        found, _ = self._need_model().find(
            features.dense, depth, beam=beam, mesh=mesh, shown=shown, label_names=names, **options
        )
        return found

    def _explain(self, features: Features, text: str, **options: Any) -> Explanation:
        return explain_prototypes(self, features, text, options["labels"], options["top_k"])

    @working
    def encode(
        self, texts: Any, progress: Progress | bool | None = None
    ) -> Float[np.ndarray, "N H"]:
        """Returns the fine-tuned encoder's vectors of texts, float32 [N, H].

        Raises:
            InputError: not trained yet, or no texts.
        """
        self._need_prototypes()
        assert self.encoder is not None
        read, vectors = read_documents(texts, None)
        if read is None or vectors is not None:
            raise InputError("feature vectors given, but the model reads texts: texts needed")
        size, mesh = self.config.tuning.embed_batch, self.machine.mesh
        return embed_texts(self.encoder, read, size, progress=hear(progress), mesh=mesh)

    def featurize(self, x: Any) -> Features:
        """Returns what the prototypes are compared with: the vectors of texts, as features without sparse columns."""
        if isinstance(x, Features):
            return x
        vectors = self.encode(x)
        return Features(sp.csr_matrix((len(vectors), 0), dtype=np.float32), vectors)

    def choose_results(self, top_k: int, beam: int | None) -> int:
        """Returns how many labels the model is asked for when it is a member of an ensemble."""
        return min(top_k, self.n_labels)

    def _find_depth(self, depth: int | None = None, search: Any = None) -> int:
        return min(self.config.calibrate.depth if depth is None else depth, self.n_labels)

    def _give(self) -> Trained:
        assert self.label_counts is not None
        return Trained(
            config=self.config,
            models=(),
            vectorizer=None,
            label_names=self.label_names,
            label_counts=self.label_counts,
            n_train=self.n_train,
            encoder=self.encoder,
            calibration=self.calibration,
            prototypes=self.prototypes,
            reranker=self.reranker,
            prototype_tree=None if self._near is None else self._near.made_tree,
            updates=self._updates,
            label_texts=self._label_texts,
        )

    def _take(self, held: Trained, workdir: str | os.PathLike | None) -> None:
        self.prototypes, self.encoder = held.prototypes, held.encoder
        self._near = None
        if held.prototypes is not None:
            self._near = Nearest(held.prototypes, held.prototype_tree, held.config.seed)
        self.label_names, self.label_counts = held.label_names, held.label_counts
        self.n_train, self.calibration = held.n_train, held.calibration
        self.reranker, self._workdir = held.reranker, workdir
        self._updates, self._label_texts = held.updates, held.label_texts
        self._known = None

    def _check_growth(self) -> None:
        self._need_model()

    def _list_trained(self, n: int) -> np.ndarray | None:
        return list_tuned(n, self.config)

    def _read_label_texts(self, change: Change, given: LabelTexts | None) -> Change:
        return change.take_texts(self._label_texts, given, self.config.head.labels_text)

    def _follow(
        self,
        change: Change,
        workdir: str | os.PathLike | None,
        progress: Progress,
        source: dict[str, Any] | None,
    ) -> Trained:
        assert change.now.texts is not None
        prototypes = self._need_prototypes()

        def embed(texts: Any) -> np.ndarray:
            return self.encode(texts, progress=progress)

        growth = PrototypeGrowth(prototypes, *change.labels, self.config.head, embed)
        texts, renamed = change.now.texts, change.n_renamed
        update = PrototypeUpdate(self._give(), growth, texts, change.revision, renamed)
        return update_prototypes(update, workdir, progress, source)

    def _need_prototypes(self) -> Prototypes:
        if self.prototypes is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        return self.prototypes

    def _need_model(self) -> Any:
        if self._near is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        return self._near
