"""The beam of one level: the nodes to search below, and the candidates below them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xmc_jax.config import PostProcessorName
from xmc_jax.matcher.level import SearchLevel
from xmc_jax.matcher.score import score_all, score_children
from xmc_jax.ops import select_top, sort_rows
from xmc_jax.scores import POST_PROCESSORS
from xmc_jax.types import PAD


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Beam:
    """The best nodes of a level for each query, ascending by node, with unused slots at the end of a row."""

    node: Array
    """int32 [B, W], PAD in unused slots."""
    score: Array
    """float32 [B, W], -inf in unused slots."""


def start_beam(n_queries: int) -> Beam:
    """Returns the beam that holds the root.

    >>> start_beam(2).node.tolist()
    [[0], [0]]
    """
    return Beam(jnp.zeros((n_queries, 1), jnp.int32), jnp.zeros((n_queries, 1), jnp.float32))


def score_beam(
    level: SearchLevel,
    kind: PostProcessorName,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    beam: Beam,
    *,
    first: bool,
) -> Float[Array, "B M"]:
    """Returns the scores of the candidates: finite for children of the beam and -inf for the rest.

    In a level that is stored as a table, all nodes are candidates, M = nodes; otherwise they are the children of the
    beam, M = W · K. In both cases they are in the order of their node ids.

    Args:
        level: the level below the beam.
        kind: the name of its post-processor.
        ids, values, dense: the queries, as in `score_children`.
        beam: nodes of the level above.
        first: whether the beam holds the root, whose score does not count.
    """
    n_queries, width = beam.node.shape
    if level.table is not None:
        margins = score_all(level, ids, values, dense)[:, :, None]
        above = _spread(beam, level.n_clusters)[:, level.cluster, None]
    else:
        row = jnp.repeat(jnp.arange(n_queries), width)
        margins = score_children(level, ids, values, dense, row, beam.node.reshape(-1))
        margins = margins.reshape(n_queries, width, level.max_children)
        above = beam.score[..., None]
    post_processor = POST_PROCESSORS[kind]
    scores = post_processor.transform(margins)
    if not first:
        scores = post_processor.combine(scores, above)
    # A poor candidate stays finite, since -inf means that there is no candidate.
    big = jnp.finfo(scores.dtype).max
    none = (margins == -jnp.inf) | (above == -jnp.inf)
    return jnp.where(none, -jnp.inf, jnp.clip(scores, -big, big)).reshape(n_queries, -1)


def select_beam(level: SearchLevel, beam: Beam, scores: Float[Array, "B M"], width: int) -> Beam:
    """Returns the beam of the `width` best candidates; among equal scores, the smaller node id."""
    return sort_beam(*select_nodes(level, beam, scores, width))


def sort_beam(best: Float[Array, "B W"], node: Int[Array, "B W"]) -> Beam:
    """Returns the beam of these scores and nodes, sorted by node with PAD last."""
    last = jnp.iinfo(node.dtype).max
    node, best = sort_rows((jnp.where(node == PAD, last, node), best))
    return Beam(jnp.where(node == last, PAD, node), best)


def select_nodes(
    level: SearchLevel, beam: Beam, scores: Float[Array, "B M"], k: int
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Returns the k best candidates by score; of equal scores the smaller node id comes first.

    Where there are fewer, the rest has score -inf and node PAD.
    """
    best, position = select_top(scores, k)
    node = find_nodes(level, beam, position)
    return best, jnp.where(best == -jnp.inf, PAD, node)


def find_nodes(level: SearchLevel, beam: Beam, position: Int[Array, "B S"]) -> Int[Array, "B S"]:
    """Returns the nodes of candidates by position; a candidate with score -inf may have any node."""
    if level.table is not None:
        return position
    parent = jnp.take_along_axis(beam.node, position // level.max_children, axis=1)
    return level.child_offsets[jnp.maximum(parent, 0)] + position % level.max_children


def find_positions(
    level: SearchLevel, beam: Beam, node: Int[Array, "B S"], cluster: Int[Array, "B S"]
) -> Int[Array, "B S"]:
    """Returns the positions of nodes among the candidates, or PAD if the beam lacks their cluster.

    In a level stored as a table, all nodes are candidates, those outside the beam with score -inf.
    """
    if level.table is not None:
        return node
    # The beam is ascending except for PAD at its end.
    held = jnp.where(beam.node == PAD, jnp.iinfo(jnp.int32).max, beam.node)
    slot = jax.vmap(partial(jnp.searchsorted, method="scan_unrolled"))(held, cluster)
    slot = jnp.minimum(slot, held.shape[1] - 1)
    position = slot * level.max_children + node - level.child_offsets[cluster]
    return jnp.where(jnp.take_along_axis(held, slot, axis=1) == cluster, position, PAD)


def _spread(beam: Beam, n_clusters: int) -> Float[Array, "B C"]:
    """Returns the score of each cluster, -inf if it is not in the beam."""
    at = jnp.where(beam.node == PAD, n_clusters, beam.node)
    row = jnp.arange(at.shape[0])[:, None]
    every = jnp.full((at.shape[0], n_clusters + 1), -jnp.inf)
    return every.at[row, at].set(beam.score, mode="promise_in_bounds")[:, :-1]
