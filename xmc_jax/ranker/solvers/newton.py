"""Truncated Newton for all units and labels of a call, in weight space or in the space of a Gram matrix.

The problem ½‖w‖² + Σ C_i·loss(y_i f_i), f = A w, is solved by Newton steps whose systems (I + AᵀDA) p = -g are solved
by conjugate gradients (Keerthi & DeCoste 2005; Hsia et al. 2018). Only three operations know what a vector is, so the
same code runs on weights (`image` = A, `pull` = Aᵀ) and on coefficients β with w = Aᵀβ (`image` = G = AAᵀ, `pull` = I),
where a vector is carried together with its image and inner products are β·(Gβ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xmc_jax.config import Loss

Vector = Any
"""A pytree of arrays whose last axis is K."""

CG_STEPS = 12
_LINE_STEPS = 6


@dataclass(frozen=True)
class Space:
    """Where the unknowns live: `image(v) -> [U, n, K]`, `pull([U, n, K]) -> v`, `dot(a, fa, b, fb) -> [U, K]`."""

    image: Callable[[Vector], Array]
    pull: Callable[[Array], Vector]
    dot: Callable[[Vector, Array, Vector, Array], Array]


class NewtonResult(NamedTuple):
    """The unknowns, the objective [U, K] of every label and the steps taken."""

    vector: Vector
    objective: Array
    n_steps: Array


def evaluate_loss(margins: Array, loss: Loss) -> tuple[Array, Array, Array]:
    """Returns loss, first and second derivative at the margins y·f (generalised where it is not smooth)."""
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
    y: Float[Array, "U n K"],
    cost: Float[Array, "U n K"],
    loss: Loss,
    tolerance: float,
    max_steps: int,
) -> NewtonResult:
    """Minimises the problem of every (unit, label) until no step gains more than `tolerance` of the objective.

    Args:
        space: where the vectors live.
        start: zero vector.
        y: 1, -1, or 0 for rows that are not in the problem.
        cost: C_i, 0 where y is 0.
    """

    def measure(square, f):
        value, _, _ = evaluate_loss(y * f, loss)
        return 0.5 * square + (cost * value).sum(axis=1)

    def step(state):
        k, w, f, objective, _ = state
        _, slope, curve = evaluate_loss(y * f, loss)
        pulled = space.pull(cost * slope * y)
        gradient = jax.tree.map(jnp.add, w, pulled)
        image = space.image(gradient)
        p, fp = _solve_newton(space, gradient, image, cost * curve)
        t = _search_line(space, w, f, p, fp, y, cost, loss)
        w = jax.tree.map(lambda a, b: a + _spread(t, b) * b, w, p)
        f = f + t[:, None, :] * fp
        after = measure(space.dot(w, f, w, f), f)
        return k + 1, w, f, after, objective

    def goes_on(state):
        k, _, _, after, before = state
        gained = (before - after) > tolerance * jnp.maximum(after, 1e-12)
        return (k < max_steps) & ((k == 0) | gained.any())

    f = jnp.zeros_like(y)
    objective = measure(0.0, f)
    k, w, _, objective, _ = jax.lax.while_loop(
        goes_on, step, (jnp.int32(0), start, f, objective, objective)
    )
    return NewtonResult(w, objective, k)


def _spread(scalar: Float[Array, "U K"], like: Array) -> Array:
    """Shapes [U, K] to multiply an array [U, ..., K]."""
    return scalar.reshape(scalar.shape[0], *(1,) * (like.ndim - 2), scalar.shape[1])


def _solve_newton(space: Space, gradient, image, curve):
    """Conjugate gradients for (I + AᵀDA) p = -gradient; every label stops by itself when its residual is small."""

    def scale(s, v):
        return jax.tree.map(lambda a: _spread(s, a) * a, v)

    add = lambda a, b: jax.tree.map(jnp.add, a, b)  # noqa: E731

    def step(state):
        k, p, fp, r, fr, d, fd, square, first = state
        pulled = space.pull(curve * fd)
        curved, fcurved = add(d, pulled), fd + space.image(pulled)
        along = space.dot(d, fd, d, fd) + (curve * fd * fd).sum(axis=1)
        active = square > 1e-2 * first
        a = jnp.where(active, square / jnp.maximum(along, 1e-30), 0.0)
        p, fp = add(p, scale(a, d)), fp + a[:, None, :] * fd
        r, fr = add(r, scale(-a, curved)), fr - a[:, None, :] * fcurved
        new = jnp.where(active, jnp.maximum(space.dot(r, fr, r, fr), 0.0), square)
        b = jnp.where(active, new / jnp.maximum(square, 1e-30), 0.0)
        d, fd = add(r, scale(b, d)), fr + b[:, None, :] * fd
        return k + 1, p, fp, r, fr, d, fd, new, first

    def goes_on(state):
        k, square, first = state[0], state[-2], state[-1]
        return (k < CG_STEPS) & (square > 1e-2 * first).any()

    r = jax.tree.map(jnp.negative, gradient)
    fr = -image
    square = jnp.maximum(space.dot(r, fr, r, fr), 0.0)
    zero = jax.tree.map(jnp.zeros_like, r)
    state = (jnp.int32(0), zero, jnp.zeros_like(fr), r, fr, r, fr, square, square)
    state = jax.lax.while_loop(goes_on, step, state)
    return state[1], state[2]


def _search_line(space: Space, w, f, p, fp, y, cost, loss: Loss) -> Float[Array, "U K"]:
    """Minimises over the step length t ≥ 0 by Newton in one variable, kept between the bounds found so far.

    The derivative grows with t; for the squared hinge it is piecewise linear, so few steps find its root exactly.
    """
    wp, pp = space.dot(w, f, p, fp), space.dot(p, fp, p, fp)

    def newton(_, state):
        t, low, high = state
        _, slope, curve = evaluate_loss(y * (f + t[:, None, :] * fp), loss)
        first = wp + t * pp + (cost * slope * y * fp).sum(axis=1)
        second = pp + (cost * curve * fp * fp).sum(axis=1)
        low, high = jnp.where(first < 0, t, low), jnp.where(first > 0, t, high)
        new = t - first / jnp.maximum(second, 1e-30)
        return jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high)), low, high

    one = jnp.ones_like(wp)
    return jax.lax.fori_loop(0, _LINE_STEPS, newton, (one, 0.0 * one, 4.0 * one))[0]
