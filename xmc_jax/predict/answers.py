"""Chooses from ranked labels what a caller wants: probabilities, labels above a threshold, or those of a rule."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float

from xmc_jax.calibrate import Calibration, Ranked, parse_rule, select
from xmc_jax.errors import InputError
from xmc_jax.predict.predictions import Predictions
from xmc_jax.types import PAD

UNCALIBRATED = (
    "the model has no probabilities; model.calibrate(x, labels) with documents that it was not trained on "
    "(xmc calibrate), or train it with calibrate.share=0.1"
)
"""What a model without calibration answers to a question about probabilities."""


class UncalibratedWarning(UserWarning):
    """A threshold was given for a model that has only scores."""


@dataclass(frozen=True)
class Asked:
    """The ranked labels that a caller wants.

    Attributes:
        threshold: smallest probability of a label; for a model without probabilities, the smallest score.
        min_k: fewest labels per document, filled with the best of those below the threshold if need be.
        max_k: most labels per document.
        decide: a decision rule, such as `micro-f1` or `precision:0.9`, instead of a threshold.
        probabilities: whether probabilities are wanted.

    Raises:
        InputError: two ways to decide, an unknown rule, or impossible numbers.
    """

    threshold: float | None = None
    min_k: int = 0
    max_k: int | None = None
    decide: str | None = None
    probabilities: bool = False

    def __post_init__(self) -> None:
        if self.decide is not None:
            parse_rule(self.decide)
            if self.threshold is not None:
                raise InputError(
                    f"threshold={self.threshold} and decide={self.decide!r} given, one of them needed"
                )
        if self.threshold is not None and not (
            isinstance(self.threshold, Real) and np.isfinite(self.threshold)
        ):
            raise InputError(f"threshold={self.threshold!r:.60} given, a number needed")
        for name, least in (("min_k", 0), ("max_k", 1)):
            check_whole(name, getattr(self, name), least)
        if self.max_k is not None and self.min_k > self.max_k:
            raise InputError(f"min_k={self.min_k} given, at most max_k={self.max_k} needed")

    @property
    def selects(self) -> bool:
        """Whether only some of the ranked labels are wanted."""
        return self.threshold is not None or self.decide is not None

    def choose_depth(self, top_k: int | None, usual: int, depth: int) -> int:
        """Returns the number of labels to rank, from which the answer is chosen.

        Args:
            top_k: number asked for, or None.
            usual: number if none is asked for.
            depth: number of ranks that decisions choose from.
        """
        check_whole("top_k", top_k, 1)
        wanted = [n for n in (top_k, self.max_k) if n is not None]
        if self.selects:
            return max([depth, self.min_k, *wanted])
        return max([min(wanted, default=usual), self.min_k])


def check_whole(name: str, value: Any, least: int) -> None:
    """Raises InputError for anything but None and whole numbers of `least` or more."""
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or value != value // 1
        or value < least
    ):
        raise InputError(f"{name}={value!r:.60} given, a whole number of {least} or more needed")


def answer(
    predictions: Predictions,
    asked: Asked,
    calibration: Calibration | None,
    *,
    top_k: int | None = None,
    weights: Float[np.ndarray, "L"] | None = None,
    ranked: bool = True,
) -> Predictions:
    """Returns the ranked labels that were asked for.

    Args:
        predictions: the ranked labels.
        asked: which of them are wanted.
        calibration: the model's, or None.
        top_k: most labels per document, as `max_k`.
        weights: inverse propensities, which `decide=psp` needs; its scores are the expected gains.
        ranked: False if other labels were not allowed, so that ranks mean nothing.

    Raises:
        InputError: probabilities or a rule asked for without a calibration, or a rule that cannot be met.

    Warns:
        UncalibratedWarning: the threshold applies to scores.

    Example:
        >>> found = Predictions([[1, 0]], [[0.9, 0.4]], None, 2)
        >>> answer(found, Asked(max_k=1), None).ids.tolist()
        [[1, 0]]
    """
    if calibration is None and (asked.probabilities or asked.decide is not None):
        what = "probabilities" if asked.decide is None else f"decide={asked.decide}"
        raise InputError(f"{what} asked for, but {UNCALIBRATED}")
    if calibration is not None and (asked.selects or asked.probabilities):
        probabilities = calibration.apply(predictions.ids, predictions.scores, ranked=ranked)
        predictions = replace(predictions, probabilities=probabilities)
    if not asked.selects:
        return predictions
    keep, values = _choose(predictions, asked, calibration, weights)
    bounds = [n for n in (top_k, asked.max_k) if n is not None]
    there = predictions.probabilities
    known = predictions.scores if there is None else there
    order = select(
        Ranked(predictions.ids, known, weights),
        keep,
        values,
        min_k=min([asked.min_k, *bounds]),
        max_k=min(bounds, default=None),
    )
    return _take(predictions, order, values)


def _choose(
    predictions: Predictions,
    asked: Asked,
    calibration: Calibration | None,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the slots to keep, and the values to re-rank them by, if any."""
    known = predictions.scores if predictions.probabilities is None else predictions.probabilities
    if asked.decide is None:
        if calibration is None:
            warnings.warn(
                f"threshold={asked.threshold:g} applies to scores: {UNCALIBRATED}",
                UncalibratedWarning,
                stacklevel=4,
            )
        assert asked.threshold is not None
        return known >= np.float32(asked.threshold), None
    rule, number = parse_rule(asked.decide)
    assert calibration is not None
    return rule.choose(Ranked(predictions.ids, known, weights), calibration, number)


def _take(predictions: Predictions, order: np.ndarray, values: np.ndarray | None) -> Predictions:
    """Returns the slots in a new order; values that rank them replace the scores."""
    at, unused = np.maximum(order, 0), order == PAD

    def take(array: np.ndarray) -> np.ndarray:
        return np.where(unused, 0, np.take_along_axis(array, at, axis=1))

    ids = np.where(unused, PAD, np.take_along_axis(predictions.ids, at, axis=1))
    scores = take(predictions.scores if values is None else values)
    assert predictions.probabilities is not None or values is None
    there = predictions.probabilities
    return replace(
        predictions, ids=ids, scores=scores, probabilities=None if there is None else take(there)
    )
