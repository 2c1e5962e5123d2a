"""Beam search down the whole tree: pure, and compiled once for each shape of a batch."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from xmc_jax.matcher import (
    Beam,
    find_nodes,
    find_positions,
    keep_own,
    score_beam,
    select_beam,
    select_nodes,
    start_beam,
)
from xmc_jax.ops import sort_rows
from xmc_jax.parallel import gather_columns, take_largest
from xmc_jax.predict.index import SearchIndex
from xmc_jax.types import PAD

Merge = Literal["mean", "max"]


@partial(jax.jit, static_argnames=("beam", "top_k", "merge"))
def search(
    index: SearchIndex,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    *,
    beam: int,
    top_k: int,
    merge: Merge = "mean",
) -> tuple[Int[Array, "B R"], Float[Array, "B R"]]:
    """Returns the labels of each query, best first, and their scores.

    A row depends on its query alone (but for the last digit of a score). Of equal scores the smaller
    label comes first; where only some of them fit, those of smaller nodes are kept.

    Args:
        index: of all levels of a tree.
        ids: features in [0, D), PAD in unused slots, which stand at a row's end.
        values: 0 in unused slots.
        dense: the dense columns.
        beam: nodes kept on a level above the last.
        top_k: R; where there are fewer candidates the rest is PAD.
        merge: of a label that was found under several clusters, the mean or the largest score.
    """
    depth, level = len(index.levels) - 1, index.levels[-1]
    above = _descend(index, ids, values, dense, beam, depth)
    if level.shard is None:
        scores = _score(index, depth, ids, values, dense, above)
    else:
        scores = _score(index, depth, ids, values, dense, keep_own(level, above))
    if index.has_copies:
        if level.shard is not None:
            # Copies of a label may lie on different shards; each candidate is scored by one.
            scores = take_largest(scores)
        scores = _merge_copies(index, above, scores, merge)
    best, node = select_nodes(level, above, scores, top_k)
    if level.shard is not None and not index.has_copies:
        best, node = _select_among_shards(best, node)
    unused = node == PAD
    last = jnp.iinfo(jnp.int32).max
    label = jnp.where(unused, last, index.edge_label[jnp.maximum(node, 0)])
    negated, label = sort_rows((-best, label), n_keys=2)
    unused = label == last
    return jnp.where(unused, PAD, label), jnp.where(unused, 0.0, -negated)


@partial(jax.jit, static_argnames=("beam",))
def match(
    index: SearchIndex,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    *,
    beam: int,
) -> tuple[Int[Array, "B W"], Float[Array, "B W"]]:
    """Returns the beam on the deepest level of the index: nodes, ascending, PAD at the end, and scores."""
    found = _descend(index, ids, values, dense, beam, len(index.levels))
    return found.node, found.score


def _descend(
    index: SearchIndex,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    width: int,
    depth: int,
) -> Beam:
    """Returns the beam after `depth` levels; a beam never has more slots than there are candidates."""
    beam = start_beam(ids.shape[0])
    for t, level in enumerate(index.levels[:depth]):
        scores = _score(index, t, ids, values, dense, beam)
        slots = min(width, scores.shape[1], level.n_nodes)
        beam = select_beam(level, beam, scores, slots)
    return beam


def _score(
    index: SearchIndex,
    t: int,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    beam: Beam,
) -> Float[Array, "B M"]:
    kind = index.post_processors[t]
    return score_beam(index.levels[t], kind, ids, values, dense, beam, first=t == 0)


def _select_among_shards(
    best: Float[Array, "B k"], node: Int[Array, "B k"]
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Returns the k best of what the shards found; of equal scores the smaller node comes first."""
    k = best.shape[1]
    last = jnp.iinfo(jnp.int32).max
    every = gather_columns((-best, jnp.where(node == PAD, last, node)))
    negated, node = (x[:, :k] for x in lax.sort(every, num_keys=2))
    return -negated, jnp.where(node == last, PAD, node)


def _merge_copies(
    index: SearchIndex, beam: Beam, scores: Float[Array, "B M"], merge: Merge
) -> Float[Array, "B M"]:
    """Gives the first candidate of a label the mean (maximum) over all its candidates, the others -inf.

    For every candidate the other edges of its label are visited: an edge is a candidate if its cluster
    is in the beam. Exact, and cheaper than sorting the candidates by label.
    """
    level = index.levels[-1]
    real = scores != -jnp.inf
    position = jnp.broadcast_to(jnp.arange(scores.shape[1]), scores.shape)
    edge = jnp.where(real, find_nodes(level, beam, position), 0)
    label = index.edge_label[edge]
    first, stop = index.label_offsets[label], index.label_offsets[label + 1]

    def visit(copy, state):
        merged, count, is_first = state
        at = first + copy
        other = index.label_edges[jnp.minimum(at, stop - 1)]
        where = find_positions(level, beam, other, index.edge_cluster[other])
        score = jnp.take_along_axis(scores, jnp.maximum(where, 0), axis=1)
        found = (at < stop) & (where != PAD) & (score != -jnp.inf)
        is_first = is_first & ~(found & (other < edge))
        if merge == "max":
            merged = jnp.where(found, jnp.maximum(merged, score), merged)
        else:
            # A running mean: a sum of scores as large as floats get would overflow.
            share = 1.0 / (count + 1)
            merged = jnp.where(found, merged * (1.0 - share) + score * share, merged)
        return merged, count + found, is_first

    empty = jnp.full_like(scores, -jnp.inf if merge == "max" else 0.0)
    copies = jnp.max(jnp.where(real, stop - first, 1))
    state = (empty, jnp.zeros(scores.shape, jnp.int32), real)
    merged, _, is_first = lax.fori_loop(0, copies, visit, state)
    return jnp.where(is_first, merged, -jnp.inf)
