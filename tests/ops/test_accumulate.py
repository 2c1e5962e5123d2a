from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.ops import accumulate, pack_rows, scatter_rows, select_top, sort_rows


@pytest.mark.parametrize("width", [20, 32, 37])
def test_accumulate_is_the_sparse_product_and_scatter_its_transpose(width):
    rng = np.random.default_rng(0)
    matrix = sp.random(25, 40, 0.2, format="csr", dtype=np.float32, random_state=1)
    ids, values = (jnp.asarray(a) for a in pack_rows(matrix, width, pad=0))
    table = rng.standard_normal((40, 6)).astype(np.float32)
    out = accumulate(ids, values, jnp.asarray(table))
    np.testing.assert_allclose(np.asarray(out), matrix @ table, rtol=1e-5, atol=1e-5)
    for gathers in ("looped", "fused"):
        other = accumulate(ids, values, jnp.asarray(table), gathers)
        np.testing.assert_allclose(np.asarray(other), np.asarray(out), rtol=1e-5, atol=1e-5)
    rows = rng.standard_normal((25, 6)).astype(np.float32)
    back = scatter_rows(jnp.zeros((40, 6)), ids, values, jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(back), matrix.T @ rows, rtol=1e-5, atol=1e-5)


def test_short_and_long_rows_are_sorted_alike():
    rng = np.random.default_rng(3)
    for n in (7, 50, 130):
        first, second = rng.integers(0, 4, (5, n)), rng.integers(-3, 3, (5, n))
        score = np.where(second == 0, -np.inf, second).astype(np.float32)
        for n_keys in (1, 2):
            a, b = sort_rows((jnp.asarray(first), jnp.asarray(score)), n_keys)
            for i in range(5):
                keys = (first[i],) if n_keys == 1 else (score[i], first[i])
                order = np.lexsort(keys)
                assert a[i].tolist() == first[i, order].tolist()
                assert b[i].tolist() == score[i, order].tolist()


def test_select_top_prefers_the_smaller_position_and_pads():
    scores = jnp.array([[1.0, 3.0, 3.0, 2.0]])
    values, positions = select_top(scores, 3)
    assert values.tolist() == [[3.0, 3.0, 2.0]] and positions.tolist() == [[1, 2, 3]]
    values, positions = select_top(scores, 6)
    assert values.shape == (1, 6) and values[0, 4] == -jnp.inf and positions[0, 5] == 3
