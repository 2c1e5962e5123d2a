"""Newton-CG in the space of a unit's Gram matrix: batched dense products, whatever the length of the rows.

With w = Aᵀβ, features enter only through G = AAᵀ [n, n], formed once: a dense block costs one more n × H × n product,
and an iteration is one [n, n] · [n, K] product. It suits units of up to a few thousand rows.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from xmc_jax.config import Loss
from xmc_jax.ops import accumulate, scatter_rows
from xmc_jax.ranker.solvers.gram.blocks import Blocks, BlockShape
from xmc_jax.ranker.solvers.newton import NewtonResult, Space, minimise, read_costs

STRIP = 512
_CG_STEPS, _CG_SHARE = 12, 1e-2


@partial(jax.jit, static_argnames=("shape", "loss", "max_steps"))
def solve_gram(
    blocks: Blocks, shape: BlockShape, costs, loss: Loss, tolerance, max_steps: int
) -> NewtonResult:
    """Solves all labels of the units through G; the weights returned are as those of `solve_primal`."""
    y, cost = read_costs(blocks.signs, blocks.weights, costs)
    gram = form_grams(blocks, shape)

    def pull(rows):
        image = jnp.einsum("unm,umk->unk", gram, rows, precision=jax.lax.Precision.HIGHEST)
        return {"beta": rows, "image": image}

    def dot(a, b):
        return (a["beta"] * b["image"]).sum(axis=1, keepdims=True)

    def measure(d, _, curve):
        # Not β · G(...): an image that is carried along drifts from Gβ, so that the product may become 0 or less.
        return dot(d, d) + (curve * d["image"] ** 2).sum(axis=1, keepdims=True)

    # A vector is carried with its image, so that a step of conjugate gradients takes a single product.
    space = Space(
        image=lambda v: v["image"],
        pull=pull,
        dot=dot,
        precondition=lambda curve: lambda r: r,
        measure=measure,
        cg_steps=_CG_STEPS,
        cg_share=_CG_SHARE,
    )
    zero = jnp.zeros_like(y)
    start = {"beta": zero, "image": zero}
    result = minimise(space, start, zero, y, cost, loss, tolerance, max_steps)
    return result._replace(vector=pull_rows(blocks, shape, result.vector["beta"]))


def form_grams(blocks: Blocks, shape: BlockShape) -> jax.Array:
    """Returns AAᵀ of every unit, float32 [U, n, n], computed a strip of columns at a time so that A is never dense."""
    u, n, f = shape.n_units, shape.n_rows, shape.n_features

    def one_unit(args):
        ids, values, dense, unit = args
        local = ids - unit * f
        form = _form_written if shape.gathers == "unrolled" else _form_looped
        sparse = form(local, values, shape)
        return sparse + jnp.matmul(dense, dense.T, precision=jax.lax.Precision.HIGHEST)

    rows = blocks.ids.reshape(u, n, -1), blocks.values.reshape(u, n, -1)
    return jax.lax.map(one_unit, (*rows, blocks.dense, jnp.arange(u, dtype=jnp.int32)))


def _form_written(ids, values, shape: BlockShape):
    """Forms strips in one expression, the last one shorter."""
    n, strip = shape.n_rows, min(STRIP, shape.n_rows)
    strips = [_gram_strip(ids, values, shape, s, min(strip, n - s)) for s in range(0, n, strip)]
    return jnp.concatenate(strips, axis=1)


def _form_looped(ids, values, shape: BlockShape):
    """Forms strips of equal size in a loop, which is compiled once."""
    n = shape.n_rows
    strip = next(size for size in range(min(STRIP, n), 0, -1) if n % size == 0)

    def add_strip(s, gram):
        columns = _gram_strip(ids, values, shape, s * strip, strip)
        return jax.lax.dynamic_update_slice_in_dim(gram, columns, s * strip, axis=1)

    return jax.lax.fori_loop(0, n // strip, add_strip, jnp.zeros((n, n)))


def _gram_strip(ids, values, shape: BlockShape, first, size: int):
    """Returns the inner products of all rows with rows first … first + size - 1."""
    some_ids, some_values = (jax.lax.dynamic_slice_in_dim(x, first, size) for x in (ids, values))
    empty = jnp.zeros((shape.n_features, size))
    table = scatter_rows(empty, some_ids, some_values, jnp.eye(size))
    return accumulate(ids, values, table, shape.gathers)


def pull_rows(blocks: Blocks, shape: BlockShape, r) -> dict[str, jax.Array]:
    """Returns Aᵀr for r [U, n, K], by a gather over the transposed slots and a sorted segment sum of a few pieces."""
    u, n, f = shape.n_units, shape.n_rows, shape.n_features
    pieces = accumulate(
        blocks.segment_rows, blocks.segment_values, r.reshape(u * n, -1), shape.gathers
    )
    sparse = jax.ops.segment_sum(
        pieces, blocks.segment_feature, num_segments=u * f, indices_are_sorted=True
    )
    return {
        "sparse": sparse.reshape(u, f, -1),
        "dense": jnp.einsum("unh,unk->uhk", blocks.dense, r, precision=jax.lax.Precision.HIGHEST),
    }
