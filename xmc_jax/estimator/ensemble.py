"""Trained models of any kind as one: each ranks the labels by itself, and a rule combines the rankings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import CombinationName, SearchConfig, replace_field
from xmc_jax.data import check_features
from xmc_jax.errors import InputError, suggest
from xmc_jax.estimator.answers import Answers
from xmc_jax.estimator.estimator import Estimator
from xmc_jax.estimator.parameters import list_classes, make_tags, write_html
from xmc_jax.estimator.saved import load
from xmc_jax.predict import (
    Asked,
    Predictions,
    check_rule,
    combine,
    combine_candidates,
    match_names,
    renumber,
)
from xmc_jax.types import Progress


class Ensemble(Answers):
    """Combines the predictions of several trained models, each with its own features, tree and settings.

    Nothing is trained and nothing is kept on disk: the members' folders are the ensemble.

    Args:
        members: one or more trained models of any kind, also ensembles, or folders of runs. If their labels have
            names, they may be numbered differently; results have the first member's numbers.
        rule: `average`, `rank_average`, `sigmoid_average`, `softmax_average` or `round_robin`; see
            `xmc_jax.combine`.

    Raises:
        InputError: no members, a member that is not trained, members with different labels, or an unknown rule.

    Attributes:
        members: the models.
        rule: as given.
        label_names, label_counts, n_train: the first member's.
        calibration: the maps that `calibrate` fits; they are kept nowhere else.

    >>> from xmc_jax import XRLinear
    >>> texts = ["a red apple", "a green pear", "a fast car", "a slow bus"] * 2
    >>> labels = [["fruit"], ["fruit"], ["vehicle"], ["vehicle"]] * 2
    >>> members = [XRLinear(seed=seed).fit(texts, labels) for seed in (0, 1)]
    >>> Ensemble(members, "rank_average").predict(["a slow car"], top_k=1).names()
    [['vehicle']]
    """

    def __init__(
        self, members: Sequence[Member | str | os.PathLike], rule: CombinationName = "average"
    ) -> None:
        check_rule(rule)
        if isinstance(members, (str, os.PathLike, Answers)):
            raise InputError(
                f"members given as {type(members).__name__}, a list of models or folders needed"
            )
        self.rule = rule
        self.members = [_open(member, i) for i, member in enumerate(members)]
        if not self.members:
            raise InputError("no members given, one model or folder or more needed")
        first = self.members[0]
        self.label_names, self.n_train = first.label_names, first.n_train
        self.label_counts = first.label_counts
        self._orders = [
            match_names(
                first.label_names,
                first.n_labels,
                m.label_names,
                m.n_labels,
                f"member {i}",
            )
            for i, m in enumerate(self.members)
        ]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns `members` and `rule`.

        Args:
            deep: makes no difference: the members are trained and keep their own settings.
        """
        return {"members": self.members, "rule": self.rule}

    def set_params(self, **settings: Any) -> Self:
        """Takes other members or another rule.

        Raises:
            InputError: as the constructor, or an unknown parameter.
        """
        unknown = [name for name in settings if name not in self.get_params()]
        if unknown:
            raise InputError(
                f"unknown parameter '{unknown[0]}'{suggest(unknown[0], self.get_params())}"
            )
        if settings:
            vars(self).update(vars(type(self)(**{**self.get_params(), **settings})))
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels by id: names, or numbers where there are none."""
        return list_classes(self.label_names, self.n_labels)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        """Returns an ensemble of the same members: there is nothing to train."""
        return type(self)(self.members, self.rule)

    def __sklearn_tags__(self) -> Any:
        return make_tags()

    def __repr__(self) -> str:
        return f"Ensemble([{', '.join(map(repr, self.members))}], rule={self.rule!r})"

    def _repr_html_(self) -> str:
        rows = [(f"member {i}", repr(member)) for i, member in enumerate(self.members)]
        return write_html("Ensemble", [("rule", self.rule), *rows])

    @property
    def reads_text(self) -> bool:
        """Returns whether a member was trained on texts."""
        return any(member.reads_text for member in self.members)

    @property
    def reads_vectors(self) -> bool:
        """Returns whether a member was trained on feature vectors."""
        return any(member.reads_vectors for member in self.members)

    def update(self, *given: Any, **options: Any) -> Ensemble:
        """Refuses: its members are updated one by one.

        Raises:
            InputError: always.
        """
        raise InputError(
            "an ensemble cannot be updated as a whole; update its members, and make an ensemble of them"
        )

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
        inputs = [self._choose(x, member) for member in self.members]
        if candidates is not None:
            return self._score(inputs, check_features(candidates, "candidates"), restrict_to)
        wanted = None
        if restrict_to is not None:
            wanted = self.members[0].find_labels(restrict_to)
        usual = self.top_k
        if top_k is not None:
            usual = replace_field(SearchConfig(), "top_k", top_k).top_k
        depth = asked.choose_depth(top_k, usual, self._find_depth())
        found = []
        for member, order, documents in zip(self.members, self._orders, inputs, strict=True):
            predictions = member.predict(
                documents,
                member.choose_results(depth, beam),
                beam=beam,
                restrict_to=_to_member(wanted, order),
                progress=progress,
            )
            assert isinstance(predictions, Predictions)
            ids = renumber(predictions.ids, order)
            found.append(
                Predictions(ids, predictions.scores, self.label_names, predictions.n_labels)
            )
        ranked = combine(found, self.rule, depth)
        return self._answer(ranked, asked, top_k, restrict_to is None)

    @property
    def top_k(self) -> int:
        """Number of labels per document if `top_k` is not given: the first member's."""
        return self.members[0].top_k

    @property
    def n_labels(self) -> int:
        """Number of labels L."""
        return self.members[0].n_labels

    def choose_results(self, top_k: int, beam: int | None) -> int:
        """Returns how many labels it is asked for when it is a member of another ensemble."""
        return min(member.choose_results(top_k, beam) for member in self.members)

    def _find_depth(self) -> int:
        return min(member._find_depth() for member in self.members)

    def _score(self, inputs: list[Any], asked: sp.csr_matrix, restrict_to: Any) -> sp.csr_matrix:
        """Returns the combined scores of candidates [N, L]."""
        wanted = None if restrict_to is None else self.members[0].find_labels(restrict_to)
        scores = []
        for member, order, documents in zip(self.members, self._orders, inputs, strict=True):
            own = asked
            if order is not None and asked.shape[1] == len(order):
                own = _move_columns(asked, np.argsort(order))
            found = member.predict(documents, restrict_to=_to_member(wanted, order), candidates=own)
            scores.append(found if order is None else _move_columns(found, order))
        return combine_candidates(scores, self.rule)

    def explain(self, x: Any, *_: Any, **__: Any) -> Any:
        """Refuses: a member has reasons, but their mean has none.

        Raises:
            InputError: always; the message says what to ask instead.
        """
        raise InputError(
            "explain asked of an ensemble, whose members rank by themselves: ask each of .members for its reasons"
        )

    def _choose(self, x: Any, member: Member) -> Any:
        """Returns the part of the documents that a member reads."""
        is_pair = isinstance(x, tuple) and len(x) == 2
        if is_pair and len(getattr(x[1], "shape", ())) == 2:
            if member.reads_text and member.reads_vectors:
                return x
            return x[0] if member.reads_text else x[1]
        if self.reads_text and self.reads_vectors:
            raise InputError(
                "some members read texts, some vectors: give predict a pair (texts, vectors)"
            )
        return x


Member = Estimator | Ensemble


def _open(member: Any, number: int) -> Member:
    """Returns a trained model, read from its folder if it is one."""
    if isinstance(member, (str, os.PathLike)):
        return load(member)
    if not isinstance(member, Member):
        raise InputError(
            f"member {number} given as {type(member).__name__}, a trained model or a folder needed"
        )
    if isinstance(member, Estimator) and member.label_counts is None:
        raise InputError(f"member {number} is not trained; call fit first, or give its folder")
    return member


def _to_member(wanted: np.ndarray | None, order: np.ndarray | None) -> Any:
    """Returns labels of the first's numbers in a member's own, as `renumber` has it the other way round."""
    return wanted if wanted is None or order is None else np.argsort(order)[wanted]


def _move_columns(matrix: sp.csr_matrix, target: np.ndarray) -> sp.csr_matrix:
    """Returns the matrix with column j at target[j]; stored zeros stay stored."""
    moved = sp.csr_matrix((matrix.data, target[matrix.indices], matrix.indptr), matrix.shape)
    moved.sort_indices()
    return moved
