"""A set of queries as batches of few, fixed shapes, run on all cores; results go back to their rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import jax
import numpy as np

from xmc_jax.ops import pack_rows
from xmc_jax.predict.index import SearchIndex
from xmc_jax.threads import count_cores, map_threads
from xmc_jax.types import PAD, Features

_NARROWEST, _WIDER = 64, 8  # widths of a query
_MORE_ROWS = 16  # sizes of a batch grow by it
_MOST_ROWS = {"cpu": 256}  # what keeps temporaries in cache; other devices:
_MOST_ROWS_DEFAULT = 4096
_MOST_SLOTS = 2**20  # of ids in a batch
_MOST_FLOATS = {"cpu": 2**24}  # candidates of a batch; other devices:
_MOST_FLOATS_DEFAULT = 2**28
_CANDIDATE_BYTES = 32  # scores, their sorted copies and places


class Batch(NamedTuple):
    """Rows [n] of the set, padded to `size` rows of `width` slots."""

    rows: np.ndarray
    width: int
    size: int


def choose_width(length: int) -> int:
    """Returns the slots J for rows up to this length: 64, 512, 4096, …

    The grid does not depend on the data, so that programs compiled once (and kept) serve all sets. It may
    be coarse: the kernels stop at a batch's longest row.
    """
    width = _NARROWEST
    while width < length:
        width *= _WIDER
    return width


def choose_size(width: int, n_rows: int, limit: int) -> int:
    """Returns the rows of a batch: 1, 16, 256, … or the most allowed.

    Args:
        width: J.
        n_rows: rows there are.
        limit: rows allowed by other arrays, or by the user.
    """
    most = _MOST_ROWS.get(jax.default_backend(), _MOST_ROWS_DEFAULT)
    most = max(1, min(limit, most, _MOST_SLOTS // width))
    size = 1
    while size < min(n_rows, most):
        size *= _MORE_ROWS
    return min(size, most)


def limit_rows(index: SearchIndex, beam: int, wanted: int = 0, memory: int | None = None) -> int:
    """Returns the rows whose candidates fit in memory, at most `wanted` (0: not said).

    Args:
        memory: bytes for all batches under way; None: no bound.
    """
    floats = _MOST_FLOATS.get(jax.default_backend(), _MOST_FLOATS_DEFAULT)
    if memory is not None:
        floats = min(floats, memory // (_CANDIDATE_BYTES * count_cores()))
    widest = max(level.count_candidates(min(beam, level.n_clusters)) for level in index.levels)
    most = max(1, floats // widest)
    return min(wanted, most) if wanted else most


def plan_batches(lengths: np.ndarray, limit: int, n_shards: int = 1) -> list[Batch]:
    """Returns batches that cover rows of these lengths; like lengths share a batch.

    Args:
        lengths: [N], slots of the rows.
        limit: rows of a batch on one device at most.
        n_shards: devices that share a batch.
    """
    order = np.argsort(lengths, kind="stable")[::-1]
    ordered = lengths[order]
    batches = []
    begin = 0
    while begin < len(order):
        width = choose_width(int(ordered[begin]))
        # Rows that fit the next smaller width are a class of their own.
        small = width // _WIDER if width > _NARROWEST else PAD
        end = int(np.searchsorted(-ordered, -small, side="left"))
        size = n_shards * choose_size(width, -(-(end - begin) // n_shards), limit)
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
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Runs `step(index, ids, values, dense)` on every batch and writes what it returns to the rows of `out`.

    Args:
        out: arrays [N, ...]; the columns that a step returns are written first, more are left as they are.
        advance: called with the number of rows that are done.
    """

    def run(batch: Batch) -> None:
        results = step(index, *pack_batch(features, batch))
        for target, result in zip(out, results, strict=True):
            target[batch.rows, : result.shape[1]] = np.asarray(result)[: len(batch.rows)]

    run_parallel(run, batches, advance)


def run_parallel(
    run: Callable[[Batch], None],
    batches: list[Batch],
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Calls `run` on every batch; the first error or interruption ends it."""
    # A compiled call lets go of the interpreter: on a CPU every core takes batches; elsewhere the host
    # packs one batch while the device works on another.
    cores = count_cores() if jax.default_backend() == "cpu" else 2
    with closing(map_threads(run, batches, cores, ahead=len(batches))) as done:
        for batch, _ in zip(batches, done, strict=True):
            advance(len(batch.rows))


def pack_batch(features: Features, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns ids and values [size, width] and dense columns [size, H]; unused rows are empty."""
    ids, values = pack_rows(features.sparse[batch.rows], batch.width, pad=PAD)
    dense = np.asarray(features.dense[batch.rows], np.float32)
    extra = ((0, batch.size - len(batch.rows)), (0, 0))
    if not extra[0][1]:
        return ids, values, dense
    return np.pad(ids, extra, constant_values=PAD), np.pad(values, extra), np.pad(dense, extra)
