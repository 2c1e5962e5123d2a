"""The layouts hold every row once, and no lane shares a unit with another."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmc_jax.ranker.problem import cut_chunk, lay_signs, list_units, pose_level
from xmc_jax.ranker.solvers.dual.lanes import (
    BLOCK,
    GROUP,
    assign_lanes,
    choose_lanes,
    fill_lanes,
    measure_lanes,
)
from xmc_jax.ranker.solvers.gram.blocks import fill_blocks, measure_blocks
from xmc_jax.types import Features


def make_problem(seed=0):
    rng = np.random.default_rng(seed)
    x = sp.random(200, 70, 0.1, format="csr", dtype=np.float32, random_state=seed)
    offsets = np.array([0, 3, 9, 10])
    parent = np.repeat(np.arange(3), np.diff(offsets))
    labels = sp.csr_matrix((rng.random((200, 10)) < 0.08).astype(np.float32))
    mask = sp.csr_matrix((rng.random((200, 3)) < 0.4).astype(np.float32))
    features = Features(x, rng.standard_normal((200, 2)).astype(np.float32))
    return pose_level(features, mask, labels, parent, offsets), mask, labels, parent


def test_rows_are_the_mask_and_the_positives():
    problem, mask, labels, parent = make_problem()
    cluster = np.repeat(np.arange(3), np.diff(problem.row_offsets))
    above = labels @ sp.csr_matrix((np.ones(10), (np.arange(10), parent)), (10, 3))
    wanted = ((mask + above) > 0).toarray()
    found = np.zeros_like(wanted)
    found[problem.row_instance, cluster] = True
    np.testing.assert_array_equal(found, wanted)
    signs, weights = lay_signs(problem, cut_chunk(problem, list_units(problem), 1.0), 6)
    assert weights is None
    for r in range(len(signs)):
        i, c = problem.row_instance[r], cluster[r]
        for k in range(6):
            node = problem.child_offsets[c] + k
            if node >= problem.child_offsets[c + 1]:
                expected = 0
            elif labels[i, node]:
                expected = 1
            else:
                expected = -1 if mask[i, c] else 0
            assert signs[r, k] == expected


def test_a_positive_of_relevance_0_is_neither_positive_nor_negative():
    plain, mask, labels, parent = make_problem()
    relevance = labels.copy()
    relevance.data[::3] = 0.0
    relevance.eliminate_zeros()
    problem = pose_level(plain.features, mask, labels, parent, plain.child_offsets, relevance)
    units = list_units(problem)
    before, _ = lay_signs(plain, cut_chunk(plain, units, 1.0), 6)
    signs, weights = lay_signs(problem, cut_chunk(problem, units, 1.0), 6)
    np.testing.assert_array_equal(signs == -1, before == -1)
    assert (signs == 1).sum() == relevance.nnz
    assert ((signs == 0) & (before == 1)).sum() == labels.nnz - relevance.nnz
    assert (weights[signs != 0] == 1).all()


def test_lanes_hold_each_row_once_and_whole_units():
    problem, *_ = make_problem()
    chunk = cut_chunk(problem, list_units(problem), 0.5)
    shape = measure_lanes(chunk, 2)
    lanes = fill_lanes(problem, chunk, shape, np.random.default_rng(0))
    dense = chunk.slots.toarray()
    step = np.repeat(np.arange(shape.n_steps), np.diff(lanes.bounds))
    flat = np.zeros((*lanes.signs.shape[:3], shape.n_features), np.float32)
    at = (step[:, None, None, None], *np.indices(lanes.ids.shape)[1:3])
    np.add.at(flat, (*at, lanes.ids[: len(step)]), lanes.values[: len(step)])
    lane_of_feature = {}
    for _, g, _, f in np.argwhere(flat != 0):
        assert lane_of_feature.setdefault(int(f), int(g)) == g
    stored = flat[(lanes.signs != 0).any(axis=-1)][:, : dense.shape[1]]
    assert stored.shape == dense.shape
    order, wanted = np.lexsort(stored.T), np.lexsort(dense.T)
    np.testing.assert_array_equal(stored[order], dense[wanted])


def test_lanes_are_about_as_long_as_the_largest_unit_at_least():
    sizes = np.array([1000, 30, 20, 500, 480, 10])
    n_lanes = choose_lanes([sizes], 64)
    assert n_lanes == 2
    assert np.bincount(assign_lanes(sizes, n_lanes), sizes).max() <= 1040
    assert choose_lanes([np.full(1000, 5)], 64) > 16


def test_a_step_has_the_groups_of_its_longest_row():
    problem, *_ = make_problem()
    chunk = cut_chunk(problem, list_units(problem), 0.5)
    shape = measure_lanes(chunk, 1)
    assert shape.n_steps == -(-chunk.slots.shape[0] // BLOCK)
    lengths = -np.sort(-np.diff(chunk.slots.indptr))
    assert shape.n_groups == (-(-lengths[::BLOCK] // GROUP)).sum()


def test_blocks_hold_the_rows_and_their_transpose():
    problem, *_ = make_problem()
    chunk = cut_chunk(problem, list_units(problem), 1.0)
    shape = measure_blocks(chunk)
    blocks = fill_blocks(problem, chunk, problem.features.dense, shape)
    rows, features = shape.n_units * shape.n_rows, shape.n_units * shape.n_features
    a = np.zeros((rows, features), np.float32)
    np.add.at(a, (np.arange(rows)[:, None], blocks.ids), blocks.values)
    b = np.zeros((features + 1, rows), np.float32)
    np.add.at(b, (blocks.segment_feature[:, None], blocks.segment_rows), blocks.segment_values)
    np.testing.assert_array_equal(a, b[:-1].T)
    used = (blocks.signs != 0).any(axis=-1).reshape(-1)
    np.testing.assert_allclose(a[used].sum(), chunk.slots.sum(), rtol=1e-5)
