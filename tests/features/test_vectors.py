import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.features.vectors import (
    as_features,
    check_width,
    concatenate,
    load_matrix,
    normalize_rows,
)

DENSE = np.array([[0, 1.5, 0], [2, 0, -3]])


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_every_sparse_format_becomes_canonical_csr(form, dtype):
    given = sp.coo_array(DENSE.astype(dtype)).asformat(form)
    features = as_features(given)
    assert features.sparse.format == "csr"
    assert features.sparse.dtype == np.float32
    assert features.sparse.has_canonical_format
    assert features.dense.shape == (2, 0)
    np.testing.assert_array_equal(features.sparse.toarray(), DENSE.astype(dtype))


def test_duplicates_are_added_and_zeros_dropped_in_a_copy():
    data, indices = np.array([1.0, 0.0, 2.0, 4.0], np.float32), np.array([2, 1, 0, 2])
    given = sp.csr_matrix((data, indices, [0, 3, 4]), shape=(2, 3))
    given = sp.csr_matrix((np.append(data, 8), np.append(indices, 2), [0, 3, 5]), shape=(2, 3))
    features = as_features(given)
    assert features.sparse.toarray().tolist() == [[2, 0, 1], [0, 0, 12]]
    assert features.sparse.nnz == 3
    assert given.data.tolist() == [1, 0, 2, 4, 8]
    assert given.indices.tolist() == [2, 1, 0, 2, 2]


def test_arrays_become_dense_columns():
    features = as_features(DENSE.tolist())
    assert features.dense.dtype == np.float32
    assert features.sparse.shape == (2, 0)
    np.testing.assert_array_equal(features.dense, DENSE)
    assert as_features(features) is features
    assert as_features(np.asfortranarray(DENSE)).dense.flags.c_contiguous


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_what_is_not_finite_is_named_by_row(bad, wrap):
    values = np.zeros((5, 4))
    values[0, 0], values[3, 2], values[4, 0] = 1, bad, bad
    with pytest.raises(InputError, match=r"row 3, column 2 of the features is"):
        as_features(wrap(values))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(3), r"shape \(3,\) given.*x\[None, :\]"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (sp.coo_array(np.ones(3)), r"shape \(3,\)"),
        ([["a", "b"]], "numbers needed"),
        ([[1.0], [2.0, 3.0]], "rows of different lengths"),
        (np.ones((2, 2), complex), "numbers needed"),
        (sp.csr_matrix(np.ones((2, 2), complex)), "numbers needed"),
        (None, "shape"),
    ],
)
def test_what_is_no_matrix_is_refused(x, message):
    with pytest.raises(InputError, match=message):
        as_features(x)


def test_a_damaged_matrix_is_refused():
    matrix = sp.csr_matrix(DENSE)
    matrix.indices[0] = 99
    with pytest.raises(InputError, match="damaged csr matrix"):
        as_features(matrix)


def test_sparse_beside_dense():
    features = concatenate(sp.csc_matrix(DENSE), np.ones((2, 4)))
    assert (features.n_rows, features.n_sparse, features.n_dense) == (2, 3, 4)
    with pytest.raises(InputError, match="2 rows of sparse and 3 rows of dense"):
        concatenate(sp.csr_matrix(DENSE), np.ones((3, 4)))
    with pytest.raises(InputError, match="ndarray, a scipy sparse matrix needed"):
        concatenate(DENSE, DENSE)


def test_width_must_be_that_of_training():
    features = as_features(sp.csr_matrix(DENSE))
    check_width(features, 3, 0)
    with pytest.raises(
        InputError, match=r"3 sparse and 0 dense .* trained on 4 sparse and 0 dense"
    ):
        check_width(features, 4, 0)
    with pytest.raises(
        InputError, match=r"3 sparse and 0 dense .* trained on 3 sparse and 8 dense"
    ):
        check_width(features, 3, 8)


def test_rows_are_normalised():
    x = np.array([[3, -4, 0], [0, 0, 0], [0, 0, 2], [1, 1, 1]], np.float32)
    length = np.sqrt((x**2).sum(1))
    expected = x / np.where(length > 0, length, 1)[:, None]
    for given in (x, sp.csr_matrix(x)):
        result = normalize_rows(given)
        assert result.dtype == np.float32
        result = result.toarray() if sp.issparse(result) else result
        np.testing.assert_allclose(result, expected, rtol=1e-6)
    zeros = normalize_rows(sp.csr_matrix((2, 3), dtype=np.float32))
    assert zeros.shape == (2, 3)


def test_matrices_are_read_from_files(tmp_path):
    sp.save_npz(tmp_path / "x.npz", sp.coo_matrix(DENSE))
    np.save(tmp_path / "x.npy", DENSE)
    assert load_matrix(tmp_path / "x.npz").toarray().tolist() == DENSE.tolist()
    assert load_matrix(str(tmp_path / "x.npy")).tolist() == DENSE.tolist()


def test_unreadable_files_are_named(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "arrays.npz", a=DENSE)
    np.save(tmp_path / "row.npy", DENSE[0])
    sp.save_npz(tmp_path / "whole.npz", sp.csr_matrix(DENSE))
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.csv").write_text("1,2")
    for name in (
        "object.npy",
        "arrays.npz",
        "row.npy",
        "cut.npz",
        "empty.npy",
        "text.csv",
        "none.npz",
    ):
        with pytest.raises(InputError, match=name):
            load_matrix(tmp_path / name)
