"""Answers for one document at a time, as a service gives them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError, suggest
from xmc_jax.estimator.answers import DECIDING, Answers
from xmc_jax.estimator.estimator import read_one
from xmc_jax.predict import Asked, Predictions

_TERMS = (0, 100, 1000)
"""Terms of the documents that a warm-up makes up: widths of 64, 512 and 4,096 slots."""
_OPTIONS = ("top_k", "beam", "restrict_to", *DECIDING)
_MOST_PREPARED = 8
"""Numbers of results whose searches stay prepared."""


class Endpoint:
    """Answers single documents exactly as the model's `predict` answers a set of one; any thread may call it.

    Args:
        model: trained, of any kind.
        probabilities: whether every answer has probabilities, as from `predict_proba`.
        **options: for every call: `top_k`, `beam`, `restrict_to`, `threshold`, `min_k`, `max_k`, `decide`, as in
            `predict`.

    Raises:
        InputError: the model is not trained, or has no probabilities that were asked for.

    >>> import xmc_jax as xmc
    >>> texts, labels = ["a bird of prey", "a tax on goods"] * 9, [["bird"], ["tax"]] * 9
    >>> endpoint = xmc.XRLinear(seed=0).fit(texts, labels).endpoint(top_k=1)
    >>> endpoint("a bird").names()
    [['bird']]
    """

    def __init__(self, model: Answers, *, probabilities: bool = False, **options: Any) -> None:
        self._model, self._options, self._probabilities = model, options, probabilities
        _ = model.n_labels  # of a trained model
        if probabilities:
            model._need_calibration()
        self._read(options)
        # What does not depend on the document takes longer than a search.
        kept = lru_cache(_MOST_PREPARED, typed=True)
        self._prepared = kept(lambda top_k: self._prepare(top_k, options))

    def __call__(self, x: Any, top_k: int | None = None, **options: Any) -> Predictions:
        """Returns the predictions of one document.

        Args:
            x: one text, or one row of features [D] or [1, D]; for a model of both, a pair (text, row).
            top_k: number of results; if None, that of the endpoint or the model.
            options: as for the endpoint, in place of its own.

        Raises:
            InputError: not exactly one document, or as from `predict`.
        """
        if top_k is None:
            top_k = self._options.get("top_k")
        if options or not isinstance(top_k, Hashable):
            ask = self._prepare(top_k, self._options | options)
        else:
            ask = self._prepared(top_k)
        found = ask(read_one(x)[1])
        if len(found) != 1:
            raise InputError(
                f"{len(found)} documents given to an endpoint, one needed; use predict for more"
            )
        return found

    def _prepare(self, top_k: int | None, options: dict[str, Any]) -> Callable[[Any], Predictions]:
        """Returns what answers documents with these options."""
        asked = self._read(options)
        return self._model._prepare(top_k, asked, options.get("beam"), options.get("restrict_to"))

    def _read(self, options: dict[str, Any]) -> Asked:
        """Returns what the options ask for, and refuses those that an endpoint does not take."""
        if "candidates" in options:
            raise InputError("candidates given, which an endpoint does not score; use predict")
        for name in options:
            if name not in _OPTIONS:
                raise InputError(f"unknown option '{name}' of an endpoint{suggest(name, _OPTIONS)}")
        deciding = {name: options[name] for name in DECIDING if name in options}
        return Asked(**deciding, probabilities=self._probabilities)

    def warm_up(self, *examples: Any) -> Endpoint:
        """Compiles what answers need, so that no caller waits for it.

        Args:
            examples: documents as calls will give them, short and long ones; if none are given, they are made up.

        Returns:
            itself.
        """
        for example in examples or _make_examples(self._model):
            self(example)
        return self


def _make_examples(model: Any) -> list[Any]:
    """Returns documents of few and of many terms."""
    if not hasattr(model, "models") or not model.models:
        return ["", "a text"] if model.reads_text and not model.reads_vectors else []
    first, vectorizer = model.model, model.vectorizer
    terms = () if vectorizer is None else vectorizer.vocabulary
    if model.reads_text and (terms or not first.n_sparse):
        return [" ".join(terms[:n]) for n in _TERMS if n <= len(terms)]
    if first.n_dense:
        return []
    lengths = [min(n, first.n_sparse) for n in _TERMS]
    return [
        sp.csr_matrix((np.zeros(n, np.float32), np.arange(n), [0, n]), (1, first.n_sparse))
        for n in sorted(set(lengths))
    ]
