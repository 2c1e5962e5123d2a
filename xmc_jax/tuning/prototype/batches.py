"""Batches for fine-tuning against all labels: texts, their positives in one row, and their first vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.encoder import Tokens
from xmc_jax.ops import concatenate_ranges
from xmc_jax.tree import cluster_labels, split_depth
from xmc_jax.tuning.batches import (
    Layout,
    LevelTask,
    arrange,
    choose_layouts,
    draw_rows,
    prepare_ahead,
)
from xmc_jax.tuning.prototype.shortlist import Negatives
from xmc_jax.tuning.prototype.step import PrototypeBatch
from xmc_jax.types import PAD

_GRAIN = 64  # slots of positives are a multiple of it
_GROUP = 16  # near texts of a batch
_TAG = 13


@dataclass(frozen=True, eq=False)
class NearTexts:
    """An order of the texts in which near ones follow each other; batches are made of groups of it.

    Source: Dahiya et al. 2023, "NGAME".

    Attributes:
        order: int32 [N].
        begun: number of updates made before the texts were grouped.
    """

    order: Int[np.ndarray, "N"]
    begun: int

    def draw(self, step: int, batch_size: int, seed: int) -> Int[np.ndarray, "B"]:
        """Returns the texts of a step; each pass goes through all groups in a random order of its own."""
        position = (step - self.begun) * batch_size + np.arange(batch_size)
        epoch, place = np.divmod(position, len(self.order))
        parts = [_shuffle(self, seed, int(e))[place[epoch == e]] for e in np.unique(epoch)]
        return np.concatenate(parts)


@lru_cache(maxsize=2)
def _shuffle(near: NearTexts, seed: int, epoch: int) -> Int[np.ndarray, "N"]:
    n = len(near.order)
    begins = np.arange(0, n, _GROUP)
    mixed = np.random.default_rng((seed, near.begun, epoch, _TAG)).permutation(begins)
    return near.order[concatenate_ranges(mixed, np.minimum(_GROUP, n - mixed))]


def group_texts(vectors: Float[np.ndarray, "N H"], begun: int, seed: int) -> NearTexts:
    """Returns the texts in groups of near vectors.

    Args:
        vectors: the texts' current vectors.
        begun: number of updates made before.
        seed: the seed of the run.
    """
    leaf = cluster_labels(vectors, split_depth(len(vectors), _GROUP), seed=seed)
    return NearTexts(np.argsort(leaf, kind="stable").astype(np.int32), begun)


@dataclass(frozen=True)
class PrototypeTask:
    """The data of a fine-tuning against all labels.

    Attributes:
        tokens: tokens of N texts.
        labels: CSR [N, L], the positives.
        vectors: the texts' vectors in the sums of their labels, norm 1.
        batch_size: B.
        multiple: every part of a layout has a multiple of this many texts; it divides the batch.
        seed: the seed of the run.
        negatives: makes the shortlists; None: texts are compared with all labels.
        near: the groups that batches are made of; None: texts are drawn one by one.
    """

    tokens: Tokens
    labels: sp.csr_matrix
    vectors: Float[np.ndarray, "N H"]
    batch_size: int
    multiple: int
    seed: int
    negatives: Negatives | None = None
    near: NearTexts | None = None

    def draw(self, step: int) -> Int[np.ndarray, "B"]:
        """Returns the texts of a step."""
        if self.near is not None:
            return self.near.draw(step, self.batch_size, self.seed)
        return draw_rows(step, self.batch_size, len(self.tokens), self.seed, 0)


def count_slots(task: PrototypeTask, start: int, stop: int) -> int:
    """Returns the slots that the positives of any batch of steps `start` to `stop` - 1 need, so that all use one
    program."""
    counts = np.diff(task.labels.indptr)
    most = max((counts[task.draw(i)].sum() for i in range(start, stop)), default=0)
    return max(1, -(-int(most) // _GRAIN)) * _GRAIN


def stream_batches(
    task: PrototypeTask, start: int, stop: int, slots: int
) -> Iterator[PrototypeBatch]:
    """Yields the batches of steps `start` to `stop` - 1; a thread prepares the next ones meanwhile."""
    layouts = choose_layouts(as_level(task))
    return prepare_ahead(lambda step: make_batch(task, step, layouts, slots), start, stop)


def make_batch(
    task: PrototypeTask, step: int, layouts: tuple[Layout, ...], slots: int
) -> PrototypeBatch:
    """Returns the batch of a step, always the same one, in the first layout that it fits."""
    rows, layout = arrange(task.tokens, task.draw(step), layouts)
    texts = tuple(task.tokens.take(*part) for part in layout)
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
