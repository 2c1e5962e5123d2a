"""Products of the padded layout against SciPy's."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.ranker.solvers.primal.layout import (
    fill_products,
    join_product_shapes,
    measure_products,
)
from xmc_jax.ranker.solvers.primal.products import join_tiles, multiply, pull


def make_matrix(n_rows: int, seed: int) -> sp.csr_matrix:
    """Columns of 0 to n_rows rows: some of them need pieces of pieces."""
    rng = np.random.default_rng(seed)
    chance = np.append(np.geomspace(1, 2e-3, 40), 0.0)
    dense = (rng.random((n_rows, 41)) < chance) * rng.standard_normal((n_rows, 41))
    return sp.csr_matrix(dense.astype(np.float32))


def lay_out(matrices: list[sp.csr_matrix]):
    """Returns the block-diagonal matrix of some units, and the units of its rows and columns."""
    units = np.arange(len(matrices))
    rows, columns = (np.repeat(units, [m.shape[axis] for m in matrices]) for axis in (0, 1))
    return sp.block_diag(matrices, "csr", np.float32), rows, columns


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("n_rows", [[3], [700], [300, 3, 700], [2, 0, 1500, 40]])
def test_products_equal_scipys(n_rows, tiled):
    calls = [lay_out([make_matrix(n, n) for n in n_rows]), lay_out([make_matrix(300, 1)])]
    widths = (8, 20, 42)
    shape = join_product_shapes([measure_products(*call, widths, tiled=tiled) for call in calls])
    assert shape.n_units >= len(n_rows) and (tiled or shape.n_tiles == len(n_rows))
    assert shape.is_tiled == (tiled and len(n_rows) > 1)
    rng = np.random.default_rng(2)
    for a, row_unit, column_unit in calls:
        products, row, column = fill_products(a, row_unit, column_unit, shape)
        v = rng.standard_normal((shape.n_tiles, shape.n_features, 4)).astype(np.float32)
        r = np.zeros((shape.n_tiles * shape.n_rows, 4), np.float32)
        r[row] = rng.standard_normal((a.shape[0], 4))

        def compare(found, place, expected, atol):
            flat = np.asarray(found).reshape(-1, 4)
            np.testing.assert_allclose(flat[place], expected, rtol=1e-4, atol=atol)

        compare(multiply(products, jnp.asarray(v)), row, a @ v.reshape(-1, 4)[column], 1e-5)
        rows = jnp.asarray(r.reshape(shape.n_tiles, -1, 4))
        compare(pull(products, rows), column, a.T @ r[row], 1e-4)
        compare(pull(products, rows, squared=True), column, a.multiply(a).T @ r[row], 1e-4)
        unit = row_unit if products.tiles is None else np.asarray(products.tiles.unit)
        sums = join_tiles(products, rows.sum(axis=1, keepdims=True))
        for tile in np.flatnonzero(unit < len(n_rows)) if products.tiles is not None else ():
            whole = r[row][row_unit == unit[tile]].sum(axis=0)
            np.testing.assert_allclose(sums[tile, 0], whole, atol=1e-4)


def test_tiles_hold_units_of_different_sizes_with_little_padding():
    whole, tiled = (
        measure_products(*lay_out([make_matrix(n, n) for n in (4000, 500, 60)]), (8, 42), tiled=t)
        for t in (False, True)
    )
    assert tiled.n_tiles * tiled.n_rows < 1.3 * 4560 < whole.n_tiles * whole.n_rows / 2
    assert all(n % 8 == 0 for n in (*tiled.rows, *tiled.columns, *tiled.long))


def test_short_columns_need_no_pieces():
    one = lay_out([sp.csr_matrix(np.eye(5, dtype=np.float32))])
    shape = measure_products(*one, (2,))
    assert shape.long == () and shape.n_features == 5 and shape.n_rows == 5
