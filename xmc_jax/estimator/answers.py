"""What every model answers besides a ranking: probabilities, and which labels to return."""

from __future__ import annotations

import inspect
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import scipy.sparse as sp

from xmc_jax.calibrate import Calibration
from xmc_jax.calibrate.methods import find_method
from xmc_jax.data import find_label
from xmc_jax.errors import InputError, suggest
from xmc_jax.linear.heldout import fit_to
from xmc_jax.linear.sources import read_truth
from xmc_jax.metrics import PROPENSITY, evaluate, inverse_propensities
from xmc_jax.predict import UNCALIBRATED, Asked, FewResultsWarning, Predictions, answer
from xmc_jax.rerank import Reranker
from xmc_jax.types import Progress

if TYPE_CHECKING:
    from xmc_jax.estimator.endpoint import Endpoint
    from xmc_jax.report import Page


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
DECIDING = ("threshold", "min_k", "max_k", "decide")
"""Arguments of `predict` that choose which of the ranked labels to return."""


def takes_arguments_of(
    model: Callable[Arguments, Result],
) -> Callable[[Callable[..., Result]], Callable[Arguments, Result]]:
    """Gives a method the arguments of another one, with their defaults, so that they are listed once."""
    signature = inspect.signature(model)

    def decorate(method: Callable[..., Result]) -> Callable[Arguments, Result]:
        @wraps(method)
        def call(*given: Arguments.args, **named: Arguments.kwargs) -> Result:
            bound = signature.bind(*given, **named)
            bound.apply_defaults()
            return method(*bound.args, **bound.kwargs)

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    return decorate


