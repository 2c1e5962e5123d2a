"""The beam of one level: which nodes are looked below, and the candidates that gives."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from xmc_jax.config import PostProcessor
from xmc_jax.matcher.level import SearchLevel
from xmc_jax.matcher.post_processor import combine_scores, transform_margin
from xmc_jax.matcher.score import score_children
from xmc_jax.ops import select_top
from xmc_jax.types import PAD


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Beam:
    """The best nodes of a level for each query, ascending by node; unused slots at a row's end."""

    node: Array
    """int32 [B, W], PAD in unused slots."""
    score: Array
    """float32 [B, W], -inf in unused slots."""


def start_beam(n_queries: int) -> Beam:
    """Returns the beam that holds the root."""
    return Beam(jnp.zeros((n_queries, 1), jnp.int32), jnp.zeros((n_queries, 1), jnp.float32))


def score_beam(
    level: SearchLevel,
    kind: PostProcessor,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    beam: Beam,
    *,
    first: bool,
) -> Float[Array, "B W K"]:
    """Returns the scores of all children of the beam, finite for candidates and -inf for the rest.

    Args:
        level: the level below the beam.
        first: the beam holds the root, whose score does not count.
    """
    n_queries, width = beam.node.shape
    row = jnp.repeat(jnp.arange(n_queries), width)
    margins = score_children(level, ids, values, dense, row, beam.node.reshape(-1))
    margins = margins.reshape(n_queries, width, level.max_children)
    scores = transform_margin(margins, kind)
    if not first:
        scores = combine_scores(scores, beam.score[..., None], kind)
    # A poor candidate stays one: -inf says that there is none.
    big = jnp.finfo(scores.dtype).max
    return jnp.where(margins == -jnp.inf, -jnp.inf, jnp.clip(scores, -big, big))


def select_beam(level: SearchLevel, beam: Beam, scores: Float[Array, "B W K"], width: int) -> Beam:
    """Returns the `width` best candidates; of equal scores the smaller node id."""
    best, node = select_nodes(level, beam, scores, width)
    last = jnp.iinfo(node.dtype).max
    node, best = lax.sort((jnp.where(node == PAD, last, node), best), num_keys=1)
    return Beam(jnp.where(node == last, PAD, node), best)


def select_nodes(
    level: SearchLevel, beam: Beam, scores: Float[Array, "B W K"], k: int
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Returns the k best candidates by score; of equal scores the smaller node id comes first.

    Where there are fewer, the rest has score -inf and node PAD.
    """
    n_children = scores.shape[-1]
    best, position = select_top(scores.reshape(scores.shape[0], -1), k)
    parent = jnp.take_along_axis(beam.node, position // n_children, axis=1)
    node = level.child_offsets[jnp.maximum(parent, 0)] + position % n_children
    return best, jnp.where(best == -jnp.inf, PAD, node)
