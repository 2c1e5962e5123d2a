"""Beam search down the whole tree: a pure function, compiled once per shape of a batch."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.config import MergeName
from xmc_jax.matcher import (
    Beam,
    find_positions,
    keep_own,
    score_beam,
    select_beam,
    select_nodes,
    sort_beam,
    start_beam,
)
from xmc_jax.ops import sort_rows
from xmc_jax.parallel import gather_columns, take_largest
from xmc_jax.predict.index import SearchIndex
from xmc_jax.scores import MERGES
from xmc_jax.types import PAD

_SHORTLIST = 32


@partial(jax.jit, static_argnames=("beam", "top_k", "merge"))
def search(
    index: SearchIndex,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    wanted: Int[Array, ""] | np.ndarray | int,
    *,
    beam: int,
    top_k: int,
    merge: MergeName = "mean",
) -> tuple[Int[Array, "B R"], Float[Array, "B R"]]:
    """Returns the labels of each query, best first, and their scores.

    A row depends only on its query (except for the last digit of a score). Among equal scores, the smaller label comes
    first; if only some of them fit, those with smaller nodes are kept. If labels have several copies, the ranked labels
    are those that own the best 2 r copies of r wanted (at least 32, or P r if that is more), each with the merged score
    of all its copies in the beam.

    Args:
        index: all levels of a tree.
        ids: features in [0, D), PAD in unused slots, which are at the end of a row.
        values: 0 in unused slots.
        dense: the dense columns.
        beam: number of nodes kept on each level above the last.
        wanted: number of results r per query, at most R; it does not change the program.
        top_k: R; if there are fewer candidates, or fewer are wanted, the rest is PAD.
        merge: how the scores of a label found under several clusters become one, a name in `MERGES`.
    """
    depth, level = len(index.levels) - 1, index.levels[-1]
    above = _descend(index, ids, values, dense, beam, depth)
    if level.shard is None:
        scores = _score(index, depth, ids, values, dense, above)
    else:
        scores = _score(index, depth, ids, values, dense, keep_own(level, above))
    n_listed, listed = top_k, wanted
    if index.has_copies:
        each = max(2, len(index.siblings) + 1)
        n_listed, listed = max(_SHORTLIST, top_k * each), jnp.maximum(_SHORTLIST, wanted * each)
        if level.shard is not None:
            # Copies of a label may be on different shards; each candidate is scored by one.
            scores = take_largest(scores)
    best, node = select_nodes(level, above, scores, min(n_listed, scores.shape[1]))
    if level.shard is not None and not index.has_copies:
        best, node = _select_among_shards(best, node)
    is_listed = jnp.arange(node.shape[1])[None] < listed
    best, node = jnp.where(is_listed, best, -jnp.inf), jnp.where(is_listed, node, PAD)
    last = jnp.iinfo(jnp.int32).max

    def name_labels(best, node):
        unused = node == PAD
        if index.has_copies:
            best, unused = _merge_copies(index, above, scores, best, node, merge)
        label = jnp.where(unused, last, index.edge_label[jnp.maximum(node, 0)])
        return jnp.where(unused, jnp.inf, -best), label

    if index.has_copies:
        # The result of a conditional is an array; otherwise XLA would merge again at every comparison of the sort.
        nothing = (-best, jnp.full_like(node, last))
        named = lax.cond(jnp.any(node != PAD), name_labels, lambda *_: nothing, best, node)
    else:
        named = name_labels(best, node)
    negated, label = (x[:, :top_k] for x in sort_rows(named, n_keys=2))
    unused = (label == last) | (jnp.arange(label.shape[1])[None] >= wanted)
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
    """Returns the beam on the deepest level of the index: nodes, ascending with PAD at the end, and scores."""
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
        mine = beam if level.shard is None else keep_own(level, beam)
        scores = _score(index, t, ids, values, dense, mine)
        slots = min(width, scores.shape[1], level.n_nodes)
        if level.shard is None:
            beam = select_beam(level, beam, scores, slots)
        else:
            best, node = select_nodes(level, beam, scores, slots)
            beam = sort_beam(*_select_among_shards(best, node))
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
    """Returns the k best candidates of all shards; among equal scores, the smaller node comes first."""
    k = best.shape[1]
    last = jnp.iinfo(jnp.int32).max
    every = gather_columns((-best, jnp.where(node == PAD, last, node)))
    negated, node = (x[:, :k] for x in lax.sort(every, num_keys=2))
    return -negated, jnp.where(node == last, PAD, node)


def _merge_copies(
    index: SearchIndex,
    beam: Beam,
    scores: Float[Array, "B M"],
    best: Float[Array, "B S"],
    node: Int[Array, "B S"],
    merge: MergeName,
) -> tuple[Float[Array, "B S"], Bool[Array, "B S"]]:
    """Gives the best copy of each label on a list the merged score of all its copies in the beam.

    Args:
        index, beam: the levels, and the beam above the last.
        scores: scores of all candidates.
        best, node: the list; it includes every copy of a label that is better than another copy on it.
        merge: a name in `MERGES`.

    Returns:
        The merged scores, and whether each place of the list holds a lesser copy of a label, or nothing.
    """
    level, edge = index.levels[-1], jnp.maximum(node, 0)
    merged, count, unused = best, jnp.ones(best.shape, jnp.int32), node == PAD
    for siblings in index.siblings:
        other = siblings[edge]
        there = jnp.maximum(other, 0)
        where = find_positions(level, beam, there, index.edge_cluster[there])
        score = jnp.take_along_axis(scores, jnp.maximum(where, 0), axis=1)
        found = (other != PAD) & (where != PAD) & (score != -jnp.inf)
        unused = unused | (found & ((score > best) | ((score == best) & (other < edge))))
        new = MERGES[merge].join(jnp, merged, score, count)
        merged, count = jnp.where(found, new, merged), count + found
    return merged, unused
