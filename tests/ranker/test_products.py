"""Products of the padded layout against SciPy's."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.ranker.solvers.primal.products import (
    fill_products,
    join_product_shapes,
    measure_products,
    multiply,
    pull,
)


def make_matrix(n_rows: int, seed: int) -> sp.csr_matrix:
    """Columns of 0 to n_rows rows: some of them need pieces of pieces."""
    rng = np.random.default_rng(seed)
    chance = np.append(np.geomspace(1, 2e-3, 40), 0.0)
    dense = (rng.random((n_rows, 41)) < chance) * rng.standard_normal((n_rows, 41))
    return sp.csr_matrix(dense.astype(np.float32))


@pytest.mark.parametrize("n_rows", [3, 700])
def test_products_equal_scipys(n_rows):
    matrices = [make_matrix(n_rows, 0), make_matrix(300, 1)]
    widths = (8, 20, 42)
    shape = join_product_shapes([measure_products(m, widths) for m in matrices])
    rng = np.random.default_rng(2)
    for a in matrices:
        products, row, column = fill_products(a, shape)
        v = rng.standard_normal((shape.n_features, 4)).astype(np.float32)
        r = np.zeros((shape.n_rows, 4), np.float32)
        r[row] = rng.standard_normal((a.shape[0], 4))
        np.testing.assert_allclose(
            multiply(products, jnp.asarray(v))[row], a @ v[column], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            pull(products, jnp.asarray(r))[column], a.T @ r[row], rtol=1e-4, atol=1e-4
        )
        squares = a.multiply(a).T @ r[row]
        np.testing.assert_allclose(
            pull(products, jnp.asarray(r), squared=True)[column], squares, rtol=1e-4, atol=1e-4
        )


def test_short_columns_need_no_pieces():
    shape = measure_products(sp.csr_matrix(np.eye(5, dtype=np.float32)), (2,))
    assert shape.long == () and shape.n_features == 5 and shape.n_rows == 5
