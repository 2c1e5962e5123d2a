"""Labels scored by levels and by prototypes together."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.data import check_features
from xmc_jax.estimator.estimator import Estimator
from xmc_jax.estimator.linear import XRLinear
from xmc_jax.estimator.reasons import explain
from xmc_jax.explain import Explanation
from xmc_jax.model import Prototypes
from xmc_jax.predict import (
    Asked,
    FewResultsWarning,
    Predictions,
)
from xmc_jax.predict.mixture import mix_scores, rank_scores
from xmc_jax.predict.nearest import MIX_DEPTH, Nearest
from xmc_jax.types import Features, Progress


class Mixture(Estimator):
    """A model of levels on [features, vector] that may have prototypes beside them.

    Attributes:
        prototypes: of the labels, or None.
    """

    prototypes: Prototypes | None = None
    _mix = 0.0
    _near: Nearest | None = None
    _label_texts: list[str] | None = None
    """Texts of the labels, where they are others than the names."""

    @property
    @abstractmethod
    def linear(self) -> XRLinear:
        """The XR-Linear on [features, vector], with this model's settings."""

    def rank_first(
        self,
        features: Features,
        depth: int,
        beam: int | None = None,
        shown: np.ndarray | None = None,
        progress: Progress | bool | None = None,
    ) -> Predictions:
        near, linear = self._near, self.linear.without_reranker()
        if near is None or not self._mix:
            return linear.rank_first(features, depth, beam, shown, progress)
        whole = max(depth, MIX_DEPTH)
        given: Any = None if shown is None else shown.tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)
            levels = linear._predict(
                features, whole, Asked(), beam=beam, restrict_to=given, progress=progress
            )
        assert isinstance(levels, Predictions)
        nearest, _ = near.find(features.dense, min(whole, self.n_labels), shown=shown)
        weights = 1 - self._mix, self._mix
        mixed = mix_scores([levels.to_csr(), nearest.to_csr()], weights)
        return rank_scores(mixed, depth, self.label_names)

    def _mix_candidates(
        self, features: Features, candidates: sp.spmatrix, progress: Any
    ) -> sp.csr_matrix:
        """Returns the scores of given labels by levels and prototypes together."""
        assert self._near is not None
        given = check_features(candidates, "candidates")
        levels = self.linear._predict(features, None, Asked(), candidates=given, progress=progress)
        scores = self._near.score(features.dense, given)
        assert not isinstance(levels, Predictions)
        # A sum of matrices would lose the scores of 0, which are asked for.
        assert np.array_equal(levels.indices, scores.indices)
        data = (1 - self._mix) * levels.data + self._mix * scores.data
        return sp.csr_matrix((data, levels.indices, levels.indptr), levels.shape)

    def _explain(self, features: Features, text: str, **options: Any) -> Explanation:
        near, shares = self._near, None
        if near is not None and self._mix:
            every = sp.csr_matrix(np.ones((1, self.n_labels), np.float32))
            shares = near.score(features.dense, every).toarray()[0]

        def mix(label: int, score: float) -> float:
            own, other = 1 - self._mix, self._mix
            return score if shares is None else own * score + other * float(shares[label])

        options |= {"vectorizer": self.vectorizer, "ranker": self, "mixed": mix}
        return explain(self.linear, features, text, **options)
