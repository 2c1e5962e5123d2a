"""Batches of fine-tuning: which texts each step sees, their tokens and candidates, made ahead of the step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, islice
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from xmc_jax.encoder import Tokens
from xmc_jax.matcher import count_candidates, list_candidates
from xmc_jax.tuning.step import BatchPart, TuningBatch

_AHEAD = 2  # batches prepared in advance
_PROBES = 200  # batches examined to choose a layout
_FIT = 0.98  # share of them that must fit the usual layout
_CUTS = 4  # largest number of parts in a layout
_PART = 1.06  # factor by which one more part must reduce the work

Made = TypeVar("Made")
Layout = tuple[tuple[int, int], ...]
"""Parts of a batch, (texts, width) each; shorter texts come first."""


@dataclass(frozen=True)
class LevelTask:
    """The data of a level's fine-tuning: N texts and their positives among the level's nodes.

    Attributes:
        level: its number.
        tokens: the tokens of the N texts.
        labels: counts of positives, CSR [N, nodes].
        mask: the clusters above that are near each text, CSR [N, C]; None: all nodes are candidates.
        child_offsets: [C + 1].
        limit: the largest number of candidates per text; None: no limit.
        batch_size: B.
        multiple: the number of texts in every part of a layout is a multiple of this divisor of the batch: the parts
            of accumulation times those on the devices.
        seed: the seed of the run.
        grains: the parts of a layout are multiples of a batch's share 1 / grains; more pad less.
    """

    level: int
    tokens: Tokens
    labels: sp.csr_matrix
    mask: sp.csr_matrix | None
    child_offsets: Int[np.ndarray, "C1"]
    limit: int | None
    batch_size: int
    multiple: int
    seed: int
    grains: int = _CUTS


def draw_rows(step: int, batch_size: int, n: int, seed: int, level: int) -> Int[np.ndarray, "B"]:
    """Returns the texts of a step: consecutive pieces of one random order after another.

    The step alone determines the position in the data, so nothing else is needed to resume.
    """
    position = step * batch_size + np.arange(batch_size)
    epoch, place = np.divmod(position, n)
    parts = [_shuffle(n, seed, level, int(e))[place[epoch == e]] for e in np.unique(epoch)]
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _shuffle(n: int, seed: int, level: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, level, epoch)).permutation(n)


def choose_layouts(task: LevelTask) -> tuple[Layout, ...]:
    """Returns how batches are split and padded: the usual layout, and one that fits every batch.

    The usual layout pads the shorter texts of a batch to smaller widths where that saves enough, as every part of every
    layout costs a compilation. A text longer than nearly all others does not widen every batch. All levels with the
    same texts get the same layouts, so that the encoder is compiled only once for all of them.
    """
    size = task.batch_size
    grain = task.multiple * max(1, size // (task.grains * task.multiple))
    widest = int(task.tokens.widths.max())
    draws = (draw_rows(i, size, len(task.tokens), task.seed, 0) for i in range(_PROBES))
    seen = np.sort([task.tokens.widths[rows] for rows in draws], axis=1)
    safe: Layout = ((size, widest),)
    chosen, least = safe, float(size * widest)
    inner = range(grain, size, grain)
    for cuts in chain.from_iterable(combinations(inner, n) for n in range(_CUTS)):
        ends = np.array([*cuts, size])
        widths = np.quantile(seen[:, ends - 1], _FIT, axis=0, method="higher")
        fits = (seen[:, ends - 1] <= widths).all(axis=1).mean()
        texts = np.diff(ends, prepend=0)
        work = fits * (texts @ widths) + (1 - fits) * size * widest
        cost = work * _PART ** len(cuts)
        if cost < least:
            least = cost
            chosen = tuple((int(n), int(width)) for n, width in zip(texts, widths, strict=True))
    return (chosen,) if chosen == safe else (chosen, safe)


def stream_batches(task: LevelTask, start: int, stop: int) -> Iterator[TuningBatch]:
    """Yields the batches of steps `start` to `stop` - 1; a thread prepares the next ones meanwhile."""
    layouts = choose_layouts(task)
    n_slots = 0
    if task.mask is not None:
        n_slots = count_candidates(task.mask, task.labels, task.child_offsets, task.limit)
    return prepare_ahead(lambda step: make_batch(task, step, layouts, n_slots), start, stop)


def prepare_ahead(make: Callable[[int], Made], start: int, stop: int) -> Iterator[Made]:
    """Yields what `make` returns for steps `start` to `stop` - 1; a thread prepares the next ones meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        made = (pool.submit(make, step) for step in range(start, stop))
        waiting = deque(islice(made, _AHEAD))
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(islice(made, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_batch(
    task: LevelTask, step: int, layouts: tuple[Layout, ...], n_slots: int
) -> TuningBatch:
    """Returns the batch of a step, always the same one, in the first layout that it fits."""
    drawn = draw_rows(step, task.batch_size, len(task.tokens), task.seed, task.level)
    _, layout = arrange(task.tokens, drawn, layouts)
    rng = np.random.default_rng((task.seed, task.level, step, 1))
    parts = []
    for mine, width in layout:
        ids, real = task.tokens.take(mine, width)
        labels = task.labels[mine]
        if task.mask is None:
            parts.append(BatchPart(ids, real, None, labels.toarray()))
            continue
        nodes, values = list_candidates(
            task.mask[mine], labels, task.child_offsets, n_slots, task.limit, rng
        )
        parts.append(BatchPart(ids, real, nodes, values))
    return tuple(parts)


def arrange(
    tokens: Tokens, drawn: Int[np.ndarray, "B"], layouts: tuple[Layout, ...]
) -> tuple[Int[np.ndarray, "B"], list[tuple[np.ndarray, int]]]:
    """Returns texts in the order of their widths, and each part (texts, width) of the first layout that they fit."""
    rows = drawn[np.argsort(tokens.widths[drawn], kind="stable")]
    widths = tokens.widths[rows]
    for layout in layouts:
        ends = np.cumsum([n for n, _ in layout])
        if (widths[ends - 1] <= [width for _, width in layout]).all():
            break
    parts = zip(ends, layout, strict=True)
    return rows, [(rows[end - n : end], width) for end, (n, width) in parts]
