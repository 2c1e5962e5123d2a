"""The index of a model that is not trained yet: only shapes, laid out as search would lay them out on a target."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import jax
import jax.numpy as jnp

from xmc_jax.matcher import SearchLevel, choose_layout
from xmc_jax.matcher.level import SLOTS, count_words, fill_lanes
from xmc_jax.ops import BITS, RowTable
from xmc_jax.parallel import Target
from xmc_jax.plan.counts import Counts
from xmc_jax.plan.levels import LevelShape
from xmc_jax.predict import SearchIndex

_STORED_WORDS = 0.8
"""Stored words of 32 features per stored row; neighbouring rows share some."""


def shape_index(
    shapes: Sequence[LevelShape], counts: Counts, target: Target, n_shards: int = 1
) -> SearchIndex:
    """Returns an index of arrays without content.

    Args:
        shapes: the shapes of the levels.
        counts: the counts of the training set.
        target: where it will be searched.
        n_shards: the number of devices that share the last level; the index is that of one of them.
    """
    last = len(shapes) - 1
    levels = [
        shape_level(shape, counts.n_features, target, n_shards if shape.level == last else 1)
        for shape in shapes
    ]
    n = counts.n_labels
    edges = _ints(shapes[-1].size)
    kinds = ("l3-hinge",) * len(levels)
    return SearchIndex(
        tuple(levels), edges, edges, (), kinds, n, len(levels), False, counts.n_features, 0
    )


def shape_level(
    shape: LevelShape, n_features: int, target: Target, n_shards: int = 1
) -> SearchLevel:
    """Returns a level of arrays without content; a shard has a part of the level's rows and weights."""
    widest, n_rows = shape.max_children, max(1, round(shape.parents * shape.features / n_shards))
    n_entries = max(1, round(shape.weights / n_shards))
    layout = choose_layout(shape.size, n_features, widest, n_rows, target)
    stored: dict = {}
    if layout == "table":
        stored = {"table": _floats(n_features + 1, shape.size), "cluster": _ints(shape.size)}
    else:
        words = -(-max(n_features, 1) // BITS**2) * BITS
        summary = _ints(-(-shape.parents // n_shards), 2 * words // BITS)
        stored["rows"] = RowTable(summary, _ints(2 * round(_STORED_WORDS * n_rows)))
    if layout == "rows":
        stored["row_weights"] = _floats(n_rows + 1, fill_lanes(widest))
    if layout == "bitmaps":
        stored["child_words"] = _ints(2 * (n_rows + 1) * count_words(widest))
        stored["weights"] = _floats(n_entries + 1)
    if layout == "slots":
        parts = n_rows + n_entries // SLOTS
        stored |= {"slots": _ints(parts, 2 * SLOTS), "first_parts": _ints(n_rows + 1)}
    empty = dict.fromkeys(
        ("table", "cluster", "rows", "child_words", "weights", "slots", "first_parts")
    )
    return SearchLevel(
        child_offsets=_ints(shape.parents + 1),
        bias=_floats(shape.size + widest),
        dense=_floats(shape.size + widest, 0),
        max_children=widest,
        **(empty | stored),
    )


def weigh_index(index: SearchIndex, target: Target) -> int:
    """Returns the bytes of an index on a device; a TPU pads rows to 128 columns."""
    lanes = 128 if target.platform == "tpu" else 1

    def weigh(x: jax.ShapeDtypeStruct) -> int:
        wide = len(x.shape) == 2 and x.shape[1] > 1
        columns = -(-x.shape[1] // lanes) * lanes if wide else prod(x.shape[1:])
        return x.shape[0] * columns * x.dtype.itemsize

    return sum(map(weigh, jax.tree.leaves(index)))


def _ints(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
