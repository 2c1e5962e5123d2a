from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.errors import InputError
from xmc_jax.matcher import choose_layout
from xmc_jax.matcher.level import SLOTS
from xmc_jax.ops import lookup
from xmc_jax.parallel import Target


@pytest.mark.parametrize(
    ("n_nodes", "n_sparse", "max_children", "layout"),
    [
        (512, 30_000, 32, "table"),
        (513, 30_000, 32, "bitmaps"),
        (512, 100_000, 32, "bitmaps"),
        (16, 2_000_000, 16, "table"),
        (17, 2_000_000, 17, "bitmaps"),
        (20_000, 0, 512, "bitmaps"),
        (20_000, 30_000, 513, "slots"),
    ],
)
def test_layouts(n_nodes, n_sparse, max_children, layout):
    assert choose_layout(n_nodes, n_sparse, max_children) == layout


def test_a_tpu_gathers_whole_rows_where_they_fit():
    sizes = 20_000, 30_000, 77
    assert choose_layout(*sizes, 400_000, Target.named("v5e-1")) == "rows"
    assert choose_layout(*sizes, 40_000_000, Target.named("v5e-1")) == "bitmaps"
    for other in ("cpu", "h100"):
        assert choose_layout(*sizes, 400_000, Target.named(other)) == "bitmaps"


def test_rows_are_cut_into_parts(tools):
    made = tools.level("slots")
    slots = np.asarray(made.level.slots)
    children, values = slots[:, :SLOTS], slots[:, SLOTS:].view(np.float32)
    used = children != made.level.max_children
    assert used.sum() == np.count_nonzero(made.weights) and used[:, 0].all()
    assert np.isclose(values[used].sum(), made.weights.sum()) and not values[~used].any()
    parts = np.diff(made.level.first_parts)
    widest = np.count_nonzero(made.weights[:, 4:34], axis=1).max()
    assert parts.sum() == len(slots) and parts.max() == -(-widest // SLOTS)


@pytest.mark.parametrize("at_once", [5, 2**20])
def test_bitmaps_hold_a_bit_for_each_weight(tools, monkeypatch, at_once):
    monkeypatch.setattr("xmc_jax.matcher.level._MARKED_ENTRIES", at_once)
    level = tools.level("bitmaps", sizes=(3, 1, 40, 7)).level
    words = np.asarray(level.child_words).reshape(-1, level.n_words, 2)
    assert level.n_words == 2 and len(words) == level.n_rows + 1 and not words[-1].any()
    bits = np.bitwise_count(words[..., 0].view(np.uint32))
    assert bits.sum() == len(level.weights) - 1
    before = (np.cumsum(bits) - bits.ravel()).reshape(bits.shape)
    assert (words[..., 1] == before)[bits > 0].all()


def test_sizes(tools):
    made = tools.level("table")
    level = made.level
    assert (level.n_nodes, level.n_clusters, level.max_children) == (41, 4, 30)
    assert level.count_candidates(2) == 41 and tools.level("slots").level.count_candidates(2) == 60
    np.testing.assert_array_equal(level.cluster, np.repeat(np.arange(4), (3, 1, 30, 7)))
    np.testing.assert_array_equal(level.table[:-1], made.weights)
    assert not np.asarray(level.table[-1]).any()


def test_a_level_beyond_32_bits_is_refused(tools, monkeypatch):
    monkeypatch.setattr(lookup, "MOST_POSITIONS", 200)
    with pytest.raises(InputError, match=r"at most 200 on one device.*parallel\.label"):
        tools.level("bitmaps")
    tools.level("table")
