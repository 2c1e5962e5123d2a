"""Primal Newton-CG on the weights of one unit: for many rows, and for any device, since it needs only products.

The systems (I + AᵀDA) p = -g of a Newton step are solved by conjugate gradients, preconditioned by their diagonals
(Hsia, Chiang & Lin 2018): the constant and frequent words have diagonals of thousands, rare words of about 1.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xmc_jax.config import Loss
from xmc_jax.ranker.solvers.newton import evaluate_loss
from xmc_jax.ranker.solvers.primal.products import Products, multiply, pull
from xmc_jax.types import AnyArray

_CG_STEPS = 8
_CG_SHARE = 0.1
"""A label's system is solved until its squared residual, preconditioned, is this share of what it was."""
_LINE_STEPS = 6

Vector = dict[str, Array]
"""Weights of the sparse features [F, K], of the dense columns [H, K] and of the constant feature [1, K]."""


class Unit(NamedTuple):
    """Rows of a unit, in the order of `products`.

    Attributes:
        products: the sparse features [R, F].
        dense: float32 [R, H].
        signs: int8 [R, K]; 0 in rows that are not in a label's problem.
        weights: float32 [R, K] or None.
    """

    products: Products
    dense: AnyArray
    signs: AnyArray
    weights: AnyArray | None


class PrimalResult(NamedTuple):
    """The weights, the objective [1, K] of every label and the steps taken."""

    vector: Vector
    objective: Array
    n_steps: Array


@partial(jax.jit, static_argnames=("n_features", "loss", "max_steps"))
def solve_primal(
    unit: Unit,
    begin: Vector | None,
    n_features: int,
    costs,
    bias,
    loss: Loss,
    tolerance,
    max_steps: int,
) -> PrimalResult:
    """Solves all labels of a unit.

    Args:
        unit: rows and signs.
        begin: weights to start from; None: 0.
        n_features: F of the layout.
        costs: of positives and of negatives.
        bias: value of the constant feature; 0: none.
        loss: squared hinge or logistic.
        tolerance: ends when no label gained more than this share of its objective in a step.
        max_steps: bound on the steps.
    """
    y = unit.signs.astype(jnp.float32)
    positive = costs[0] if unit.weights is None else costs[0] * unit.weights
    cost = jnp.where(y > 0, positive, jnp.where(y < 0, costs[1], 0.0))
    k = y.shape[1]
    start: Vector = begin or {
        "sparse": jnp.zeros((n_features, k)),
        "dense": jnp.zeros((unit.dense.shape[1], k)),
        "bias": jnp.zeros((1, k)),
    }

    def step(state):
        n, w, f, objective, _ = state
        _, slope, curve = evaluate_loss(y * f, loss)
        gradient = _add(w, _pull(unit, bias, cost * slope * y))
        p = _solve_newton(unit, bias, gradient, cost * curve)
        fp = _multiply(unit, bias, p)
        t = _search_line(w, p, f, fp, y, cost, loss)
        w, f = _add(w, _scale(t, p)), f + t * fp
        value, _, _ = evaluate_loss(y * f, loss)
        after = 0.5 * _dot(w, w) + (cost * value).sum(axis=0, keepdims=True)
        return n + 1, w, f, after, objective

    def goes_on(state):
        n, _, _, after, before = state
        return (n < max_steps) & ((before - after) > tolerance * jnp.maximum(after, 1e-12)).any()

    f = jnp.zeros_like(y) if begin is None else _multiply(unit, bias, start)
    value, _, _ = evaluate_loss(y * f, loss)
    objective = 0.5 * _dot(start, start) + (cost * value).sum(axis=0, keepdims=True)
    state = jnp.int32(0), start, f, objective, jnp.full_like(objective, jnp.inf)
    n, w, _, objective, _ = lax.while_loop(goes_on, step, state)
    return PrimalResult(w, objective, n)


def _multiply(unit: Unit, bias, v: Vector) -> Float[Array, "R K"]:
    """Returns the margins f of all rows."""
    out = multiply(unit.products, v["sparse"]) + bias * v["bias"]
    if unit.dense.shape[1]:
        out = out + jnp.matmul(unit.dense, v["dense"], precision=lax.Precision.HIGHEST)
    return out


def _pull(unit: Unit, bias, rows: Float[Array, "R K"], *, squared: bool = False) -> Vector:
    """Returns the transpose's product with `rows`, or that of the squared features."""
    dense = unit.dense**2 if squared else unit.dense
    return {
        "sparse": pull(unit.products, rows, squared=squared),
        "dense": jnp.matmul(dense.T, rows, precision=lax.Precision.HIGHEST),
        "bias": (bias**2 if squared else bias) * rows.sum(axis=0, keepdims=True),
    }


def _add(a: Vector, b: Vector) -> Vector:
    return {name: a[name] + b[name] for name in a}


def _scale(s: Float[Array, "1 K"], v: Vector) -> Vector:
    return {name: s * x for name, x in v.items()}


def _dot(a: Vector, b: Vector) -> Float[Array, "1 K"]:
    parts = [(a[name] * b[name]).sum(axis=0, keepdims=True) for name in a]
    return sum(parts[1:], parts[0])


def _solve_newton(unit: Unit, bias, gradient: Vector, curve: Float[Array, "R K"]) -> Vector:
    """Returns p with (I + AᵀDA) p = -gradient, about; every label stops by itself."""
    diagonal = _pull(unit, bias, curve, squared=True)
    inverse = {name: 1.0 / (1.0 + x) for name, x in diagonal.items()}

    def precondition(r: Vector) -> Vector:
        return {name: inverse[name] * x for name, x in r.items()}

    def step(state):
        n, p, r, d, square = state
        curved = _add(d, _pull(unit, bias, curve * _multiply(unit, bias, d)))
        active = square > _CG_SHARE * first
        a = jnp.where(active, square / jnp.maximum(_dot(d, curved), 1e-30), 0.0)
        p, r = _add(p, _scale(a, d)), _add(r, _scale(-a, curved))
        z = precondition(r)
        new = jnp.where(active, _dot(r, z), square)
        b = jnp.where(active, new / jnp.maximum(square, 1e-30), 0.0)
        return n + 1, p, r, _add(z, _scale(b, d)), new

    def goes_on(state):
        return (state[0] < _CG_STEPS) & (state[-1] > _CG_SHARE * first).any()

    r = {name: -x for name, x in gradient.items()}
    z = precondition(r)
    first = _dot(r, z)
    zero = {name: jnp.zeros_like(x) for name, x in r.items()}
    return lax.while_loop(goes_on, step, (jnp.int32(0), zero, r, z, first))[1]


def _search_line(w: Vector, p: Vector, f, fp, y, cost, loss: Loss) -> Float[Array, "1 K"]:
    """Minimises over the step length t ≥ 0 by Newton in one variable, kept between the bounds found so far.

    The derivative grows with t; for the squared hinge it is piecewise linear, so few steps find its root exactly.
    """
    wp, pp = _dot(w, p), _dot(p, p)

    def newton(_, state):
        t, low, high = state
        _, slope, curve = evaluate_loss(y * (f + t * fp), loss)
        first = wp + t * pp + (cost * slope * y * fp).sum(axis=0, keepdims=True)
        second = pp + (cost * curve * fp * fp).sum(axis=0, keepdims=True)
        low, high = jnp.where(first < 0, t, low), jnp.where(first > 0, t, high)
        new = t - first / jnp.maximum(second, 1e-30)
        return jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high)), low, high

    one = jnp.ones_like(wp)
    return lax.fori_loop(0, _LINE_STEPS, newton, (one, 0.0 * one, 4.0 * one))[0]
