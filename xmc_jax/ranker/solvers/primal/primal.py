"""Primal Newton-CG on the weights of units, for many rows and for any device, since it needs only products.

Conjugate gradients are preconditioned by the diagonals of the systems (Hsia, Chiang & Lin 2018): the constant and
frequent words have diagonals of thousands, rare words of about 1.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xmc_jax.config import Loss
from xmc_jax.ranker.solvers.newton import NewtonResult, Space, minimise, read_costs
from xmc_jax.ranker.solvers.primal.products import Products, join_tiles, multiply, pull
from xmc_jax.types import AnyArray

_CG_STEPS, _CG_SHARE = 8, 0.1

Vector = dict[str, Array]
"""Weights of the sparse features [V, F, K], of the dense columns [V, H, K] and of the constant feature [V, 1, K], which
every tile of a unit holds."""


class Rows(NamedTuple):
    """Rows of some units in V tiles, in the order of `products`; for a single tile, axis V may be missing everywhere.

    Where units have several tiles, there are no dense columns.

    With the axis, XLA's programs for a CPU are slower (34 instead of 21 seconds for one level).

    Attributes:
        products: the sparse features, [V, R, F].
        dense: float32 [V, R, H].
        signs: int8 [V, R, K]; 0 in rows that are not in a label's problem.
        weights: float32 [V, R, K] or None.
    """

    products: Products
    dense: AnyArray
    signs: AnyArray
    weights: AnyArray | None


@partial(jax.jit, static_argnames=("n_features", "loss", "max_steps", "together"))
def solve_primal(
    rows: Rows,
    begin: Vector | None,
    n_features: int,
    costs,
    bias,
    loss: Loss,
    tolerance,
    max_steps: int,
    together: bool = False,
) -> NewtonResult:
    """Solves all labels of some units, side by side.

    Args:
        rows: the rows with their signs.
        begin: weights to start from; None for 0.
        n_features: F of the layout.
        costs: costs of positives and of negatives.
        bias: value of the constant feature; 0 for none.
        loss: squared hinge or logistic.
        tolerance: stops when no label gains more than this share of its objective in a step.
        max_steps: largest number of steps.
        together: whether to stop when all labels together gain less than that.
    """
    y, cost = read_costs(rows.signs, rows.weights, costs)
    (*u, _, k), h = y.shape, rows.dense.shape[-1]
    start: Vector = begin or {
        "sparse": jnp.zeros((*u, n_features, k)),
        "dense": jnp.zeros((*u, h, k)),
        "bias": jnp.zeros((*u, 1, k)),
    }

    def precondition(curve):
        diagonal = _pull(rows, bias, curve, squared=True)
        inverse = {name: 1.0 / (1.0 + x) for name, x in diagonal.items()}
        return lambda r: {name: inverse[name] * x for name, x in r.items()}

    space = Space(
        image=partial(_multiply, rows, bias),
        pull=partial(_pull, rows, bias),
        dot=partial(_dot, rows),
        precondition=precondition,
        measure=lambda d, curved, curve: _dot(rows, d, curved),
        cg_steps=_CG_STEPS,
        cg_share=_CG_SHARE,
        total=partial(join_tiles, rows.products),
    )
    margins = jnp.zeros_like(y) if begin is None else space.image(start)
    return minimise(space, start, margins, y, cost, loss, tolerance, max_steps, together=together)


def _multiply(rows: Rows, bias, v: Vector) -> Float[Array, "*V R K"]:
    """Returns the margins f of all rows."""
    out = multiply(rows.products, v["sparse"]) + bias * v["bias"]
    if rows.dense.shape[-1]:
        out = out + jnp.matmul(rows.dense, v["dense"], precision=lax.Precision.HIGHEST)
    return out


def _pull(rows: Rows, bias, x: Float[Array, "*V R K"], *, squared: bool = False) -> Vector:
    """Returns the product of the transpose with `x`, or that of the squared features."""
    dense = rows.dense**2 if squared else rows.dense
    return {
        "sparse": pull(rows.products, x, squared=squared),
        "dense": jnp.matmul(dense.swapaxes(-1, -2), x, precision=lax.Precision.HIGHEST),
        "bias": (bias**2 if squared else bias)
        * join_tiles(rows.products, x.sum(axis=-2, keepdims=True)),
    }


def _dot(rows: Rows, a: Vector, b: Vector) -> Float[Array, "*V 1 K"]:
    bias, dense, sparse = (
        (a[name] * b[name]).sum(axis=-2, keepdims=True) for name in ("bias", "dense", "sparse")
    )
    return bias + dense + join_tiles(rows.products, sparse)
