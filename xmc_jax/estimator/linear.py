"""XR-Linear as a model with scikit-learn's habits, around the pure functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, SearchConfig, choose_merge, replace_field
from xmc_jax.data import check_features
from xmc_jax.errors import InputError
from xmc_jax.estimator.estimator import Estimator
from xmc_jax.estimator.reasons import explain
from xmc_jax.estimator.work import hear, working
from xmc_jax.explain import Explanation
from xmc_jax.features import as_features, check_width, unit_rows
from xmc_jax.linear.recursion import train
from xmc_jax.linear.sources import read_documents
from xmc_jax.linear.training import scale_training
from xmc_jax.memory import leave
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.plan import list_linear
from xmc_jax.predict import (
    Asked,
    Predictions,
    PreparedSearch,
    combine_candidates,
    find_depth,
    predict_forest,
    prepare_search,
    restrict,
    score_candidates,
)
from xmc_jax.progress import expect
from xmc_jax.run import Trained
from xmc_jax.types import Features, Progress


class _Plan(NamedTuple):
    """What a call of `predict` asks of the trees, whatever the documents."""

    models: tuple[XRModel, ...]
    search: SearchConfig
    wanted: int
    shown: np.ndarray | None


class XRLinear(Estimator):
    """XR-Linear: a label tree with one linear level for each resolution (Yu et al. 2022, "PECOS"), or a forest of them.

    Args:
        config: all settings; defaults if None.
        **settings: sections as dataclass or dict (`tree=dict(max_leaf_size=100)`), fields by dotted name through a
            dict (`{"search.beam": 20}`), or a field by its own name where it is unique (`beam=10`, `trees=3`).

    Raises:
        InputError: an unknown setting (with a suggestion) or a value out of range.

    Attributes:
        config: the settings.
        models: the trained `XRModel` of each tree; none before training.
        model: the first of them, or None.
        vectorizer: text to features, or None if it was trained on features.
        label_names: names by id, or None if it was trained on a label matrix.
        label_counts: int32 [L], training positives of each label.
        n_train: training documents.
        calibration: the maps from scores to probabilities, or None without any.
        reranker: a memory of the training set and what re-ranks with it, or None without one.

    >>> texts = ["a bird of prey", "an owl by night", "a tax on goods", "a duty on imports"] * 5
    >>> labels = [["bird"], ["bird", "night"], ["tax"], ["tax"]] * 5
    >>> model = XRLinear(seed=0).fit(texts, labels)
    >>> model.predict(["a bird", "a tax on imports"], top_k=1).names()
    [['bird'], ['tax']]
    """

    CONFIG: ClassVar[type] = LinearConfig

    _unit_rows = False
    """Whether rows of features are scaled to length 1: set by training."""

    @property
    def reads_text(self) -> bool:
        """Whether a trained model was trained on texts."""
        return self.vectorizer is not None

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
    ) -> XRLinear:
        """Trains, or resumes the unfinished run that `workdir` holds.

        Args:
            x: N texts, or features [N, D] as a SciPy matrix (sparse) or NumPy array (dense).
            labels: N lists of names, or a matrix [N, L] whose column j is label j.
            tree: a `LabelTree` or a parent map {name: parent or parents}, instead of clustering.
            validation: (x, labels), scored at the end; the report goes to `metrics.jsonl`.
            workdir: folder of the run, with a checkpoint per level; None keeps nothing.
            relevance: [N, L] weights of positives (settings `ranker.relevance`).
            negatives: user-supplied negatives {0: [N, L], 1: [N, clusters of the last level], ...}.
            label_features: [L, D'] for the embeddings `pifa_lf_*`, instead of the file in the settings.
            label_names: names of the columns of a label matrix.
            progress: True shows a bar (in a notebook or a terminal) or lines; or an object that is told about the work.
            source: where the data came from, JSON-ready; it is noted in the folder and nothing depends on it.

        Returns:
            self.

        Raises:
            InputError: bad data, or `workdir` holds another run (with the differences).
            RunError: another training is using `workdir`, it cannot be written to, or memory does not suffice.
        """
        told = hear(progress)
        training, held_out = self._read(
            x, labels, tree, validation, relevance, negatives, label_features, label_names
        )
        if training.features is not None and self.config.data.vector_norm != "none":
            training = scale_training(training)
        expect(told, lambda: list_linear(training))
        self._take(train(training, workdir, told, source), workdir)
        self._known = None if relevance is not None else (x, labels, label_names)
        return self._finish(held_out)

    @working
    def _predict(
        self,
        x: Any,
        top_k: int | None,
        asked: Asked,
        *,
        beam: int | None = None,
        restrict_to: Sequence[str] | Sequence[int] | None = None,
        candidates: sp.spmatrix | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions | sp.csr_matrix:
        self._need_model()
        features, config = self.featurize(x), self.config
        plan = self._plan(top_k, asked, beam, restrict_to, is_ranked=candidates is None)
        if candidates is not None and self.reranker is None:
            given = check_features(candidates, "candidates")
            options: Any = {"merge": choose_merge(config), "mesh": self.machine.mesh}
            scores = [score_candidates(m, features, given, **options) for m in plan.models]
            return scores[0] if len(scores) == 1 else combine_candidates(scores, config.combine)
        ranked = predict_forest(
            plan.models,
            features,
            plan.search,
            rule=config.combine,
            label_names=self.label_names,
            merge=choose_merge(config),
            memory=self._leave_for_search(plan.models, features),
            progress=hear(progress),
            mesh=self.machine.mesh,
        )
        return self._choose(features, ranked, plan, asked, top_k, candidates)

    def _plan(
        self,
        top_k: int | None,
        asked: Asked,
        beam: int | None,
        restrict_to: Sequence[str] | Sequence[int] | None,
        is_ranked: bool = True,
    ) -> _Plan:
        """Returns what `predict` with these arguments asks of the trees."""
        models, search = self.models, self.config.search
        if beam is not None:
            search = replace_field(search, "beam", beam)
        wanted = asked.choose_depth(top_k, search.top_k, self._find_depth(search=search))
        rerank = None if self.reranker is None else self.reranker.config
        depth = 0 if rerank is None else find_depth(models, search, rerank.candidates)
        # Candidates are not ranked: of the search only what the re-ranker looks at is needed.
        most = max(wanted, depth) if is_ranked or not depth else depth
        if most != search.top_k:
            search = replace_field(search, "top_k", most)
        shown = None if restrict_to is None else self.find_labels(restrict_to)
        if shown is not None:
            models = tuple(restrict(model, shown) for model in models)
        return _Plan(models, search, wanted, shown)

    def _prepare(
        self,
        top_k: int | None,
        asked: Asked,
        beam: int | None,
        restrict_to: Sequence[str] | Sequence[int] | None,
    ) -> Callable[[Any], Predictions]:
        usual = super()._prepare(top_k, asked, beam, restrict_to)
        self._need_model()
        plan = self._plan(top_k, asked, beam, restrict_to)
        if len(plan.models) > 1 or plan.models[0].is_spread:
            return usual
        search = prepare_search(
            plan.models[0],
            plan.search,
            label_names=self.label_names,
            merge=choose_merge(self.config),
            mesh=self.machine.mesh,
        )
        made_of = self.models, self.config, self.reranker

        def ask(x: Any) -> Predictions:
            # A model that was trained anew, or given a re-ranker, needs another plan.
            if any(
                a is not b
                for a, b in zip(made_of, (self.models, self.config, self.reranker), strict=True)
            ):
                return usual(x)
            return self._run(search, plan, x, asked, top_k)

        return ask

    @working
    def _run(
        self, search: PreparedSearch, plan: _Plan, x: Any, asked: Asked, top_k: int | None
    ) -> Predictions:
        """Answers one document by a search that is prepared."""
        features = self._featurize(x)
        ranked = search.run(features)
        found = self._choose(features, ranked, plan, asked, top_k)
        assert isinstance(found, Predictions)
        return found

    def _choose(
        self,
        features: Features,
        ranked: Predictions,
        plan: _Plan,
        asked: Asked,
        top_k: int | None,
        candidates: sp.spmatrix | None = None,
    ) -> Predictions | sp.csr_matrix:
        """Returns what was asked for of ranked labels, re-ranked if the model does so."""
        found: Predictions | sp.csr_matrix = ranked
        if self.reranker is not None:
            found = self._rank_anew(features, ranked, plan.wanted, plan.shown, candidates)
        if not isinstance(found, Predictions):
            return found
        return self._answer(found, asked, top_k, plan.shown is None)

    def without_reranker(self) -> XRLinear:
        """Returns this model ranking by its trees alone; nothing is copied."""
        plain = XRLinear(self.config)
        plain._take(replace(self._give(), reranker=None, calibration=None), None)
        return plain

    def rank_first(
        self,
        features: Features,
        depth: int,
        beam: int | None = None,
        shown: np.ndarray | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions:
        search = self.config.search
        if beam is not None:
            search = replace_field(search, "beam", beam)
        wanted = find_depth(self.models, search, depth)
        given: Any = None if shown is None else shown.tolist()
        found = self.without_reranker()._predict(
            features, wanted, Asked(), beam=beam, restrict_to=given, progress=progress
        )
        assert isinstance(found, Predictions)
        return found

    def _explain(self, features: Features, text: str, **options: Any) -> Explanation:
        return explain(self, features, text, vectorizer=self.vectorizer, **options)

    @working
    def featurize(self, x: Any) -> Features:
        """Returns the features that the levels score: texts are vectorised, vectors of your own are checked."""
        return self._featurize(x)

    def _featurize(self, x: Any) -> Features:
        model = self._need_model()
        self._check_columns(x)
        texts, features = read_documents(x, None)
        if texts is not None:
            if self.vectorizer is None:
                raise InputError(
                    f"texts given, but the model was trained on features: [N, {model.n_sparse + model.n_dense}] needed"
                )
            features = as_features(self.vectorizer.transform(texts))
        elif self.vectorizer is not None and features is not None and features.n_dense:
            raise InputError(
                "dense vectors given, but the model was trained on texts: texts needed"
            )
        elif self._unit_rows and features is not None:
            features = unit_rows(features)
        assert features is not None
        check_width(features, model.n_sparse, model.n_dense)
        return features

    def _leave_for_search(self, models: Sequence[XRModel], features: Features) -> int:
        """Returns the bytes for batches beside the models, their indices and the features."""
        # Rows of the index are cut into slots of eight entries, half of them filled.
        held = 3 * sum(weights.n_bytes for model in models for weights in model.levels)
        held += 8 * features.sparse.nnz + features.dense.nbytes
        return leave(self.machine.memory, held, "search")

    def _give(self) -> Trained:
        assert self.label_counts is not None
        return Trained(
            self.config,
            self.models,
            self.vectorizer,
            self.label_names,
            self.label_counts,
            self.n_train,
            calibration=self.calibration,
            reranker=self.reranker,
            unit_rows=self._unit_rows,
            updates=self._updates,
        )

    def _take(self, held: Trained, workdir: str | os.PathLike | None) -> None:
        self.models, self.vectorizer = held.models, held.vectorizer
        self.label_names, self.label_counts = held.label_names, held.label_counts
        self.n_train, self.calibration, self._workdir = held.n_train, held.calibration, workdir
        self.reranker, self._unit_rows = held.reranker, held.unit_rows
        self._updates, self._known = held.updates, None
