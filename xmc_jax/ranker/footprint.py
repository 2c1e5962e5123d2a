"""Memory of solving: bytes of a unit while its chunk is solved, and the number of chunks that a budget allows.

Each solver estimates the bytes of a unit (`Solver.bytes`). For a unit of n rows with s slots, F features and K columns,
in lockstep dual coordinate descent:

    slots      as cut, as laid out (padded 1.3 to 1.4 times) and on the device        32·s
    rows       signs, duals and their copies, Gram blocks                            n·(7·K + 100)
    weights    on the device, and on the host while small ones are dropped           10·F·K + 48·F

and by Newton's method, in blocks whose units are padded to the largest of their tier (half as much again):

    slots      as cut, as laid out twice, by row and by feature, and on the device   64·s
    rows       signs, margins and directions; gram: three n × n matrices             n·(48·K + 4·H + 12·n)
    features   at least sixteen slots each                                         400·F
    weights    as above; primal: eight vectors more                                  16·F·K + 32·F·K

(measured against the resident set of a process).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from xmc_jax.errors import RunError
from xmc_jax.ops import concatenate_ranges
from xmc_jax.ranker.problem import LevelProblem, Units, count_nonzeros, count_rows

CHUNK_BYTES = 512 * 2**20
"""Bytes of a chunk if memory allows: enough to keep cores busy and the cost of a call small."""
LANES_BYTES = 128 * 2**20
"""The same for the dual, whose steps should gather and scatter within a cache (four chunks instead of two: -12 %)."""
MIN_CHUNKS = 2
"""At least one chunk for each of two cores."""
_CUT_SLOT, _CUT_ROW = 12, 24
"""Bytes per slot and per row as cut out of the level."""
_COUNTED_SLOTS = 2**22
"""Number of slots whose features are counted at once."""
_TABLE_KEYS = 2**20
"""Up to this many keys, plus sixteen per slot, a table of all keys is faster than sorting."""


class Division(NamedTuple):
    """Division of a level: the number of chunks, and how many are solved side by side."""

    n_chunks: int
    n_workers: int


def divide_level(weights: np.ndarray, memory: int | None, n_cores: int) -> Division:
    """Returns the number of chunks of a level, chosen so that those solved side by side fit into memory.

    Args:
        weights: bytes of each unit, from `Solver.bytes`.
        memory: bytes for all chunks under way, or None for no bound.
        n_cores: number of chunks that could be solved side by side.

    Raises:
        RunError: one unit needs more memory than that.
    """
    largest, total = float(weights.max(initial=0.0)), float(weights.sum())
    if memory is None:
        n_chunks = min(len(weights), max(MIN_CHUNKS, int(-(-total // LANES_BYTES))))
        return Division(n_chunks, min(n_chunks, n_cores))
    if largest > memory:
        raise RunError(
            f"memory: the largest cluster of this level takes about {largest / 1e9:.2g} GB while it is solved, "
            f"{memory / 1e9:.2g} GB are left for it; set a larger --memory, or --max_leaf_size or --branching smaller"
        )
    n_workers = n_cores
    # The largest unit may fill a chunk of its own; then fewer are solved side by side.
    while n_workers > 1 and largest > memory / n_workers:
        n_workers -= 1
    size = min(LANES_BYTES, memory / n_workers)
    n_chunks = min(len(weights), max(MIN_CHUNKS, int(-(-total // size))))
    while n_chunks < len(weights) and weigh_chunks(weights, n_chunks) > memory / n_workers:
        n_chunks = min(len(weights), n_chunks + max(1, n_chunks // 8))
    return Division(n_chunks, min(n_chunks, n_workers))


def weigh_cuts(n_slots: float, n_rows: float) -> float:
    """Returns the bytes of a level's chunks, cut once for their shapes and kept until they are solved; 0 if that is too
    much, so that they are not kept."""
    few = _CUT_SLOT * n_slots <= CHUNK_BYTES // 2
    return _CUT_SLOT * n_slots + _CUT_ROW * n_rows if few else 0.0


def weigh_chunks(weights: np.ndarray, n_chunks: int) -> float:
    """Returns the bytes of the largest of `n_chunks` chunks if units are dealt out in turn, the largest first."""
    order = np.argsort(-weights, kind="stable")
    return float(weights[order[::n_chunks]].sum())


def count_features(problem: LevelProblem, units: Units) -> np.ndarray:
    """Returns the number of distinct features in the rows of each unit, including dense columns, int64 [U]."""
    if problem.census is not None:
        return problem.census.n_features[units.cluster] + problem.features.n_dense
    features, width = problem.features.sparse, problem.features.n_sparse
    clusters, place = np.unique(units.cluster, return_inverse=True)
    offsets = problem.row_offsets
    n_slots = count_nonzeros(problem)[clusters]
    counts = np.zeros(len(clusters), np.int64)
    group = np.cumsum(n_slots) // _COUNTED_SLOTS
    bounds = np.append(np.flatnonzero(np.append(True, np.diff(group) != 0)), len(clusters))
    for first, end in pairwise(bounds.tolist()):
        some = clusters[first:end]
        n_rows = np.diff(offsets)[some]
        instance = problem.row_instance[concatenate_ranges(offsets[some], n_rows)]
        lengths = np.diff(features.indptr)[instance].astype(np.int64)
        at = concatenate_ranges(features.indptr[:-1][instance], lengths)
        unit = np.repeat(np.repeat(np.arange(len(some)), n_rows), lengths)
        keys = unit * width + features.indices[at]
        counts[first:end] = _count_distinct(keys, len(some), width)
    return counts[place] + problem.features.n_dense


def _count_distinct(keys: np.ndarray, n_units: int, width: int) -> np.ndarray:
    """Returns the number of distinct keys of each unit; a key is unit · width + feature."""
    if n_units * width <= 16 * len(keys) + _TABLE_KEYS:
        seen = np.zeros(n_units * width, bool)
        seen[keys] = True
        return np.count_nonzero(seen.reshape(n_units, width), axis=1)
    return np.bincount(np.unique(keys) // width, minlength=n_units)


def count_unit_slots(problem: LevelProblem, units: Units) -> np.ndarray:
    """Returns the number of slots of all rows of each unit, including constants and dense columns, int64 [U]."""
    slots = count_nonzeros(problem)[units.cluster]
    return slots + count_rows(problem, units) * (1 + problem.features.n_dense)
