import numpy as np
import pytest

from xmc_jax.features.projection import make_projection


def test_it_never_changes():
    matrix = make_projection(3, 16, seed=7)
    assert matrix.indices.tolist() == [1, 7, 10, 14, 0, 6, 11, 12, 2, 5, 11, 14]
    assert (matrix.data * 2).tolist() == [
        1.0,
        -1.0,
        -1.0,
        1.0,
        1.0,
        -1.0,
        1.0,
        -1.0,
        -1.0,
        -1.0,
        1.0,
        -1.0,
    ]
    longer = make_projection(5, 16, seed=7)
    assert (longer[:3] != matrix).nnz == 0
    assert (make_projection(3, 16, seed=8) != matrix).nnz > 0


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 30, 512])
def test_rows_are_unit_vectors_in_range(width):
    matrix = make_projection(200, width, seed=0)
    assert matrix.shape == (200, width)
    assert matrix.has_canonical_format
    np.testing.assert_allclose((matrix.toarray() ** 2).sum(1), 1, rtol=1e-6)
    assert (np.diff(matrix.indptr) == min(width, 4)).all()


def test_columns_and_signs_are_even():
    matrix = make_projection(20000, 64, seed=1)
    hits = np.bincount(matrix.indices, minlength=64)
    assert abs(hits / hits.mean() - 1).max() < 0.15
    assert abs(np.sign(matrix.data).mean()) < 0.02


def test_inner_products_stay_within_the_bound():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1000)) * (rng.random((300, 1000)) < 0.05)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = x @ make_projection(1000, 256, seed=0).toarray()
    error = (y @ y.T - x @ x.T)[~np.eye(300, dtype=bool)]
    assert abs(error.mean()) < 0.002
    assert 0.5 / 16 < error.std() < 1.2 / 16  # 1/√256 for unit vectors that are nearly orthogonal
