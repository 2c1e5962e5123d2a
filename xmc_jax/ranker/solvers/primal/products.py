"""The products of primal Newton with the sparse rows of units and their transposes, both stored as padded slots.

A product with A gathers rows of the weights, one with Aᵀ gathers instances; neither scatters. Rows and features of a
unit are stored in a few widths; a feature with very many rows is summed in pieces, and in pieces of pieces. A unit lies
in one tile, or in several of the same shape, so that large and small units can share a program with little padding.
All tiles gather from the tables of all tiles, which are stored one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xmc_jax.ops import Gathers, accumulate
from xmc_jax.types import AnyArray


class Slots(NamedTuple):
    """Sums to compute: `ids` int32 [V, M, J] of the rows to gather, 0 in unused slots, and `values` float32 [V, M, J].

    Ids number the rows of the tables of all V tiles.
    """

    ids: AnyArray
    values: AnyArray


class Tiles(NamedTuple):
    """The tiles of units: `of_unit` int32 [P, U], V in unused places, and the unit of each tile, `unit` int32 [V], U
    for none."""

    of_unit: AnyArray
    unit: AnyArray


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Products:
    """A block-diagonal matrix A, whose R rows and F columns per tile are in the order of their widths."""

    rows: tuple[Slots, ...]
    columns: tuple[Slots, ...]
    long: tuple[Slots, ...]
    """Columns with more than `PIECE` rows: sums of pieces, then sums of these; the last stage has one per column."""
    tiles: Tiles | None
    """None if every unit is one tile."""
    gathers: Gathers = field(default="unrolled", metadata={"static": True})


def join_tiles(a: Products, sums: Float[Array, "*V 1 K"]) -> Float[Array, "*V 1 K"]:
    """Returns the sums over whole units, in each of their tiles, of sums over single tiles."""
    if a.tiles is None:
        return sums
    total = sums[:, 0].at[a.tiles.of_unit].get(mode="fill", fill_value=0.0).sum(axis=0)
    return total.at[a.tiles.unit].get(mode="fill", fill_value=0.0)[:, None]


def multiply(a: Products, weights: Float[Array, "*V F K"]) -> Float[Array, "*V R K"]:
    """Returns A·weights."""
    table = weights.reshape(-1, weights.shape[-1])
    return jnp.concatenate([accumulate(*slots, table, a.gathers) for slots in a.rows], axis=-2)


def pull(
    a: Products, rows: Float[Array, "*V R K"], *, squared: bool = False
) -> Float[Array, "*V F K"]:
    """Returns Aᵀ·rows, or the same with squared values of A."""
    power = 2 if squared else 1
    table = sums = rows.reshape(-1, rows.shape[-1])
    parts = [accumulate(slots.ids, slots.values**power, table, a.gathers) for slots in a.columns]
    for stage, slots in enumerate(a.long):
        values = slots.values**power if stage == 0 else slots.values
        last = accumulate(slots.ids, values, sums, a.gathers)
        sums = last.reshape(-1, last.shape[-1])
    return jnp.concatenate([*parts, last] if a.long else parts, axis=-2)
