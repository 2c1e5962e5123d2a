"""Rules that choose which of a document's ranked labels to return, based on their probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from xmc_jax.calibrate.calibration import Calibration
from xmc_jax.errors import InputError, suggest
from xmc_jax.types import PAD


@dataclass(frozen=True, eq=False)
class Ranked:
    """Ranked labels that a rule chooses from.

    Attributes:
        ids: best first; PAD in unused slots.
        probabilities: descending; 0 in unused slots.
        weights: inverse propensity of each label, or None if unknown.
    """

    ids: Int[np.ndarray, "N R"]
    probabilities: Float[np.ndarray, "N R"]
    weights: Float[np.ndarray, "L"] | None = None


class Choice(NamedTuple):
    """What a rule returns: the slots to keep, and values to re-rank them by, or None to keep their order."""

    keep: Bool[np.ndarray, "N R"]
    values: Float[np.ndarray, "N R"] | None = None


@dataclass(frozen=True)
class Rule:
    """A decision rule.

    Attributes:
        choose: makes the choice from ranked labels, a calibration and the rule's number.
        number: what its number means; empty if it has none.
    """

    choose: Callable[[Ranked, Calibration, float], Choice]
    number: str = ""


def parse_rule(text: str) -> tuple[Rule, float]:
    """Returns the rule of a name such as `micro-f1` or `precision:0.9`, and its number (0 without one).

    Raises:
        InputError: an unknown rule, or a number that is missing, out of place or not in (0, 1].
    """
    name, colon, number = str(text).partition(":")
    if name not in RULES:
        known = [n + (":0.9" if rule.number else "") for n, rule in RULES.items()]
        raise InputError(f"decide={text!r} given{suggest(name, known)}")
    rule = RULES[name]
    if not rule.number:
        if colon:
            raise InputError(f"decide={text!r} given, but {name} takes no number; write {name}")
        return rule, 0.0
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise InputError(f"decide={text!r} given, a {rule.number} in (0, 1] needed: {name}:0.9")
    return rule, value


def expected_f1_size(probabilities: Float[np.ndarray, "N R"]) -> Int[np.ndarray, "N"]:
    """Returns how many of each document's ranked labels maximise its expected F1, 1 or more.

    k = argmax 2 Σ_{j≤k} p_j / (k + Σ_j p_j), with the sum over all R standing for the expected number of labels.

    Examples:
        >>> expected_f1_size(np.array([[0.9, 0.8, 0.1], [0.4, 0.3, 0.3]])).tolist()
        [2, 3]
    """
    k = np.arange(1, probabilities.shape[1] + 1)
    sums = np.cumsum(probabilities, axis=1, dtype=float)
    return np.argmax(2 * sums / (k + sums[:, -1:]), axis=1) + 1


def _choose_example_f1(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    size = expected_f1_size(ranked.probabilities)
    return Choice(np.arange(ranked.ids.shape[1]) < size[:, None])


def _choose_micro_f1(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    return Choice(ranked.probabilities >= np.float32(calibration.curve.find_best_f1()))


def _choose_macro_f1(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    thresholds = calibration.label_thresholds[np.maximum(ranked.ids, 0)]
    return Choice(ranked.probabilities >= thresholds, ranked.probabilities / thresholds)


def _choose_precision(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    return Choice(ranked.probabilities >= np.float32(calibration.curve.find_precision(number)))


def _choose_recall(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    return Choice(ranked.probabilities >= np.float32(calibration.curve.find_recall(number)))


def _choose_psp(ranked: Ranked, calibration: Calibration, number: float) -> Choice:
    """Ranks by p / propensity, which maximises the expected PSP@k for every k (Jain et al. 2016)."""
    if ranked.weights is None:
        raise InputError("decide=psp given, but the labels' training counts are not known")
    gains = ranked.probabilities * ranked.weights[np.maximum(ranked.ids, 0)]
    return Choice(ranked.ids != PAD, gains)


RULES: dict[str, Rule] = {
    "micro-f1": Rule(_choose_micro_f1),
    "example-f1": Rule(_choose_example_f1),
    "macro-f1": Rule(_choose_macro_f1),
    "precision": Rule(_choose_precision, "precision"),
    "recall": Rule(_choose_recall, "recall"),
    "psp": Rule(_choose_psp),
}
"""Name of a rule → the rule."""


def select(
    ranked: Ranked,
    keep: Bool[np.ndarray, "N R"],
    values: Float[np.ndarray, "N R"] | None = None,
    *,
    min_k: int = 0,
    max_k: int | None = None,
) -> Int[np.ndarray, "N kept"]:
    """Returns the slots of the labels to return [N, kept], best first, PAD behind them.

    Args:
        ranked: the ranked labels.
        keep: the slots that a rule keeps.
        values: values to re-rank by, largest first; if None, the order stays.
        min_k: fewest labels per document, filled with the best of those not kept if need be.
        max_k: most labels per document; None for no limit.

    Raises:
        InputError: `min_k` below 0 or above `max_k`.
    """
    most = ranked.ids.shape[1] if max_k is None else max_k
    if min_k < 0 or most < 1 or min_k > most:
        raise InputError(
            f"min_k={min_k}, max_k={max_k} given, 0 <= min_k <= max_k and max_k of 1 or more needed"
        )
    used = ranked.ids != PAD
    # Kept ones first, in their order or by value; among the others the order says which fill up to min_k.
    worth = -np.arange(ranked.ids.shape[1], dtype=float) + 0.0 * ranked.probabilities
    worth = worth if values is None else values.astype(float)
    order = np.lexsort((-worth, ~keep, ~used), axis=1)
    rank = np.arange(order.shape[1])
    n_kept = np.clip((keep & used).sum(axis=1), min_k, most)
    there = rank < np.minimum(n_kept, used.sum(axis=1))[:, None]
    return np.where(there, order, PAD)[:, : min(most, order.shape[1])]
