"""What all trainable models share: settings, checks of what `fit` is given, and saving."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import SearchConfig, linear_part, replace_field
from xmc_jax.data import LabelNames, NamedLabels, check_features, read_names
from xmc_jax.errors import InputError, tell
from xmc_jax.estimator.update import Updating
from xmc_jax.explain import Explanation
from xmc_jax.features import Vectorizer
from xmc_jax.linear.heldout import Part, learn_answers
from xmc_jax.linear.sources import (
    read_documents,
    read_label_features,
    read_label_matrix,
    read_label_tree,
    read_validation,
)
from xmc_jax.linear.spread import holds_share, join_labels, read_together, spread_training
from xmc_jax.linear.training import Training
from xmc_jax.metrics.report import report
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.parallel import Machine, find_machine, run_first
from xmc_jax.predict import Asked, Predictions, check_candidates, choose_results, find_depth
from xmc_jax.rerank import Known
from xmc_jax.run import (
    Run,
    Trained,
    find_manifest,
    keep_learned,
    log_to,
    save_calibration,
    save_display,
    save_run,
)
from xmc_jax.types import Features, Progress


class Estimator(Updating):
    """A model with settings, trained on documents and kept in a run's folder.

    Attributes:
        config: the settings.
        models: the trained `XRModel` of each tree; empty before training.
        vectorizer: turns texts into features; None if the model was trained on features.
        label_names: label names by id; None if the model was trained on a label matrix.
        label_counts: int32 [L], number of training positives of each label.
        n_train: number of training documents.
        calibration: the maps from scores to probabilities, or None.
        reranker: a memory of the training set and what ranks by it, or None.
    """

    vectorizer: Vectorizer | None = None
    _workdir: str | os.PathLike | None = None
    _machine: tuple[Any, Machine] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy or another process gets: the model, nothing that lies on devices here."""
        return {k: value for k, value in vars(self).items() if k not in ("_machine", "_known")}

    @property
    def model(self) -> XRModel | None:
        """The model of the first tree, which is the only one except in a forest."""
        return self.models[0] if self.models else None

    @property
    def n_labels(self) -> int:
        """Number of labels L of a trained model."""
        return self._need_model().tree.n_labels

    @property
    def top_k(self) -> int:
        """Number of labels per document if `top_k` is not given."""
        return self.config.search.top_k

    @property
    def reads_vectors(self) -> bool:
        """Whether a trained model was trained on feature vectors, alone or alongside texts."""
        return self.vectorizer is None

    @property
    def machine(self) -> Machine:
        """Devices and memory that training and search keep to; found once per settings.

        Raises:
            InputError: `parallel` does not fit the devices.
        """
        asked = self.config.memory, self.config.parallel
        if self._machine is None or self._machine[0] != asked:
            self._machine = asked, find_machine(*asked)
        return self._machine[1]

    @abstractmethod
    def featurize(self, x: Any) -> Features:
        """Returns the features that the levels score."""

    def choose_results(self, top_k: int, beam: int | None) -> int:
        """Returns how many labels the model is asked for when it is a member of an ensemble."""
        search = replace_field(self.config.search, "top_k", top_k)
        if beam is not None:
            search = replace_field(search, "beam", beam)
        return min(choose_results(model.tree, search) for model in self.models)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the model as a run's folder, whole or not at all. Several processes call this together.

        Args:
            path: a new or empty folder.
            overwrite: whether to replace a run that is there; it stays until the new one is whole.

        Raises:
            InputError: the model is not trained, or `path` exists and is not empty.
            RunError: the disk is full or not writable, or a training is using the folder.
        """
        self._need_model()
        trained = self._give()
        digest = self._digest_documents()
        run_first(lambda: save_run(Path(path), trained, overwrite=overwrite, digest=digest))
        if self.names:
            save_display(path, self.names)

    @property
    def names(self) -> LabelNames:
        """Display names of labels that are identifiers; empty if none were given."""
        return getattr(self.label_names, "names", LabelNames())

    def name_labels(
        self, names: str | os.PathLike | Mapping[str, str] | LabelNames, language: str = ""
    ) -> Self:
        """Gives display names to labels that are identifiers; outputs show them, and labels are found by them.

        Args:
            names: a table (TSV, CSV) or SKOS vocabulary (Turtle, RDF/XML), or the display name of each label.
            language: of the names in a file with several; if empty, English if present, else the most frequent.

        Returns:
            self. A model with a run's folder keeps the names there.

        Raises:
            InputError: the labels have no names, or a file cannot be read or names none of them.
        """
        if self.label_names is None:
            raise InputError(
                "the labels have no names of their own; train with names, or give label_names"
            )
        labels = list(self.label_names)
        if isinstance(names, LabelNames):
            found = names.keep(labels)
        elif isinstance(names, Mapping):
            found = LabelNames({str(k): str(v) for k, v in names.items()}).keep(labels)
        else:
            found = read_names(names, labels, language)
        n_bare = len(labels) - len(found.display)
        if n_bare:
            tell(
                f"{n_bare:,} of {len(labels):,} labels have no display name and are shown as they are"
            )
        self.label_names = NamedLabels(labels, found)
        if self._workdir is not None and not Path(self._workdir).exists():
            tell(f"{self._workdir} is gone: the names are kept in memory only")
        else:
            save_display(self._workdir, found)
        return self

    def explain(
        self,
        x: Any,
        labels: Sequence[str] | Sequence[int] | None = None,
        *,
        top_k: int = 5,
        beam: int | None = None,
        n_terms: int = 8,
    ) -> Explanation:
        """Explains why a document gets its labels, or why it does not get others.

        Args:
            x: one text, or one row of features; for a model of both, a pair (text, features).
            labels: names or numbers of the labels to explain; if None, the first of the ranking.
            top_k: number of labels in the ranking.
            beam: number of nodes kept on each level; if None, as in the settings.
            n_terms: number of features shown separately in each step; the others are summed.

        Returns:
            The path down each tree with the margin at every level, the contribution of each feature, what dropped a
            label that is not ranked, and, for a model with a memory (`rerank`), the nearest training documents. It
            prints as text, displays as a table in notebooks, and has `to_json`.

        Raises:
            InputError: not exactly one document, an unknown label, or a model that is not trained.
        """
        self._need_model()
        for name, value in (("top_k", top_k), ("n_terms", n_terms)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise InputError(f"{name}={value!r} given, a whole number of 1 or more needed")
        text, rows = read_one(x)
        features = self.featurize(rows)
        if len(features) != 1:
            raise InputError(f"{len(features)} documents given to explain, one needed")
        ids = None if labels is None else self.find_labels(labels).tolist()
        return self._explain(
            features, text, labels=ids, top_k=int(top_k), beam=beam, n_terms=int(n_terms)
        )

    @abstractmethod
    def _explain(self, features: Features, text: str, **options: Any) -> Explanation:
        """Does the work of `explain`, given features."""

    @abstractmethod
    def _give(self) -> Trained:
        """Returns what a run's folder is to hold."""

    @abstractmethod
    def _take(self, held: Trained, workdir: str | os.PathLike | None) -> None:
        """Becomes the model that a run's folder holds."""

    def _read(
        self,
        x: Any,
        labels: Any,
        tree: LabelTree | Mapping[str, Any] | None,
        validation: tuple[Any, Any] | None,
        relevance: Any,
        negatives: Mapping[int, sp.spmatrix] | None,
        label_features: Any,
        label_names: Sequence[str] | None,
    ) -> tuple[Training, tuple[Any, sp.csr_matrix] | None]:
        """Returns what `fit` was given, checked, and the held-out documents with their labels."""
        config = linear_part(self.config)

        def read_own() -> tuple[sp.csr_matrix, Any, Any, Any]:
            is_part = holds_share(config)
            matrix, names = read_label_matrix(labels, label_names, may_be_bare=is_part)
            texts, features = read_documents(x, matrix.shape[0])
            if features is not None and not features.n_sparse + features.n_dense:
                raise InputError("features without any column given, one or more needed")
            return matrix, names, texts, features

        matrix, names, texts, features = read_together(config, read_own)
        if holds_share(config):
            matrix, names = join_labels(matrix, names)
        self._note_columns(x if features is not None else None)
        held_out = None
        if validation is not None:
            held_out = read_validation(validation, names, matrix.shape[1], features)
        training = Training(
            config=config,
            texts=texts,
            features=features,
            labels=matrix,
            machine=self.machine,
            label_names=names,
            tree=read_label_tree(tree, names, matrix.shape[1]),
            relevance=None if relevance is None else check_features(relevance, "relevance"),
            negatives=negatives,
            label_features=read_label_features(config, label_features),
        )
        return (spread_training(training) if holds_share(config) else training), held_out

    def _finish(self, held_out: tuple[Any, sp.csr_matrix] | None) -> Self:
        """Fits probabilities to the held-out documents, if there are none yet, and scores them."""
        if held_out is None:
            return self
        x, truth = held_out
        settings = self.config.calibrate
        if self.calibration is None and settings.method != "none":
            self.calibrate(x, truth, method=settings.method)
            assert self.calibration is not None
            save_calibration(self._workdir, self.calibration)
        assert self.label_counts is not None
        scores = report(
            self._rank(x, 100), truth, train_counts=self.label_counts, n_train=self.n_train
        )
        log_to(self._workdir, {"stage": "validation", **scores})
        return self

    @abstractmethod
    def rank_first(
        self,
        features: Features,
        depth: int,
        beam: int | None = None,
        shown: np.ndarray | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions:
        """Returns the labels that a re-ranker is given: the best ones of each document without it.

        Args:
            features: features of N documents, as `featurize` returns them.
            depth: largest number of labels per document.
            beam: width of the search; None: that of the settings.
            shown: ids of the only labels to return; None: all.
            progress: as in `predict`.
        """

    def _rank_twice(
        self,
        features: Features,
        top_k: int | None,
        asked: Asked,
        *,
        beam: int | None = None,
        restrict_to: Sequence[str] | Sequence[int] | None = None,
        candidates: sp.spmatrix | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions | sp.csr_matrix:
        """Does the work of `_predict`, given features: `rank_first`, then the re-ranker if there is one."""
        reranker = self.reranker
        usual = self.top_k if top_k is None else top_k
        wanted = asked.choose_depth(top_k, usual, self._find_depth())
        depth = wanted if reranker is None else max(wanted, reranker.config.candidates)
        shown = None if restrict_to is None else self.find_labels(restrict_to)
        found: Any = self.rank_first(features, depth, beam, shown, progress)
        if reranker is not None:
            found = self._rank_anew(features, found, wanted, shown, candidates)
        if not isinstance(found, Predictions):
            return found
        return self._answer(found, asked, top_k, restrict_to is None)

    def _rank_anew(
        self,
        features: Features,
        first: Predictions,
        wanted: int,
        shown: np.ndarray | None,
        candidates: sp.spmatrix | None,
    ) -> Predictions | sp.csr_matrix:
        """Returns the re-ranker's ranking of labels that were found first.

        Args:
            features: features of the documents.
            first: ranked labels, at least `rerank.candidates` of them if there are as many.
            wanted: number of labels per document.
            shown: ids of the only labels to return; None: all.
            candidates: [N, L], labels whose scores are wanted instead of a ranking, or None.
        """
        assert self.reranker is not None
        known, allowed = Known(first.ids, first.scores), None
        if shown is not None:
            allowed = np.zeros(first.n_labels, bool)
            allowed[shown] = True
        if candidates is not None:
            pairs = check_candidates(candidates, features, first.n_labels, allowed)
            return self.reranker.score_labels(features, known, pairs)
        found = self.reranker.rank(features, known, wanted, allowed)
        return Predictions(*found, self.label_names, first.n_labels)

    def _learn(self, x: Any, labels: sp.csr_matrix, held: Any, truth: sp.csr_matrix) -> None:
        """Fits a re-ranker and probabilities to documents that the encoder was not tuned on, and keeps them.

        Args:
            x: the training documents, which the memory is made of.
            labels: theirs.
            held: the other documents.
            truth: their labels.
        """
        config, features = self.config, self.featurize(x)
        ranked = self._rank(
            held, self._find_depth(max(config.calibrate.depth, config.rerank.candidates))
        )
        parts = [Part(np.arange(len(features)), self.featurize(held), ranked, truth)]
        learned = learn_answers(config, features, labels, parts)
        self.calibration, self.reranker = learned
        if self._workdir is not None:
            keep_learned(Run(find_manifest(Path(self._workdir))), learned)

    def _find_depth(self, depth: int | None = None, search: SearchConfig | None = None) -> int:
        wanted = self.config.calibrate.depth if depth is None else depth
        return find_depth(self.models, search or self.config.search, wanted)

    def _need_model(self) -> XRModel:
        if self.model is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        return self.model


def read_one(x: Any) -> tuple[str, Any]:
    """Returns the text of one document, empty if it has none, and the document as `featurize` takes it."""
    if isinstance(x, str):
        return x, [x]
    if isinstance(x, tuple) and len(x) == 2 and isinstance(x[0], str):
        return x[0], ([x[0]], read_one(x[1])[1])
    if isinstance(x, (list, tuple)) and len(x) == 1 and isinstance(x[0], str):
        return x[0], x
    if isinstance(x, np.ndarray) and x.ndim == 1 and x.dtype.kind not in "OUST":
        return "", x[None]
    return "", x
