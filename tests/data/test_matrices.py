import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from xmc_jax.data.matrices import check_features, check_labels, scale_rows
from xmc_jax.errors import InputError, Note

DENSE = np.array([[0.0, 1.5], [2.0, 0.0]])


@pytest.mark.parametrize(
    "matrix",
    [
        DENSE,
        DENSE.tolist(),
        sp.csc_matrix(DENSE),
        sp.coo_array(DENSE),
        sp.csr_matrix(DENSE.astype(int)),
    ],
)
def test_any_matrix_of_numbers_becomes_csr(matrix):
    result = check_features(matrix, "X")
    assert isinstance(result, sp.csr_matrix) and result.dtype == np.float32
    np.testing.assert_array_equal(result.toarray(), sp.csr_matrix(matrix).toarray())


def test_sorts_without_touching_the_given_matrix():
    given = sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2])), (1, 2))
    result = check_features(given, "X")
    assert result.indices.tolist() == [0, 1] and result.data.tolist() == [2.0, 1.0]
    assert given.indices.tolist() == [1, 0]


def test_clean_matrix_is_not_copied():
    given = sp.csr_matrix(DENSE.astype(np.float32))
    assert np.shares_memory(check_features(given, "X").data, given.data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_refuses_values_that_are_not_finite(value):
    with pytest.raises(InputError, match=r"X, row 2: the value of feature 1 is"):
        check_features(np.array([[1.0, 0.0], [0.0, value]]), "X")


def test_refuses_a_feature_twice_in_a_row_but_not_in_two_rows():
    twice = sp.csr_matrix(([1.0, 1.0, 1.0], [1, 1, 1], [0, 1, 3]), (2, 3))
    with pytest.raises(InputError, match="place 1: feature 1 is in the row twice"):
        check_features(twice, "X", lambda i: f"place {i}")
    across = sp.csr_matrix(([1.0, 1.0], [1, 1], [0, 1, 1, 2]), (3, 3))
    assert check_features(across, "X").nnz == 2


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([1.0, 2.0]), "1 dimension"),
        (np.array([["a"]]), "real numbers needed"),
        (np.array([[1 + 2j]]), "real numbers needed"),
        (np.array([[None]]), "real numbers needed"),
        (np.zeros((0, 3)), "no documents"),
    ],
)
@pytest.mark.parametrize("check", [check_features, check_labels])
def test_refuses_what_is_no_matrix_of_numbers(check, matrix, message):
    with pytest.raises(InputError, match=message):
        check(matrix, "X")


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix])
def test_refuses_ids_out_of_range(kind):
    matrix = kind(np.eye(3))
    matrix.indices[1] = 9
    with pytest.raises(InputError, match="not a valid sparse matrix"):
        check_features(matrix, "X")


def test_labels_become_ones():
    given = sp.csr_matrix(([3, 0, 1, 1], [2, 0, 1, 1], [0, 2, 4]), (2, 3))
    before = given.indices.copy()
    with pytest.warns(Note, match="Y: a matrix with values such as 3 given: every value above 0"):
        result = check_labels(given, "Y")
    np.testing.assert_array_equal(result.toarray(), [[0, 0, 1], [0, 1, 0]])
    assert result.nnz == 2 and result.dtype == np.float32
    np.testing.assert_array_equal(given.indices, before)
    assert given.nnz == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_refuses_label_values_that_say_nothing(value):
    with pytest.raises(InputError, match="Y, row 2: label 0 has the value"):
        check_labels(np.array([[1.0], [value]]), "Y")


def test_label_flags_are_labels():
    assert check_labels(np.array([[True, False]]), "Y").toarray().tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("norm", ["l1", "l2", "max", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_rows_are_scaled_as_by_scikit_learn(norm, dtype):
    rows = sp.random(40, 60, 0.2, format="csr", random_state=0)
    rows.data = (100 * (rows.data - 0.5)).astype(dtype)
    rows.data[::5] = 0
    rows.data[rows.indptr[3] : rows.indptr[4]] = 0  # a row of zeros stays
    before = rows.copy()
    got = scale_rows(rows, norm)
    want = rows if norm == "none" else normalize(rows, norm)
    np.testing.assert_array_equal(got.toarray(), want.toarray().astype(got.dtype))
    np.testing.assert_array_equal(rows.toarray(), before.toarray())