class Answers:
    """Probabilities and decisions, for models that rank labels.

    Attributes:
        calibration: the maps from scores to probabilities, or None without any.
        reranker: a memory of the training set and what re-ranks with it, or None without one.
    """

    calibration: Calibration | None = None
    reranker: Reranker | None = None
    label_names: list[str] | None = None
    label_counts: np.ndarray | None = None
    n_train: int = 0

    @property
    @abstractmethod
    def reads_text(self) -> bool:
        """Whether a trained model was trained on texts."""

    @property
    @abstractmethod
    def reads_vectors(self) -> bool:
        """Whether a trained model was trained on feature vectors, alone or alongside texts."""

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """Number of labels L of a trained model."""

    @property
    @abstractmethod
    def top_k(self) -> int:
        """Number of labels per document if `top_k` is not given."""

    def predict(
        self,
        x: Any,
        top_k: int | None = None,
        *,
        beam: int | None = None,
        restrict_to: Sequence[str] | Sequence[int] | None = None,
        candidates: sp.spmatrix | None = None,
        threshold: float | None = None,
        min_k: int = 0,
        max_k: int | None = None,
        decide: str | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions | sp.csr_matrix:
        """Ranks the labels of each document.

        Args:
            x: N texts or features [N, D], as in training; for an ensemble also a pair (texts, features), of which
                each member takes the part that it reads.
            top_k: number of results R per document; if None, `search.top_k` (of an ensemble's first member).
            beam: number of clusters kept on each level; if None, `search.beam`.
            restrict_to: names or ids of the only labels that may be returned.
            candidates: [N, L]. The stored entries, whatever their values, are scored and returned as a matrix of
                scores; nothing is ranked.
            threshold: smallest probability of a returned label, among the first `calibrate.depth` ranks. If the model
                has no probabilities, it is the smallest score, and a warning says so.
            min_k, max_k: fewest and most labels per document; with a threshold or a rule, `top_k` acts as `max_k`.
            decide: rule that chooses the labels to return: `micro-f1`, `example-f1`, `macro-f1`, `precision:0.9`,
                `recall:0.8`, or `psp`, which ranks them by their expected gain.
            progress: True shows a bar (in a notebook or a terminal) or lines; or an object that is told about the work.

        Returns:
            Predictions, or a CSR matrix [N, L] if `candidates` are given.

        Raises:
            InputError: bad input, features of another kind or width than in training, a rule for a model without
                probabilities, or a rule that cannot be met.
        """
        asked = Asked(threshold, min_k, max_k, decide)
        if candidates is not None and asked != Asked():
            raise InputError(
                "candidates given with threshold, min_k, max_k or decide, one of them needed: all candidates are scored"
            )
        return self._predict(
            x,
            top_k,
            asked,
            beam=beam,
            restrict_to=restrict_to,
            candidates=candidates,
            progress=progress,
        )

    @takes_arguments_of(predict)
    def predict_proba(
        self, x: Any, top_k: int | None = None, *, candidates: sp.spmatrix | None, **options: Any
    ) -> Predictions | sp.csr_matrix:
        """Ranks the labels of each document and returns the probability that each is right.

        Probabilities descend as scores do. Candidates, and labels of a restricted search, have no rank among all
        labels, so their probabilities follow from their scores alone.

        Args:
            x, top_k, beam, restrict_to, candidates, threshold, min_k, max_k, decide, progress: as in `predict`.

        Returns:
            Predictions with `.probabilities`, or a CSR matrix [N, L] of probabilities if `candidates` are given.

        Raises:
            InputError: as `predict`, or the model has no probabilities.
        """
        asked = Asked(**{name: options.pop(name) for name in DECIDING}, probabilities=True)
        calibration = self._need_calibration()
        if candidates is None:
            return self._predict(x, top_k, asked, **options)
        if asked.selects:
            raise InputError(
                "candidates given with threshold or decide, one of them needed: all candidates are scored"
            )
        scores: Any = self._predict(x, top_k, Asked(), candidates=candidates, **options)
        found = calibration.score_pairs(scores.data)
        return sp.csr_matrix((found, scores.indices, scores.indptr), scores.shape)

    def _need_calibration(self) -> Calibration:
        if self.calibration is None:
            raise InputError(f"probabilities asked for, but {UNCALIBRATED}")
        return self.calibration

    def endpoint(self, *, probabilities: bool = False, **options: Any) -> Endpoint:
        """Returns what answers one document at a time, as `predict` does, from any thread.

        Args:
            probabilities: whether every answer has probabilities, as from `predict_proba`.
            options: for every call: `top_k`, `beam`, `restrict_to`, `threshold`, `min_k`, `max_k`, `decide`, as in
                `predict`.

        Raises:
            InputError: the model is not trained, or has no probabilities that were asked for.
        """
        from xmc_jax.estimator.endpoint import Endpoint

        return Endpoint(self, probabilities=probabilities, **options)

    def calibrate(
        self,
        x: Any,
        labels: Any,
        *,
        method: str = "isotonic-rank",
        progress: Progress | bool | None = None,
    ) -> Any:
        """Fits the maps from scores to probabilities, replacing any that the model has.

        Args:
            x: documents that the model was not trained on, as `predict` takes them; at least some hundreds.
            labels: their labels: N lists of names, or a matrix [N, L] with the columns of training. Names that the
                model does not know are ignored.
            method: `isotonic-rank`, `isotonic`, `platt` or `beta`.
            progress: True shows a bar (in a notebook or a terminal) or lines; or an object that is told about the work.

        Returns:
            self; `save` writes the maps with the model.

        Raises:
            InputError: bad documents, another number of rows of labels, an unknown method, or no label ranked.
        """
        find_method(method)
        if self.label_counts is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        truth = read_truth(labels, self.label_names, len(self.label_counts), "labels")
        ranked = self._rank(x, self._find_depth(), progress)
        if len(ranked) != truth.shape[0]:
            raise InputError(f"{len(ranked)} documents given for {truth.shape[0]} rows of labels")
        self.calibration = fit_to(ranked, truth, self.label_counts, method)
        return self

    def score(self, x: Any, labels: Any) -> float:
        """Returns P@1 from 0 to 1: the share of documents whose best-ranked label is one of theirs.

        Args:
            x: documents as `predict` takes them.
            labels: their labels, as in `calibrate`.

        Raises:
            InputError: bad documents, another number of rows of labels, or a model that is not trained.
        """
        if self.label_counts is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        truth = read_truth(labels, self.label_names, len(self.label_counts), "labels")
        ranked = self._rank(x, 1)
        if len(ranked) != truth.shape[0]:
            raise InputError(f"{len(ranked)} documents given for {truth.shape[0]} rows of labels")
        return float(evaluate(ranked, truth, k=1, metrics=["P"])["P@1"]) / 100

    def report(
        self,
        x: Any = None,
        labels: Any = None,
        *,
        path: str | os.PathLike | None = None,
        title: str | None = None,
        data: str = "",
        excluded: sp.spmatrix | None = None,
        propensity: tuple[float, float] = PROPENSITY,
        n_worst: int = 10,
        progress: Progress | bool | None = None,
    ) -> Page:
        """Makes a page about the model and its answers for documents with known labels.

        It shows scores with confidence intervals, rare and frequent labels, the reliability of the probabilities,
        thresholds and decisions, the label tree as a map, labels that are confused with each other, the worst documents
        with explanations, and the course of the training. A section that cannot be shown says why.

        Args:
            x: N documents as `predict` takes them; if None, the page shows the model alone.
            labels: their labels, as in `calibrate`.
            path: file that the page is written to, whole or not at all; if None, it is only returned.
            title: title of the page; if None, the name of the run's folder, or of the model.
            data: what the documents are, in words.
            excluded: [N, L], labels that do not count for a document.
            propensity: constants A and B of PSP.
            n_worst: how many of the worst documents to show, 0 or more.
            progress: True shows a bar (in a notebook or a terminal) or lines; or an object that is told about the work.

        Returns:
            The page, which displays itself in a notebook. It has `save(path)`, `html`, and its figures as `pictures`.

        Raises:
            InputError: bad documents or labels, only one of the two, a path that cannot be written to, or a model that
                is not trained.
        """
        from xmc_jax.estimator.reporting import make_report

        return make_report(
            self,
            x,
            labels,
            path=path,
            title=title,
            data=data,
            excluded=excluded,
            propensity=propensity,
            n_worst=n_worst,
            progress=progress,
        )

    def find_labels(self, labels: Sequence[str] | Sequence[int]) -> np.ndarray:
        """Returns the ids of labels given by name or id, int64.

        Raises:
            InputError: an unknown label, no label, or names for a model without label names.
        """
        n_labels = self.n_labels
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise InputError(f"restrict_to={labels!r:.60} given, a list of names or of ids needed")
        wanted: list[Any] = list(labels)
        if any(isinstance(label, str) for label in wanted):
            if self.label_names is None:
                raise InputError(
                    "label names given, but the model was trained on a label matrix: ids needed"
                )
            known = {name: i for i, name in enumerate(self.label_names)}
            found = [
                known[n] if n in known else find_label(self.label_names, str(n)) for n in wanted
            ]
            if None in found:
                missing = wanted[found.index(None)]
                raise InputError(
                    f"unknown label {missing!r}{suggest(str(missing), list(known)[:100000])[:200]}"
                )
            return np.array(found, np.int64)
        for label in wanted:
            if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
                raise InputError(f"restrict_to holds {label!r:.60}, names or ids needed")
        ids = np.array(wanted, np.int64)
        if len(ids) == 0 or ids.min() < 0 or ids.max() >= n_labels:
            raise InputError(f"label ids from 0 to {n_labels - 1} needed, at least one")
        return ids

    def _check_columns(self, x: Any) -> None:
        """Refuses a table whose columns are not those of training."""

    def _rank(self, x: Any, depth: int, progress: Progress | bool | None = None) -> Predictions:
        """Returns ranked labels up to a depth, or fewer, without a warning, where there are fewer."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)
            found = self._predict(x, depth, Asked(), progress=progress)
        assert isinstance(found, Predictions)
        return found

    @abstractmethod
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
        """Does the work of `predict`; `asked` says what is wanted."""

    def _prepare(
        self,
        top_k: int | None,
        asked: Asked,
        beam: int | None,
        restrict_to: Sequence[str] | Sequence[int] | None,
    ) -> Callable[[Any], Predictions]:
        """Returns what answers documents as `_predict` with these arguments does, again and again."""

        def ask(x: Any) -> Predictions:
            found = self._predict(x, top_k, asked, beam=beam, restrict_to=restrict_to)
            assert isinstance(found, Predictions)
            return found

        return ask

    @abstractmethod
    def _find_depth(self) -> int:
        """Returns the number of ranks that the maps are fitted to."""

    def _answer(
        self, ranked: Predictions, asked: Asked, top_k: int | None, is_ranked: bool
    ) -> Predictions:
        """Returns what was asked for of ranked labels."""
        weights = None
        if asked.decide == "psp" and self.label_counts is not None:
            weights = inverse_propensities(self.label_counts, self.n_train)
        return answer(
            ranked, asked, self.calibration, top_k=top_k, weights=weights, ranked=is_ranked
        )
