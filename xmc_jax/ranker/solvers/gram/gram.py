"""Newton-CG in the space of a unit's Gram matrix: batched dense products, whatever the length of the rows.

With w = Aᵀβ features enter only through G = AAᵀ [n, n], formed once: a dense block costs one more n × H × n product and
an iteration is one [n, n] · [n, K] product. For units of up to a few thousand rows.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from xmc_jax.config import Loss
from xmc_jax.ops import accumulate, scatter_rows
from xmc_jax.ranker.solvers.gram.blocks import Blocks, BlockShape
from xmc_jax.ranker.solvers.newton import NewtonResult, Space, minimise

STRIP = 512


@partial(jax.jit, static_argnames=("shape", "loss", "max_steps"))
def solve_gram(
    blocks: Blocks, shape: BlockShape, costs, loss: Loss, tolerance, max_steps: int
) -> NewtonResult:
    """Solves all labels of the units through G; returns weights like `solve_primal`."""
    y, cost = read_costs(blocks, costs)
    gram = form_grams(blocks, shape)

    def image(v):
        return jnp.einsum("unm,umk->unk", gram, v, precision=jax.lax.Precision.HIGHEST)

    def dot(a, fa, b, fb):
        del fa
        return (a * fb).sum(axis=1)

    space = Space(image, lambda r: r, dot)
    result = minimise(space, jnp.zeros_like(y), y, cost, loss, tolerance, max_steps)
    return result._replace(vector=pull_rows(blocks, shape, result.vector))


def form_grams(blocks: Blocks, shape: BlockShape) -> jax.Array:
    """Returns AAᵀ of every unit, float32 [U, n, n], a strip of columns at a time so that no dense A is held."""
    u, n, f = shape.n_units, shape.n_rows, shape.n_features
    strip = min(STRIP, n)
    n_strips = -(-n // strip)

    def one_unit(args):
        ids, values, dense, unit = args
        local = ids - unit * f
        sparse = [
            _gram_strip(local, values, f, s * strip, min(strip, n - s * strip))
            for s in range(n_strips)
        ]
        both = jnp.concatenate(sparse, axis=1)
        return both + jnp.matmul(dense, dense.T, precision=jax.lax.Precision.HIGHEST)

    rows = blocks.ids.reshape(u, n, -1), blocks.values.reshape(u, n, -1)
    return jax.lax.map(one_unit, (*rows, blocks.dense, jnp.arange(u, dtype=jnp.int32)))


def _gram_strip(ids, values, n_features: int, first: int, size: int):
    """Inner products of all rows with rows first … first + size - 1."""
    some_ids, some_values = ids[first : first + size], values[first : first + size]
    table = scatter_rows(jnp.zeros((n_features, size)), some_ids, some_values, jnp.eye(size))
    return accumulate(ids, values, table)


def pull_rows(blocks: Blocks, shape: BlockShape, r) -> dict[str, jax.Array]:
    """Returns Aᵀr for r [U, n, K]: a gather over the transposed slots and a sorted segment sum of few pieces."""
    u, n, f = shape.n_units, shape.n_rows, shape.n_features
    pieces = accumulate(blocks.segment_rows, blocks.segment_values, r.reshape(u * n, -1))
    sparse = jax.ops.segment_sum(
        pieces, blocks.segment_feature, num_segments=u * f, indices_are_sorted=True
    )
    return {
        "sparse": sparse.reshape(u, f, -1),
        "dense": jnp.einsum("unh,unk->uhk", blocks.dense, r, precision=jax.lax.Precision.HIGHEST),
    }


def read_costs(blocks: Blocks, costs) -> tuple[jax.Array, jax.Array]:
    """Returns signs and costs, float32 [U, n, K] each; both 0 for rows that are not in the problem."""
    y = blocks.signs.astype(jnp.float32)
    positive = costs[0] if blocks.weights is None else costs[0] * blocks.weights
    return y, jnp.where(y > 0, positive, jnp.where(y < 0, costs[1], 0.0))
