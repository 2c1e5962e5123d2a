from __future__ import annotations

import jax
import numpy as np
import pytest

from xmc_jax.matcher import score_children
from xmc_jax.matcher.score import _choose_block, _choose_lanes, _scan
from xmc_jax.types import PAD

LAYOUTS = ["table", "bitmaps", "rows", "slots"]
score = jax.jit(score_children)


def expect(made, sparse, dense, row, cluster):
    """The margins by a dense product; -inf beyond a cluster's children."""
    every = sparse @ made.weights + dense @ made.dense.T + made.bias
    out = np.full((len(row), np.diff(made.offsets).max()), -np.inf)
    for i, (r, c) in enumerate(zip(row, cluster, strict=True)):
        if c != PAD:
            nodes = slice(made.offsets[c], made.offsets[c + 1])
            out[i, : nodes.stop - nodes.start] = every[r, nodes]
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dense", [0, 4])
def test_equals_a_dense_product(tools, layout, dense):
    made = tools.level(layout, dense=dense)
    sparse, ids, values, columns = tools.queries(9, 50, dense=dense)
    rng = np.random.default_rng(2)
    row, cluster = rng.integers(0, 9, 40), rng.integers(-1, 4, 40)
    found = score(made.level, ids, values, columns, row, cluster)
    np.testing.assert_allclose(
        found, expect(made, sparse, columns, row, cluster), rtol=1e-4, atol=1e-5
    )
    assert (np.asarray(found)[cluster == PAD] == -np.inf).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_of_all_features_and_an_empty_one(tools, layout):
    made = tools.level(layout, density=1.0)
    sparse, ids, values, columns = tools.queries(2, 64, density=1.0)
    ids[1], values[1] = PAD, 0
    sparse = sparse.toarray()
    sparse[1] = 0
    row, cluster = np.array([0, 0, 1, 1]), np.array([0, 2, 2, 3])
    found = score(made.level, ids, values, columns, row, cluster)
    np.testing.assert_allclose(
        found, expect(made, sparse, columns, row, cluster), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_level_without_weights_has_its_biases(tools, layout):
    made = tools.level(layout, density=0.0, dense=0)
    _, ids, values, columns = tools.queries(1, 8, dense=0, density=0.1)
    found = np.asarray(score(made.level, ids, values, columns, np.array([0]), np.array([1])))
    assert found[0, 0] == made.bias[3] and (found[0, 1:] == -np.inf).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_silenced_node_is_no_candidate(tools, layout):
    made = tools.level(layout)
    bias = made.level.bias.at[1].set(-np.inf)
    level = type(made.level)(**{**vars(made.level), "bias": bias})
    _, ids, values, columns = tools.queries(1, 50)
    found = np.asarray(score(level, ids, values, columns, np.array([0]), np.array([0])))
    assert np.isfinite(found[0, [0, 2]]).all() and found[0, 1] == -np.inf


def test_layouts_agree_for_many_pairs(tools):
    _, ids, values, columns = tools.queries(300, 50)
    row, cluster = np.repeat(np.arange(300), 4), np.tile(np.arange(4), 300)
    one, *others = (
        score(tools.level(layout).level, ids, values, columns, row, cluster) for layout in LAYOUTS
    )
    for other in others:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def test_few_pairs_run_on_the_calling_thread(tools):
    """XLA marks what it splits over threads in the program."""
    made = tools.level("bitmaps", n_sparse=9000, sizes=(200,) * 40, density=0.1)
    _, ids, values, columns = tools.queries(1, 64, n_sparse=9000, density=0.005)
    level = made.level
    assert level.child_words.nbytes > 2**19  # from here on XLA splits gathers
    arguments = level, ids, values, columns, np.zeros(10, np.int32), np.arange(10, dtype=np.int32)
    assert "outer_dimension_partitions" not in score.lower(*arguments).compile().as_text()


@pytest.mark.parametrize("n_pairs", [3, 100])
def test_long_queries_take_many_blocks(tools, n_pairs):
    made = tools.level("bitmaps", n_sparse=90, density=0.3)
    sparse, ids, values, columns = tools.queries(3, 90, n_sparse=90, density=0.9)
    row, cluster = np.arange(n_pairs) % 3, np.arange(n_pairs) % 4
    found = score(made.level, ids, values, columns, row, cluster)
    np.testing.assert_allclose(
        found, expect(made, sparse, columns, row, cluster), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("n", [1, 64, 65, 1000])
def test_scans(n):
    x = np.random.default_rng(n).integers(0, 9, n).astype(np.int32)
    lanes = jax.numpy.asarray(x)
    np.testing.assert_array_equal(_scan(lanes, jax.numpy.add, jax.numpy.cumsum), np.cumsum(x))
    running = _scan(lanes, jax.numpy.maximum, jax.lax.cummax)
    np.testing.assert_array_equal(running, np.maximum.accumulate(x))


@pytest.mark.parametrize(
    ("n_pairs", "n_slots", "block"), [(10, 256, 16), (10, 9, 9), (2560, 256, 8), (10**6, 256, 8)]
)
def test_blocks(n_pairs, n_slots, block):
    assert _choose_block(n_pairs, n_slots) == block


@pytest.mark.parametrize(
    ("n_pairs", "n_clusters", "lanes"), [(10, 256, 1), (256, 256, 1), (2560, 256, 8), (2560, 4, 16)]
)
def test_lanes(n_pairs, n_clusters, lanes):
    assert _choose_lanes(n_pairs, n_clusters) == lanes
