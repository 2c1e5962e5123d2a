import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import RunError
from xmc_jax.features import as_features
from xmc_jax.ranker import footprint
from xmc_jax.ranker.footprint import (
    CHUNK_BYTES,
    count_features,
    count_unit_slots,
    divide_level,
    weigh_chunks,
)
from xmc_jax.ranker.problem import cut_chunk, list_units, pose_level
from xmc_jax.ranker.solvers import list_solvers


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = sp.random(60, 40, 0.15, "csr", dtype=np.float32, random_state=rng)
    labels = sp.random(60, 9, 0.2, "csr", dtype=np.float32, random_state=rng)
    labels.data[:] = 1
    mask = sp.random(60, 3, 0.5, "csr", dtype=np.float32, random_state=rng)
    return pose_level(as_features(x), mask, labels, np.repeat(np.arange(3), 3), np.arange(0, 12, 3))


@pytest.mark.parametrize("slots", [20, 2**22])
@pytest.mark.parametrize("table", [True, False])
def test_counts_are_those_of_the_chunk_that_is_cut(problem, monkeypatch, slots, table):
    monkeypatch.setattr(footprint, "_COUNTED_SLOTS", slots)
    if not table:
        monkeypatch.setattr(footprint, "_TABLE_KEYS", -(2**40))
    units = list_units(problem)
    chunk = cut_chunk(problem, units, 1.0)
    expected = np.bincount(chunk.feature_unit, minlength=len(units))
    np.testing.assert_array_equal(count_features(problem, units), expected)
    slots_of_rows = np.diff(chunk.slots.indptr)
    expected = np.bincount(chunk.row_unit, slots_of_rows, len(units))
    np.testing.assert_array_equal(count_unit_slots(problem, units), expected)


def test_weights_grow_with_every_size():
    for solver in list_solvers():
        small = solver.bytes(np.array([10]), np.array([50]), np.array([30]), 8, 0)
        for more in ((20, 50, 30, 8), (10, 90, 30, 8), (10, 50, 60, 8), (10, 50, 30, 16)):
            n, s, f, k = more
            assert solver.bytes(np.array([n]), np.array([s]), np.array([f]), k, 0) > small


def test_chunks_under_way_fit_into_memory():
    weights = np.random.default_rng(0).exponential(1e7, 500)
    for memory in (2e8, 5e8, 1e9, 1e12):
        division = divide_level(weights, int(memory), 4)
        assert 1 <= division.n_workers <= 4
        assert division.n_workers * weigh_chunks(weights, division.n_chunks) <= memory
    unbounded = divide_level(weights, None, 4)
    assert unbounded == divide_level(weights, 10**12, 4)
    assert weights.sum() / unbounded.n_chunks <= CHUNK_BYTES


def test_a_large_unit_costs_workers_before_it_is_refused():
    weights = np.array([9e8, 1e6, 1e6])
    assert divide_level(weights, 2_000_000_000, 4).n_workers == 2
    assert divide_level(weights, 1_000_000_000, 4).n_workers == 1
    with pytest.raises(RunError, match=r"largest cluster .* 0.9 GB .* 0.8 GB are left"):
        divide_level(weights, 800_000_000, 4)
