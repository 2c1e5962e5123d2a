"""Truncated Newton for all units and labels of a call, in any space that expresses their weights.

The problem ½‖w‖² + Σ C_i·loss(y_i f_i), f = A w, is solved by Newton steps whose systems (I + AᵀDA) p = -g are solved
by conjugate gradients (Keerthi & DeCoste 2005; Hsia, Chiang & Lin 2018). Only a `Space` knows what a vector is: the
weights themselves, or coefficients β with w = Aᵀβ, where features enter only through G = AAᵀ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xmc_jax.config import Loss

Vector = Any
"""A pytree of arrays [U, …, K]; each (unit, label) is a separate problem. For a single unit, axis U may be missing."""

_LINE_STEPS = 6


@dataclass(frozen=True)
class Space:
    """The space of the unknowns.

    Attributes:
        image: maps v to A v, float32 [U, n, K].
        pull: maps rows [U, n, K] to the vector Aᵀ·rows.
        dot: returns the inner products [U, 1, K] of two vectors.
        precondition: returns the preconditioner of residuals, given the curve D [U, n, K] of a step.
        measure: returns dᵀ(I + AᵀDA)d, float32 [U, 1, K], given a direction d, its product (I + AᵀDA)d and the curve D.
        cg_steps: largest number of steps of conjugate gradients.
        cg_share: a label's system is solved until its squared, preconditioned residual is this share of the first.
        total: returns the sums over the rows of units, given those over their parts along axis U; the parts are equal
            in all that is summed over rows.
    """

    image: Callable[[Vector], Array]
    pull: Callable[[Array], Vector]
    dot: Callable[[Vector, Vector], Array]
    precondition: Callable[[Array], Callable[[Vector], Vector]]
    measure: Callable[[Vector, Vector, Array], Array]
    cg_steps: int
    cg_share: float
    total: Callable[[Array], Array] = lambda sums: sums


class NewtonResult(NamedTuple):
    """The unknowns, the objective [U, 1, K] of every label and the steps taken."""

    vector: Vector
    objective: Array
    n_steps: Array


def evaluate_loss(margins: Array, loss: Loss) -> tuple[Array, Array, Array]:
    """Returns the loss and its first and second derivatives at the margins y·f (generalised where it is not smooth).

    Raises:
        ValueError: a loss without a second derivative.
    """
    if loss == "squared_hinge":
        gap = jnp.maximum(1.0 - margins, 0.0)
        return gap**2, -2.0 * gap, 2.0 * (gap > 0)
    if loss == "logistic":
        share = jax.nn.sigmoid(-margins)
        return jax.nn.softplus(-margins), -share, share * (1.0 - share)
    raise ValueError(f"no Newton step for loss {loss!r}")


def minimise(
    space: Space,
    start: Vector,
    margins: Float[Array, "*U n K"],
    y: Float[Array, "*U n K"],
    cost: Float[Array, "*U n K"],
    loss: Loss,
    tolerance: float,
    max_steps: int,
    *,
    together: bool = False,
) -> NewtonResult:
    """Minimises the problem of every (unit, label) until a step gains at most `tolerance` of every objective.

    Args:
        space: the space of the vectors.
        start: the vector to begin with.
        margins: the image of `start`.
        y: 1, -1, or 0 for rows that are not in the problem.
        cost: C_i, 0 where y is 0.
        loss: a loss with a second derivative.
        tolerance: share of the objective.
        max_steps: largest number of steps.
        together: whether to stop when the next step would gain less than that share of the sum of all objectives. A
            step leaves about `cg_share` of its gain to the next.
    """

    def measure(w, f):
        value, _, _ = evaluate_loss(y * f, loss)
        return 0.5 * space.dot(w, w) + space.total(_sum_rows(cost * value))

    def step(state):
        n, w, f, objective, _ = state
        _, slope, curve = evaluate_loss(y * f, loss)
        gradient = _add(w, space.pull(cost * slope * y))
        p = _solve_system(space, gradient, cost * curve)
        fp = space.image(p)
        t = _search_line(space, w, p, f, fp, y, cost, loss)
        w, f = _add(w, _scale(t, p)), f + t * fp
        return n + 1, w, f, measure(w, f), objective

    def continues(state):
        n, _, _, after, before = state
        gain, least = before - after, tolerance * jnp.maximum(after, 1e-12)
        if together:
            return (n < max_steps) & (space.cg_share * gain.sum() > least.sum())
        return (n < max_steps) & (gain > least).any()

    objective = measure(start, margins)
    state = jnp.int32(0), start, margins, objective, jnp.full_like(objective, jnp.inf)
    n, w, _, objective, _ = lax.while_loop(continues, step, state)
    return NewtonResult(w, objective, n)


def read_costs(signs: Array, weights: Array | None, costs: Any) -> tuple[Array, Array]:
    """Returns signs and costs, float32 [U, n, K] each; both 0 for rows that are not in the problem."""
    y = signs.astype(jnp.float32)
    positive = costs[0] if weights is None else costs[0] * weights
    return y, jnp.where(y > 0, positive, jnp.where(y < 0, costs[1], 0.0))


def _add(a: Vector, b: Vector) -> Vector:
    return jax.tree.map(jnp.add, a, b)


def _scale(s: Float[Array, "*U 1 K"], v: Vector) -> Vector:
    return jax.tree.map(lambda x: s * x, v)


def _sum_rows(x: Float[Array, "*U n K"]) -> Float[Array, "*U 1 K"]:
    return x.sum(axis=-2, keepdims=True)


def _solve_system(space: Space, gradient: Vector, curve: Float[Array, "*U n K"]) -> Vector:
    """Returns p with (I + AᵀDA) p ≈ -gradient; every label stops by itself."""
    precondition = space.precondition(curve)

    def step(state):
        n, p, r, d, square = state
        curved = _add(d, space.pull(curve * space.image(d)))
        active = square > space.cg_share * first
        a = jnp.where(active, square / jnp.maximum(space.measure(d, curved, curve), 1e-30), 0.0)
        p, r = _add(p, _scale(a, d)), _add(r, _scale(-a, curved))
        z = precondition(r)
        new = jnp.where(active, jnp.maximum(space.dot(r, z), 0.0), square)
        b = jnp.where(active, new / jnp.maximum(square, 1e-30), 0.0)
        return n + 1, p, r, _add(z, _scale(b, d)), new

    def continues(state):
        return (state[0] < space.cg_steps) & (state[-1] > space.cg_share * first).any()

    r = jax.tree.map(jnp.negative, gradient)
    z = precondition(r)
    first = jnp.maximum(space.dot(r, z), 0.0)  # rounding may make it negative if G measures it
    zero = jax.tree.map(jnp.zeros_like, r)
    return lax.while_loop(continues, step, (jnp.int32(0), zero, r, z, first))[1]


def _search_line(
    space: Space, w: Vector, p: Vector, f, fp, y, cost, loss: Loss
) -> Float[Array, "*U 1 K"]:
    """Returns the best step length t ≥ 0, by Newton in one variable, kept between the bounds found so far.

    The derivative grows with t; for the squared hinge it is piecewise linear, so a few steps find its root exactly.
    """
    wp, pp = space.dot(w, p), space.dot(p, p)

    def newton(_, state):
        t, low, high = state
        _, slope, curve = evaluate_loss(y * (f + t * fp), loss)
        first = wp + t * pp + space.total(_sum_rows(cost * slope * y * fp))
        second = pp + space.total(_sum_rows(cost * curve * fp * fp))
        low, high = jnp.where(first < 0, t, low), jnp.where(first > 0, t, high)
        new = t - first / jnp.maximum(second, 1e-30)
        return jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high)), low, high

    one = jnp.ones_like(wp)
    return lax.fori_loop(0, _LINE_STEPS, newton, (one, 0.0 * one, 4.0 * one))[0]
