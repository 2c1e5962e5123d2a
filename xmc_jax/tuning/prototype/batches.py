"""Batches of a fine-tuning against all labels: texts, their positives one after the other, their first vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.encoder import Tokens
from xmc_jax.ops import concatenate_ranges
from xmc_jax.tuning.batches import Layout, LevelTask, choose_layouts, draw_rows
from xmc_jax.tuning.prototype.shortlist import Negatives
from xmc_jax.tuning.prototype.step import PrototypeBatch
from xmc_jax.types import PAD

_AHEAD = 2  # batches made before they are asked for
_GRAIN = 64  # slots of positives are a multiple of it


@dataclass(frozen=True)
class PrototypeTask:
    """What is fine-tuned on.

    Attributes:
        tokens: of N texts.
        labels: positives, CSR [N, L].
        vectors: of the texts as they stand in the sums of their labels, norm 1.
        batch_size: B.
        multiple: every part of a layout has a multiple of so many texts, which divides the batch.
        seed: of the run.
        negatives: what shortlists are made of; None: all labels are compared.
    """

    tokens: Tokens
    labels: sp.csr_matrix
    vectors: Float[np.ndarray, "N H"]
    batch_size: int
    multiple: int
    seed: int
    negatives: Negatives | None = None


def count_slots(task: PrototypeTask, steps: int) -> int:
    """Returns the slots that the positives of any batch of a run need, so that one program serves all."""
    counts = np.diff(task.labels.indptr)
    n = len(counts)
    most = max(
        (counts[draw_rows(i, task.batch_size, n, task.seed, 0)].sum() for i in range(steps)),
        default=0,
    )
    return max(1, -(-int(most) // _GRAIN)) * _GRAIN


def stream_batches(
    task: PrototypeTask, start: int, stop: int, slots: int
) -> Iterator[PrototypeBatch]:
    """Yields the batches of steps `start` to `stop` - 1; the next ones are made meanwhile in a thread."""
    layouts = choose_layouts(as_level(task))
    with ThreadPoolExecutor(1) as pool:
        made = (pool.submit(make_batch, task, step, layouts, slots) for step in range(start, stop))
        waiting = deque(islice(made, _AHEAD))
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(islice(made, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_batch(
    task: PrototypeTask, step: int, layouts: tuple[Layout, ...], slots: int
) -> PrototypeBatch:
    """Returns the batch of a step, the same one whenever it is asked for, in the first layout that it fits."""
    drawn = draw_rows(step, task.batch_size, len(task.tokens), task.seed, 0)
    rows = drawn[np.argsort(task.tokens.widths[drawn], kind="stable")]
    widths = task.tokens.widths[rows]
    for layout in layouts:
        ends = np.cumsum([n for n, _ in layout])
        if (widths[ends - 1] <= [width for _, width in layout]).all():
            break
    texts = tuple(
        task.tokens.take(rows[end - n : end], width)
        for end, (n, width) in zip(ends, layout, strict=True)
    )
    begins, counts = task.labels.indptr[rows], np.diff(task.labels.indptr)[rows]
    labels = task.labels.indices[concatenate_ranges(begins, counts)]
    owners = np.repeat(np.arange(len(rows)), counts)
    pad = (0, slots - len(labels))
    shortlist: tuple[np.ndarray, ...] = ()
    if task.negatives is not None:
        shortlist = task.negatives.choose(labels, step, task.negatives.count_slots(slots))
    return PrototypeBatch(
        texts,
        np.pad(owners, pad).astype(np.int32),
        np.pad(labels, pad, constant_values=PAD).astype(np.int32),
        np.ascontiguousarray(task.vectors[rows], np.float32),
        shortlist,
    )


def as_level(task: PrototypeTask) -> LevelTask:
    """Returns the task as that of a level with all labels."""
    offsets = np.array([0, task.labels.shape[1]])
    return LevelTask(
        0, task.tokens, task.labels, None, offsets, 0, task.batch_size, task.multiple, task.seed
    )
