"""Batches of fine-tuning: which texts each step sees, their tokens and candidates, made ahead of the step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from xmc_jax.encoder import Tokens
from xmc_jax.matcher import count_candidates, list_candidates
from xmc_jax.train.tuning import TuningBatch

_AHEAD = 2  # batches made before they are asked for
_PROBES = 200  # batches looked at to choose widths
_SHARE = 0.2  # of batches that a width must serve to be worth a compilation


@dataclass(frozen=True)
class LevelTask:
    """What a level is fine-tuned on: N texts and their positives among the level's nodes.

    Attributes:
        level: its number.
        tokens: of the N texts.
        labels: counts of positives, CSR [N, nodes].
        mask: which clusters above come near a text, CSR [N, C]; None: all nodes are candidates.
        child_offsets: [C + 1].
        limit: candidates of a text at most; 0: any number.
        batch_size: B.
        seed: of the run.
    """

    level: int
    tokens: Tokens
    labels: sp.csr_matrix
    mask: sp.csr_matrix | None
    child_offsets: Int[np.ndarray, "C1"]
    limit: int
    batch_size: int
    seed: int


def draw_rows(step: int, batch_size: int, n: int, seed: int, level: int) -> Int[np.ndarray, "B"]:
    """Returns the texts of a step: consecutive parts of one random order after the other.

    The data position is the step: nothing else is needed to go on from there.
    """
    position = step * batch_size + np.arange(batch_size)
    epoch, place = np.divmod(position, n)
    parts = [_shuffle(n, seed, level, int(e))[place[epoch == e]] for e in np.unique(epoch)]
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _shuffle(n: int, seed: int, level: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, level, epoch)).permutation(n)


def choose_token_widths(task: LevelTask) -> Int[np.ndarray, "widths"]:
    """Returns the widths that batches are padded to: the greatest, and those that serve many batches.

    Every width is a compilation; a text longer than nearly all others should not widen every batch.
    """
    widths = np.unique(task.tokens.widths)
    rng = np.random.default_rng((task.seed, task.level))
    probes = rng.integers(0, len(task.tokens), (_PROBES, task.batch_size))
    seen = task.tokens.widths[probes].max(axis=1)
    chosen, served = [int(widths[-1])], 0
    for width in widths[:-1]:
        share = (seen <= width).mean() - served
        if share >= _SHARE:
            chosen.append(int(width))
            served += share
    return np.sort(np.asarray(chosen))


def stream_batches(task: LevelTask, start: int, stop: int) -> Iterator[TuningBatch]:
    """Yields the batches of steps `start` to `stop` - 1; the next ones are made meanwhile in a thread."""
    token_widths = choose_token_widths(task)
    n_slots = 0
    if task.mask is not None:
        n_slots = count_candidates(task.mask, task.labels, task.child_offsets, task.limit)
    with ThreadPoolExecutor(1) as pool:
        steps = iter(range(start, stop))
        made = (pool.submit(make_batch, task, step, token_widths, n_slots) for step in steps)
        waiting = deque(islice(made, _AHEAD))
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(islice(made, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def make_batch(
    task: LevelTask, step: int, token_widths: Int[np.ndarray, "widths"], n_slots: int
) -> TuningBatch:
    """Returns the batch of a step: the same one whenever it is asked for."""
    rows = draw_rows(step, task.batch_size, len(task.tokens), task.seed, task.level)
    needed = task.tokens.widths[rows].max()
    ids, mask = task.tokens.take(rows, int(token_widths[np.searchsorted(token_widths, needed)]))
    if task.mask is None:
        return TuningBatch(ids, mask, None, task.labels[rows].toarray())
    rng = np.random.default_rng((task.seed, task.level, step, 1))
    nodes, values = list_candidates(
        task.mask[rows], task.labels[rows], task.child_offsets, n_slots, task.limit, rng
    )
    return TuningBatch(ids, mask, nodes, values)
