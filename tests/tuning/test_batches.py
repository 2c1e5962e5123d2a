from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from xmc_jax.encoder.tokens import bucket_tokens
from xmc_jax.tuning.batches import (
    LevelTask,
    choose_layouts,
    draw_rows,
    make_batch,
    stream_batches,
)
from xmc_jax.types import PAD


def make_task(lengths, batch_size=16, multiple=1, mask=None):
    lengths = np.asarray(lengths)
    n = len(lengths)
    ids = np.repeat(np.arange(1, n + 1), lengths)
    tokens = bucket_tokens(ids, lengths, 64)
    labels = sp.random(n, 10, 0.2, "csr", np.float32, np.random.default_rng(0))
    offsets = np.array([0, 4, 10])
    return LevelTask(1, tokens, labels, mask, offsets, 0, batch_size, multiple, 0)


def test_an_epoch_sees_every_text_once_and_any_step_can_be_drawn():
    drawn = [draw_rows(step, 8, 20, 1, 0) for step in range(10)]
    stream = np.concatenate(drawn)
    for epoch in range(4):
        assert sorted(stream[20 * epoch : 20 * (epoch + 1)]) == list(range(20))
    assert (stream[:20] != stream[20:40]).any() and (
        stream[:20] != draw_rows(0, 20, 20, 1, 1)
    ).any()
    np.testing.assert_array_equal(draw_rows(7, 8, 20, 1, 0), drawn[7])
    # Fewer texts than a batch: they come again.
    assert np.bincount(draw_rows(0, 8, 3, 0, 0)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_short_texts_are_padded_apart():
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(400) < 0.75, 10, 60)
    usual, safe = choose_layouts(make_task(lengths))
    assert [width for _, width in usual] == [12, 64] and sum(n for n, _ in usual) == 16
    assert safe == ((16, 64),)
    assert choose_layouts(make_task([60] * 50)) == (((16, 64),),)
    four = choose_layouts(make_task(lengths, multiple=4))
    assert all(n % 4 == 0 for layout in four for n, _ in layout)


def test_smaller_parts_pad_less():
    rng = np.random.default_rng(0)
    task = make_task(np.where(rng.random(4000) < 0.97, rng.integers(4, 16, 4000), 60), 64)
    work = [
        sum(n * width for n, width in choose_layouts(replace(task, grains=grains))[0])
        for grains in (4, 16)
    ]
    assert work[1] < 0.8 * work[0]


def test_a_rare_long_text_does_not_widen_every_batch():
    usual, safe = choose_layouts(make_task([10] * 5000 + [60]))
    assert usual == ((16, 12),) and safe == ((16, 64),)


def test_batches_hold_what_their_texts_have():
    rng = np.random.default_rng(1)
    task = make_task(np.where(rng.random(100) < 0.7, 10, 60))
    mask = sp.csr_matrix((rng.random((100, 2)) < 0.6).astype(np.float32))
    shapes = set()
    for one in (task, make_task(task.tokens.lengths, mask=mask)):
        for batch in stream_batches(one, 0, 12):
            shapes.add(tuple(part.ids.shape for part in batch))
            for part in batch:
                row = part.ids[:, 0] - 1  # texts repeat their number
                assert (part.ids == (row + 1)[:, None] * part.mask).all()
                np.testing.assert_array_equal(part.mask.sum(axis=1), task.tokens.lengths[row])
                truth = task.labels[row].toarray()
                if part.nodes is None:
                    np.testing.assert_array_equal(part.values, truth)
                else:
                    there = part.nodes != PAD
                    got = np.zeros_like(truth)
                    at = np.nonzero(there)
                    got[at[0], part.nodes[at]] = part.values[at]
                    np.testing.assert_array_equal(got, truth)
    assert len(shapes) <= 2


def test_a_stream_that_begins_later_gives_the_same_batches():
    task = make_task(np.full(50, 12), mask=sp.csr_matrix(np.ones((50, 2), np.float32)))
    whole = list(stream_batches(task, 0, 6))
    assert len(whole) == 6
    for a, b in zip(whole[4:], stream_batches(task, 4, 6), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x.ids, y.ids)
            np.testing.assert_array_equal(x.nodes, y.nodes)
    layouts = choose_layouts(task)
    np.testing.assert_array_equal(make_batch(task, 3, layouts, 16)[0].ids, whole[3][0].ids)
