"""A level cut by clusters, for models that one device cannot hold; every shard scores its own clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax.matcher.beam import Beam
from xmc_jax.matcher.level import Layout, SearchLevel, lay_out_level, pad_bias
from xmc_jax.model import LevelWeights, balance_clusters, cut_clusters
from xmc_jax.types import PAD

_WHOLE = ("child_offsets", "bias")
"""Arrays that every shard has for all clusters: they are small, and nodes keep their numbers."""


def shard_level(
    stored: dict[str, Any],
    n_shards: int,
    layout: Layout,
    *,
    widest: int | None = None,
    first: tuple[int, int] = (0, 0),
    agree: Callable[[int], int] = int,
) -> SearchLevel:
    """Cuts a level into shards of about equal size, in arrays on the host.

    Args:
        stored: the arguments of `build_level`.
        n_shards: number of shards, each of consecutive clusters; some may be empty.
        layout: a layout with rows; a level stored as a table is whole on every device.
        widest: K, if other processes have wider clusters of the level.
        first: numbers of the first cluster and node, if other processes have those before.
        agree: returns the largest of the lengths that the processes pass.

    Returns:
        A level whose arrays, except `child_offsets` and `bias`, hold those of all shards one after the other, padded to
        the
        longest: cut into `n_shards` along the first axis, they are those of the shards, without a copy.
    """
    if widest is None:
        widest = int(np.diff(stored["child_offsets"]).max(initial=0))
    entries = np.diff(stored["entry_offsets"][stored["row_offsets"]])
    bounds = balance_clusters(entries, n_shards)
    parts = [
        _cut_level(stored, int(start), int(stop), widest, layout, first)
        for start, stop in pairwise(bounds)
    ]
    none: dict[str, Any] = dict.fromkeys(_WHOLE)
    cut = jax.tree.map(
        partial(_join, agree), *(dataclasses.replace(part, **none) for part in parts)
    )
    return dataclasses.replace(
        cut,
        child_offsets=np.asarray(stored["child_offsets"], np.int32),
        bias=pad_bias(stored["bias"], widest),
    )


def spread_level(level: SearchLevel, cut: Any, whole: Any) -> SearchLevel:
    """Returns the level with `cut` in place of the arrays that `shard_level` cuts, and `whole` in place of the
    others."""
    marked = jax.tree.map(lambda _: cut, level)
    return dataclasses.replace(marked, **{name: whole for name in _WHOLE})


def keep_own(level: SearchLevel, beam: Beam) -> Beam:
    """Returns the beam with PAD in place of nodes whose clusters are in other shards."""
    assert level.shard is not None
    first, stop = level.shard[0], level.shard[1]
    own = (beam.node >= first) & (beam.node < stop)
    return Beam(jnp.where(own, beam.node, PAD), jnp.where(own, beam.score, -jnp.inf))


def _cut_level(
    stored: dict[str, Any],
    start: int,
    stop: int,
    widest: int,
    layout: Layout,
    first: tuple[int, int],
) -> SearchLevel:
    """Returns the level of the clusters [start, stop)."""
    weights = LevelWeights(**{name: a for name, a in stored.items() if name != "n_sparse"})
    own = cut_clusters(weights, start, stop)
    part = lay_out_level(
        **{f.name: getattr(own, f.name) for f in dataclasses.fields(own)},
        n_sparse=stored["n_sparse"],
        layout=layout,
        max_children=widest,
    )
    cluster, node = first
    shard = np.array(
        [cluster + start, cluster + stop, node + weights.child_offsets[start]], np.int32
    )
    return dataclasses.replace(part, shard=shard)


def _join(agree: Callable[[int], int], *parts: np.ndarray) -> np.ndarray:
    """Joins arrays of different lengths; their padding is never read, or stands for a row without weights."""
    most = agree(max(len(p) for p in parts))
    out = np.zeros((len(parts) * most, *parts[0].shape[1:]), parts[0].dtype)
    for number, part in enumerate(parts):
        out[number * most : number * most + len(part)] = part
    return out
