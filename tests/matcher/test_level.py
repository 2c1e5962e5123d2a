from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.matcher import choose_layout
from xmc_jax.matcher.level import SLOTS


@pytest.mark.parametrize(
    ("n_nodes", "n_sparse", "layout"),
    [
        (512, 30_000, "table"),
        (513, 30_000, "rows"),
        (512, 100_000, "rows"),
        (16, 2_000_000, "table"),
        (17, 2_000_000, "rows"),
        (20_000, 0, "rows"),
    ],
)
def test_layouts(n_nodes, n_sparse, layout):
    assert choose_layout(n_nodes, n_sparse) == layout


def test_rows_are_cut_into_parts(tools):
    made = tools.level("rows")
    slots = np.asarray(made.level.slots)
    children, values = slots[:, :SLOTS], slots[:, SLOTS:].view(np.float32)
    used = children != made.level.max_children
    assert used.sum() == np.count_nonzero(made.weights) and used[:, 0].all()
    assert np.isclose(values[used].sum(), made.weights.sum()) and not values[~used].any()
    parts = np.asarray(made.level.row_parts)
    widest = np.count_nonzero(made.weights[:, 4:34], axis=1).max()
    assert parts.sum() == len(parts) and parts.max() == -(-widest // SLOTS)


def test_sizes(tools):
    made = tools.level("table")
    level = made.level
    assert (level.n_nodes, level.n_clusters, level.max_children) == (41, 4, 30)
    np.testing.assert_array_equal(level.table[:-1], made.weights)
    assert not np.asarray(level.table[-1]).any()
