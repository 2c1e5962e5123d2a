from __future__ import annotations

import time

import numpy as np
import pytest

from xmc_jax.parallel import Target
from xmc_jax.predict import build_index
from xmc_jax.predict.batches import (
    Batch,
    choose_results,
    choose_size,
    choose_width,
    limit_rows,
    pack_batch,
    plan_batches,
    run_parallel,
)
from xmc_jax.types import PAD

CPU = Target.named("cpu")


@pytest.mark.parametrize(
    ("length", "width"), [(0, 64), (64, 64), (65, 512), (512, 512), (5000, 32768)]
)
def test_widths_are_few(length, width):
    assert choose_width(length) == width


@pytest.mark.parametrize(
    ("width", "n_rows", "limit", "size"),
    [
        (256, 1, 999, 1),
        (256, 2, 999, 16),
        (256, 17, 999, 256),
        (256, 9999, 100, 100),
        (256, 9999, 999, 256),
        (65536, 9999, 999, 16),
        (2**24, 5, 999, 1),
    ],
)
def test_sizes_are_few_and_bounded(width, n_rows, limit, size):
    assert choose_size(width, n_rows, limit, CPU) == size


@pytest.mark.parametrize(
    ("wanted", "most", "width"),
    [(1, 999, 20), (20, 999, 20), (21, 999, 80), (81, 999, 320), (10**6, 50, 50), (10, 7, 7)],
)
def test_widths_of_results_are_few(wanted, most, width):
    assert choose_results(wanted, most) == width


def test_other_devices_take_larger_batches():
    assert choose_size(64, 9999, 9999, Target.named("v5e-1")) == 4096


def test_a_little_less_memory_needs_no_other_program(tools):
    index = build_index(tools.model())
    assert limit_rows(index, 10, CPU, memory=2**20) == limit_rows(
        index, 10, CPU, memory=2**20 - 999
    )


def test_batches_cover_all_rows_once_and_fit():
    lengths = np.concatenate([np.arange(600), [0, 5000, 70000, 256, 257]])
    batches = plan_batches(lengths, 50, CPU)
    rows = np.concatenate([b.rows for b in batches])
    assert sorted(rows) == list(range(len(lengths)))
    assert all(len(b.rows) <= b.size <= 50 for b in batches)
    assert all(b.width // 8 < max(lengths[b.rows].max(), 9) <= b.width for b in batches)
    assert len({(b.width, b.size) for b in batches}) == 5
    assert plan_batches(np.zeros(0, int), 50, CPU) == []


def test_rows_beyond_the_batch_are_empty(tools):
    features = tools.features(5, dense=2)
    ids, values, dense = pack_batch(features, Batch(np.array([3, 1]), 256, 4))
    assert ids.shape == values.shape == (4, 256) and dense.shape == (4, 2)
    assert ids[0, : features.sparse[3].nnz].tolist() == features.sparse[3].indices.tolist()
    assert (ids[2:] == PAD).all() and not values[2:].any() and not dense[2:].any()


def test_memory_bounds_the_rows(tools):
    index = build_index(tools.model())
    assert limit_rows(index, 10, CPU, 7) == 7
    assert all(level.table is not None for level in index.levels)
    assert limit_rows(index, 10, CPU) == 2**24 // 40
    assert limit_rows(index, 10, CPU, memory=2**40) == 2**24 // 40
    assert limit_rows(index, 10, CPU, memory=2**20) < limit_rows(index, 10, CPU)
    assert limit_rows(index, 10, CPU, memory=1) == 1


def test_an_error_in_a_batch_is_raised():
    def fail(batch):
        raise ValueError(f"row {batch.rows[0]}")

    with pytest.raises(ValueError, match="row"):
        run_parallel(fail, plan_batches(np.ones(900, int), 256, CPU), CPU)


def test_an_interruption_does_not_wait_for_batches_that_have_not_begun():
    begun = []

    def run(batch):
        begun.append(batch)
        if len(begun) > 1:
            time.sleep(0.05)

    def advance(n):
        raise KeyboardInterrupt

    batches = plan_batches(np.ones(9000, int), 20, CPU)
    with pytest.raises(KeyboardInterrupt):
        run_parallel(run, batches, CPU, advance)
    assert len(begun) < 20 < len(batches)
