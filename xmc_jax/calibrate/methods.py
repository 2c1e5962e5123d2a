"""How a score becomes a probability: the methods to choose from, each giving values at the same knots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from xmc_jax.calibrate.isotonic import fit_ordered
from xmc_jax.errors import InputError, suggest

RANK_GROUPS = (1, 2, 3, 4, 6, 11)
"""First rank of each group of ranks: 1, 2, 3, 4–5, 6–10, 11 and more."""
_SCORE_FLOOR = 1e-6
_STEPS = 100


@dataclass(frozen=True)
class Pairs:
    """(document, label) pairs that a map is fitted to.

    Attributes:
        score: float64 [Q].
        hit: whether the document has the label.
        cell: the knot that each pair belongs to.
        group: the group of ranks of each pair.
        knots: ascending.
    """

    score: Float[np.ndarray, "Q"]
    hit: Bool[np.ndarray, "Q"]
    cell: np.ndarray
    group: np.ndarray
    knots: Float[np.ndarray, "M"]


@dataclass(frozen=True)
class Method:
    """A method of calibration.

    Attributes:
        ranks: first rank of each of G groups with a map of its own.
        fit: values [G, M] at the knots.
    """

    ranks: tuple[int, ...]
    fit: Callable[[Pairs], Float[np.ndarray, "G M"]]


def find_method(name: str) -> Method:
    """Returns a method by its name; raises InputError, with a suggestion, for an unknown one."""
    if name not in METHODS:
        raise InputError(f"calibration method {name!r} given{suggest(name, METHODS)}")
    return METHODS[name]


def _fit_isotonic(pairs: Pairs) -> np.ndarray:
    present, group = np.unique(pairs.group, return_inverse=True)
    shape = len(present), len(pairs.knots)
    cell = group * shape[1] + pairs.cell
    size = shape[0] * shape[1]
    weights = np.bincount(cell, minlength=size).reshape(shape).astype(float)
    hits = np.bincount(cell, pairs.hit, minlength=size).reshape(shape)
    fitted = fit_ordered(hits / np.maximum(weights, 1), weights)
    # A group that no pair is in is as sure as the one before it; a first one, as the one behind it.
    n_groups = int(pairs.group.max()) + 1
    return fitted[np.maximum(np.searchsorted(present, np.arange(n_groups), "right") - 1, 0)]


def _fit_platt(pairs: Pairs) -> np.ndarray:
    """σ(a t + b) with a ≥ 0 (Platt 1999), t the logit of a score in [0, 1], else the score."""
    if _are_shares(pairs.score):
        return _fit_logistic(pairs, lambda s: np.log(_bound(s) / (1 - _bound(s)))[:, None])
    return _fit_logistic(pairs, lambda s: s[:, None])


def _fit_beta(pairs: Pairs) -> np.ndarray:
    """σ(a ln s − b ln(1 − s) + c) with a, b ≥ 0 (Kull et al. 2017)."""
    if not _are_shares(pairs.score):
        raise InputError(
            f"calibration method 'beta' given for scores from {pairs.score.min():.3g} to "
            f"{pairs.score.max():.3g}, scores in [0, 1] needed; choose isotonic-rank, isotonic or platt"
        )
    return _fit_logistic(
        pairs, lambda s: np.stack([np.log(_bound(s)), -np.log(1 - _bound(s))], axis=1)
    )


def _fit_logistic(pairs: Pairs, expand: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns a logistic map [1, M] of expanded scores, whose slopes are 0 or more so that it increases."""
    x, at = expand(pairs.score), expand(pairs.knots)
    center, scale = x.mean(axis=0), x.std(axis=0) + 1e-12
    kept = np.ones(x.shape[1], bool)
    while True:
        slopes = _solve_logistic((x[:, kept] - center[kept]) / scale[kept], pairs.hit)
        if (slopes[:-1] >= 0).all():
            break
        kept[np.flatnonzero(kept)[np.argmin(slopes[:-1])]] = False
    from scipy.special import expit  # here: its import takes long

    margin = ((at[:, kept] - center[kept]) / scale[kept]) @ slopes[:-1] + slopes[-1]
    return expit(margin)[None]


def _solve_logistic(x: Float[np.ndarray, "Q P"], hit: np.ndarray) -> Float[np.ndarray, "P1"]:
    """Returns the slopes and the constant of maximum likelihood, by Newton's method with a faint pull to 0."""
    from scipy.special import expit

    x = np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(x.shape[1])
    pull = np.append(np.full(x.shape[1] - 1, 1e-3), 1e-6)

    def lose(w: np.ndarray) -> float:
        z = x @ w
        return float(np.logaddexp(0, z).sum() - z[hit].sum() + 0.5 * pull @ w**2)

    loss = lose(weights)
    for _ in range(_STEPS):
        p = expit(x @ weights)
        slope = x.T @ (p - hit) + pull * weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(pull), slope)
        share = 1.0
        while share > 1e-8 and lose(weights - share * step) > loss:
            share /= 2
        weights = weights - share * step
        before, loss = loss, lose(weights)
        if before - loss <= 1e-10 * max(1.0, abs(loss)):
            break
    return weights


def _are_shares(score: np.ndarray) -> bool:
    return bool(score.min() >= 0 and score.max() <= 1)


def _bound(score: np.ndarray) -> np.ndarray:
    return np.clip(score, _SCORE_FLOOR, 1 - _SCORE_FLOOR)


METHODS: dict[str, Method] = {
    "isotonic-rank": Method(RANK_GROUPS, _fit_isotonic),
    "isotonic": Method((1,), _fit_isotonic),
    "platt": Method((1,), _fit_platt),
    "beta": Method((1,), _fit_beta),
}
"""Name of a method → the method."""
