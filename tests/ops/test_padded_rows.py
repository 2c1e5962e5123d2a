from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.ops import choose_widths, concatenate_ranges, pack_rows, round_up


def test_concatenate_ranges_is_the_ranges_one_after_the_other():
    out = concatenate_ranges(np.array([5, 0, 9, 2]), np.array([2, 0, 1, 3]))
    assert out.tolist() == [5, 6, 9, 2, 3, 4]
    assert concatenate_ranges(np.zeros(0), np.zeros(0)).tolist() == []


@pytest.mark.parametrize("steps", [8, 16])
def test_round_up_is_coarse_and_never_more_than_one_step_above(steps):
    sizes = [round_up(n, steps) for n in range(1, 5000)]
    assert all(s >= n for n, s in enumerate(sizes, 1))
    assert all(s <= n * (1 + 2 / steps) + 1 for n, s in enumerate(sizes, 1))
    assert len(set(sizes)) <= steps * 12


def test_widths_hold_every_row_and_beat_one_width():
    lengths = np.concatenate([np.full(1000, 7), np.full(50, 40), [900]])
    widths = choose_widths(lengths, 3)
    assert widths == sorted(widths) and widths[-1] >= 900 and len(widths) <= 3
    stored = np.array(widths)[np.searchsorted(widths, lengths)].sum()
    assert stored < 0.05 * 900 * len(lengths)


def test_widths_of_nothing():
    assert choose_widths(np.zeros(0, int), 3) == [2]


def test_packed_rows_are_the_rows():
    matrix = sp.random(20, 30, 0.2, format="csr", dtype=np.float32, random_state=0)
    ids, values = pack_rows(matrix, 16, pad=30)
    dense = np.zeros((20, 31), np.float32)
    np.put_along_axis(dense, ids, values, axis=1)
    np.testing.assert_array_equal(dense[:, :30], matrix.toarray())
    assert (values[ids == 30] == 0).all()
