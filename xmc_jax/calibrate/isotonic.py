"""Isotonic regression along scores, and along scores and ranks together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_ROUNDS, _CLOSE = 300, 1e-7
_FAINT = 1e-6
"""Weight of a cell without pairs relative to the mean, so small that it follows its neighbours."""


def fit_increasing(
    values: Float[np.ndarray, "M"], weights: Float[np.ndarray, "M"]
) -> Float[np.ndarray, "M"]:
    """Returns the increasing sequence nearest to the values in weighted least squares (pool adjacent violators).

    Args:
        values: finite.
        weights: above 0.

    Examples:
        >>> fit_increasing(np.array([1.0, 3.0, 2.0]), np.ones(3)).tolist()
        [1.0, 2.5, 2.5]
    """
    from scipy.optimize import isotonic_regression  # here: its import takes long

    return isotonic_regression(values, weights=weights).x


def fit_decreasing_columns(
    values: Float[np.ndarray, "G M"], weights: Float[np.ndarray, "G M"]
) -> Float[np.ndarray, "G M"]:
    """Returns for each column the decreasing sequence nearest to it in weighted least squares.

    G is small: by the min-max formula, f_i = min over a ≤ i of max over b ≥ i of the mean of values a … b, all columns
    are fitted at once.
    """
    n = len(values)
    mass = np.cumsum(np.pad(weights, ((1, 0), (0, 0))), axis=0)
    moment = np.cumsum(np.pad(weights * values, ((1, 0), (0, 0))), axis=0)
    mean = np.full((n, n, values.shape[1]), -np.inf)
    for a in range(n):
        mean[a, a:] = (moment[a + 1 :] - moment[a]) / (mass[a + 1 :] - mass[a])
    best = np.maximum.accumulate(mean[:, ::-1], axis=1)[:, ::-1]  # [a, i]: largest over b >= i
    return np.stack([best[: i + 1, i].min(axis=0) for i in range(n)])


def fit_ordered(
    values: Float[np.ndarray, "G M"], weights: Float[np.ndarray, "G M"]
) -> Float[np.ndarray, "G M"]:
    """Returns the table nearest to the values that increases along each row and decreases down each column.

    Projections on the two orders in turn, each corrected by what the last one of its kind took away, converge to the
    least-squares fit (Dykstra & Robertson 1982).

    Args:
        values: means of the cells; cells of weight 0 are ignored.
        weights: 0 or more, above 0 somewhere in each row.

    Example:
        >>> fit_ordered(np.array([[0.4, 0.2, 0.6]]), np.ones((1, 3))).round(2).tolist()
        [[0.3, 0.3, 0.6]]
    """
    if len(values) == 1 and (weights > 0).all():
        return fit_increasing(values[0], weights[0])[None]
    start = np.stack([_fill(y, w) for y, w in zip(values, weights, strict=True)])
    weights = weights / weights.mean() + _FAINT
    fitted, rest = start, np.zeros((2, *start.shape))
    for _ in range(_ROUNDS):
        before, shifted = fitted, fitted + rest[0]
        rows = np.stack([fit_increasing(y, w) for y, w in zip(shifted, weights, strict=True)])
        rest[0] = shifted - rows
        shifted = rows + rest[1]
        fitted = fit_decreasing_columns(shifted, weights)
        rest[1] = shifted - fitted
        if np.abs(fitted - before).max() < _CLOSE:
            break
    # What is left of the limit is below the tolerance; the orders hold exactly.
    return np.minimum.accumulate(np.maximum.accumulate(fitted, axis=1), axis=0)


def _fill(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns a row whose cells without weight lie between the increasing fit of those around them."""
    used = np.flatnonzero(weights > 0)
    around = np.interp(np.arange(len(values)), used, fit_increasing(values[used], weights[used]))
    around[used] = values[used]
    return around
