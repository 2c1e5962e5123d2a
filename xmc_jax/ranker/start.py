"""Starts the solution of a level at the weights of the same nodes before labels moved.

The optimum does not depend on the start, but the number of steps does.
"""

from __future__ import annotations

import numpy as np

from xmc_jax.model import LevelWeights
from xmc_jax.ops import concatenate_ranges
from xmc_jax.ranker.problem import Chunk, LevelProblem, Penalty, Units


def lay_start(
    start: LevelWeights, problem: LevelProblem, chunk: Chunk, n_columns: int, penalty: Penalty
) -> np.ndarray:
    """Returns a level's sparse weights by the local features of a chunk, float32 [F + U, K], constant features last.

    Args:
        start: weights over the nodes of the level.
        problem: the level.
        chunk: some of its units.
        n_columns: K, at least the number of children of any unit.
        penalty: its `bias` is the value of the constant feature.
    """
    units, f = chunk.units, chunk.n_features
    width = problem.features.n_sparse
    out = np.zeros((f + len(units), n_columns), np.float32)
    first_row = start.row_offsets[units.cluster].astype(np.int64)
    n_rows = np.diff(start.row_offsets)[units.cluster]
    rows = concatenate_ranges(first_row, n_rows)
    unit = np.repeat(np.arange(len(units)), n_rows)
    local = chunk.feature_unit * width + chunk.feature_id
    key = unit * width + start.row_feature[rows]
    at = np.minimum(np.searchsorted(local, key), max(f - 1, 0))
    found = local[at] == key if f else np.zeros(len(key), bool)
    rows, unit, at = rows[found], unit[found], at[found]
    n_entries = np.diff(start.entry_offsets)[rows]
    entry = concatenate_ranges(start.entry_offsets[rows], n_entries)
    unit, at = np.repeat(unit, n_entries), np.repeat(at, n_entries)
    base = units.first_child - problem.child_offsets[units.cluster]
    child = start.entry_child[entry].astype(np.int64) - base[unit]
    own = (child >= 0) & (child < units.n_children[unit])
    out[at[own], child[own]] = start.entry_value[entry[own]]
    is_child = np.arange(n_columns)[None, :] < units.n_children[:, None]
    node = (units.first_child[:, None] + np.arange(n_columns))[is_child]
    if penalty.bias > 0:
        out[f:][is_child] = start.bias[node] / penalty.bias
    return out


def lay_dense(
    start: LevelWeights, problem: LevelProblem, units: Units, n_columns: int
) -> np.ndarray:
    """Returns the weights of the dense columns of some units, float32 [U, H, K]."""
    out = np.zeros((len(units), n_columns, problem.features.n_dense), np.float32)
    is_child = np.arange(n_columns)[None, :] < units.n_children[:, None]
    out[is_child] = start.dense[(units.first_child[:, None] + np.arange(n_columns))[is_child]]
    return np.moveaxis(out, 1, 2)
