"""Primal Newton-CG on the weights: for few units with many rows; needs only products, so it suits any device."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from xmc_jax.config import Loss
from xmc_jax.ops import accumulate
from xmc_jax.ranker.blocks import Blocks, BlockShape
from xmc_jax.ranker.newton import NewtonResult, Space, minimise


@partial(jax.jit, static_argnames=("shape", "loss", "max_steps"))
def solve_primal(
    blocks: Blocks, shape: BlockShape, costs, loss: Loss, tolerance, max_steps: int
) -> NewtonResult:
    """Solves all labels of the units in weight space.

    Returns:
        The vector holds "sparse" weights [U, F, K] and "dense" weights [U, H, K].
    """
    u, n, f = shape.n_units, shape.n_rows, shape.n_features
    y, cost = read_costs(blocks, costs)

    def image(v):
        sparse = accumulate(blocks.ids, blocks.values, v["sparse"].reshape(u * f, -1))
        return sparse.reshape(u, n, -1) + jnp.einsum(
            "unh,uhk->unk", blocks.dense, v["dense"], precision=jax.lax.Precision.HIGHEST
        )

    def pull(r):
        return pull_rows(blocks, shape, r)

    def dot(a, fa, b, fb):
        del fa, fb
        return sum((a[name] * b[name]).sum(axis=1) for name in ("sparse", "dense"))

    start = jax.tree.map(jnp.zeros_like, pull(y))
    return minimise(Space(image, pull, dot), start, y, cost, loss, tolerance, max_steps)


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
