"""Runs a set of queries as batches of a few fixed shapes on all cores, and writes results to their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Literal, NamedTuple

import jax
import numpy as np

from xmc_jax.ops import pack_rows
from xmc_jax.parallel import Target
from xmc_jax.predict.index import SearchIndex
from xmc_jax.threads import count_cores, map_threads
from xmc_jax.types import PAD, Features

_NARROWEST, _WIDER = 64, 8  # widths of a query
_MORE_ROWS = 16  # factor between sizes of a batch
_MOST_ROWS_CPU, _MOST_ROWS = 256, 4096  # a CPU's temporaries stay in cache
_MOST_SLOTS = 2**20  # slots of all ids in a batch
_MOST_FLOATS_CPU, _MOST_FLOATS = 2**24, 2**28  # candidates of a batch
_NARROWEST_RESULTS, _WIDER_RESULTS = 20, 4  # widths of results
_CANDIDATE_BYTES = 32  # scores, their sorted copies and places


class Batch(NamedTuple):
    """Rows [n] of the set, padded to `size` rows of `width` slots."""

    rows: np.ndarray
    width: int
    size: int


def choose_width(length: int) -> int:
    """Returns the slots J for rows up to this length: 64, 512, 4096, …

    The grid does not depend on the data, so that programs compiled once (and kept) serve all sets. It may
    be coarse, because the kernels stop at a batch's longest row.
    """
    width = _NARROWEST
    while width < length:
        width *= _WIDER
    return width


def choose_results(n: int, most: int) -> int:
    """Returns the number of results that a program computes per query, n or more: 20, 80, 320, … or all that can be
    found.

    Columns beyond n are cut, so that a different n rarely needs another program.
    """
    width = _NARROWEST_RESULTS
    while width < n:
        width *= _WIDER_RESULTS
    return min(width, most)


def choose_size(width: int, n_rows: int, limit: int, target: Target) -> int:
    """Returns the rows of a batch: 1, 16, 256, … or the most allowed.

    Args:
        width: J.
        n_rows: number of rows.
        limit: number of rows that other arrays, or the user, allow.
        target: the device that runs the batch.
    """
    most = _MOST_ROWS_CPU if target.is_cpu else _MOST_ROWS
    most = max(1, min(limit, most, _MOST_SLOTS // width))
    size = 1
    while size < min(n_rows, most):
        size *= _MORE_ROWS
    return min(size, most)


def limit_rows(
    index: SearchIndex,
    beam: int,
    target: Target,
    wanted: int | Literal["auto"] = "auto",
    memory: int | None = None,
) -> int:
    """Returns the rows whose candidates fit in memory, at most `wanted`.

    Args:
        index: the levels to search.
        beam: number of nodes kept on each level.
        target: the device that runs the batches.
        wanted: largest number of rows, or "auto".
        memory: bytes for all batches under way; None for no bound. The number of rows that it allows is a power of two,
            so that a little more or less memory needs no other program.
    """
    widest = max(level.count_candidates(min(beam, level.n_clusters)) for level in index.levels)
    most = max(1, (_MOST_FLOATS_CPU if target.is_cpu else _MOST_FLOATS) // widest)
    if memory is not None:
        fitting = max(1, memory // (_CANDIDATE_BYTES * count_cores() * widest))
        most = min(most, 1 << (fitting.bit_length() - 1))
    return most if wanted == "auto" else min(wanted, most)


def plan_batches(lengths: np.ndarray, limit: int, target: Target, n_shards: int = 1) -> list[Batch]:
    """Returns batches that cover rows of these lengths; similar lengths share a batch.

    Args:
        lengths: [N], slots of the rows.
        limit: largest number of rows of a batch on one device.
        target: the device that runs the batches.
        n_shards: number of devices that share a batch.
    """
    order = np.argsort(lengths, kind="stable")[::-1]
    ordered = lengths[order]
    batches = []
    begin = 0
    while begin < len(order):
        width = choose_width(int(ordered[begin]))
        # Rows that fit into the next smaller width form the next class.
        small = width // _WIDER if width > _NARROWEST else PAD
        end = int(np.searchsorted(-ordered, -small, side="left"))
        size = n_shards * choose_size(width, -(-(end - begin) // n_shards), limit, target)
        for start in range(begin, end, size):
            batches.append(Batch(order[start : min(start + size, end)], width, size))
        begin = end
    return batches


def run_batches(
    index: SearchIndex,
    features: Features,
    batches: list[Batch],
    step: Callable[..., tuple[jax.Array, ...]],
    out: tuple[np.ndarray, ...],
    target: Target,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Runs `step(index, ids, values, dense)` on every batch and writes its results to the rows of `out`.

    Args:
        index, features, batches: the levels, the rows, and their batches.
        step: a program such as `search`.
        out: arrays [N, ...], which receive the first columns of the results.
        target: the device that runs the batches.
        advance: called with the number of rows that were just done.
    """

    def run(batch: Batch) -> None:
        results = step(index, *pack_batch(features, batch))
        write_rows(out, batch, [np.asarray(result) for result in results])

    run_parallel(run, batches, target, advance)


def run_one(
    index: SearchIndex,
    features: Features,
    step: Callable[..., tuple[jax.Array, ...]],
    n_results: int,
) -> tuple[np.ndarray, ...]:
    """Returns the results [1, n_results] of `step` for one query, which needs no plan and no threads."""
    batch = Batch(np.zeros(1, np.intp), choose_width(features.sparse.nnz), 1)
    found = step(index, *pack_batch(features, batch))
    return tuple(np.array(result)[:, :n_results] for result in found)


def write_rows(out: Sequence[np.ndarray], batch: Batch, results: Sequence[np.ndarray]) -> None:
    """Writes a batch's results to its rows of arrays [N, ...], which may be narrower or wider."""
    for array, result in zip(out, results, strict=True):
        n = min(array.shape[1], result.shape[1])
        array[batch.rows, :n] = result[: len(batch.rows), :n]


def run_parallel(
    run: Callable[[Batch], None],
    batches: list[Batch],
    target: Target,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Calls `run` on every batch; the first error or interruption ends it."""
    # A compiled call releases the interpreter: on a CPU, every core takes batches; elsewhere the host packs one batch
    # while the device works on another.
    threads = target.count_workers() if target.is_cpu else 2
    with closing(map_threads(run, batches, threads, ahead=len(batches))) as done:
        for batch, _ in zip(batches, done, strict=True):
            advance(len(batch.rows))


def pack_batch(features: Features, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns ids and values [size, width] and dense columns [size, H]; unused rows are empty."""
    # One query is not worth a matrix of its own, which takes as long as a level's search.
    sparse = features.sparse if len(features) == 1 else features.sparse[batch.rows]
    ids, values = pack_rows(sparse, batch.width, pad=PAD)
    dense = np.asarray(features.dense[batch.rows], np.float32)
    extra = ((0, batch.size - len(batch.rows)), (0, 0))
    if not extra[0][1]:
        return ids, values, dense
    return np.pad(ids, extra, constant_values=PAD), np.pad(values, extra), np.pad(dense, extra)
