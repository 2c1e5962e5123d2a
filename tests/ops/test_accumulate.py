from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from xmc_jax.ops import accumulate, pack_rows, scatter_rows, select_top


def test_accumulate_is_the_sparse_product_and_scatter_its_transpose():
    rng = np.random.default_rng(0)
    matrix = sp.random(25, 40, 0.2, format="csr", dtype=np.float32, random_state=1)
    ids, values = (jnp.asarray(a) for a in pack_rows(matrix, 20, pad=0))
    table = rng.standard_normal((40, 6)).astype(np.float32)
    out = accumulate(ids, values, jnp.asarray(table))
    np.testing.assert_allclose(np.asarray(out), matrix @ table, rtol=1e-5, atol=1e-5)
    rows = rng.standard_normal((25, 6)).astype(np.float32)
    back = scatter_rows(jnp.zeros((40, 6)), ids, values, jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(back), matrix.T @ rows, rtol=1e-5, atol=1e-5)


def test_select_top_prefers_the_smaller_position_and_pads():
    scores = jnp.array([[1.0, 3.0, 3.0, 2.0]])
    values, positions = select_top(scores, 3)
    assert values.tolist() == [[3.0, 3.0, 2.0]] and positions.tolist() == [[1, 2, 3]]
    values, positions = select_top(scores, 6)
    assert values.shape == (1, 6) and values[0, 4] == -jnp.inf and positions[0, 5] == 3
