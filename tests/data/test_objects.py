"""Tables, columns, tensors and arrays of other libraries through `fit`'s and `predict`'s readers."""

from __future__ import annotations

from collections import Counter

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from xmc_jax.data import TextStore
from xmc_jax.data.objects import as_documents, as_labels
from xmc_jax.errors import InputError, Note
from xmc_jax.frames import unwrap
from xmc_jax.linear.sources import read_documents, read_label_matrix, read_truth

TEXTS = ["red apple", "green pear", "blue plum"]
NUMBERS = [[1.0, 0.0], [0.5, 2.0], [0.0, 3.0]]
LISTS = [["x", "y"], [], ["y"]]


class Tensor:
    """What torch offers, without torch."""

    def __init__(self, values, dtype="torch.float32"):
        self._values, self.dtype, self.layout, self.is_sparse = (
            np.asarray(values),
            dtype,
            "torch.strided",
            False,
        )
        self.shape, self.ndim = self._values.shape, self._values.ndim

    def detach(self):
        return Tensor(self._values, self.dtype)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self._values.astype(np.float32))

    def tolist(self):
        return self._values.tolist()

    def __array__(self, dtype=None, copy=None):
        if "bfloat16" in self.dtype:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._values


class OnlyPacked:
    """What offers DLPack and nothing else."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def __dlpack__(self, **more):
        return self._values.__dlpack__(**more)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


def texts_of(x):
    texts, features = read_documents(x, None)
    assert features is None
    return list(texts)


def numbers_of(x):
    texts, features = read_documents(x, None)
    assert texts is None
    return (features.dense if features.n_dense else features.sparse.toarray()).tolist()


def names_of(labels, **options):
    matrix, names = read_label_matrix(labels, options.get("names"))
    return [{j if names is None else names[j] for j in row.indices.tolist()} for row in matrix]


COLUMNS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "generator": (t for t in TEXTS),
    "store": TextStore.from_texts(TEXTS),
    "array": np.array(TEXTS),
    "array of objects": np.array(TEXTS, object),
    "array of one column": np.array(TEXTS, object)[:, None],
    "array of bytes": np.array([t.encode() for t in TEXTS]),
    "array of NumPy's strings": np.array(TEXTS, np.dtypes.StringDType()),
    "pandas frame": pd.DataFrame({"text": TEXTS}),
    "pandas series": pd.Series(TEXTS, index=[7, 3, 5]),
    "pandas series of Arrow": pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
    "pandas categories": pd.Series(TEXTS, dtype="category"),
    "pandas index": pd.Index(TEXTS),
    "polars frame": pl.DataFrame({"text": TEXTS}),
    "polars lazy frame": pl.DataFrame({"text": TEXTS}).lazy(),
    "polars series": pl.Series(TEXTS),
    "Arrow array": pa.array(TEXTS),
    "Arrow chunks": pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    "Arrow table": pa.table({"text": TEXTS}),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_texts(kind):
    assert texts_of(COLUMNS[kind]) == TEXTS


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_one_column_of_strings_is_taken_and_told_several_are_refused(make):
    with pytest.warns(Note, match="texts from the column 'text'; not used: 'id'"):
        assert texts_of(make({"id": [1, 2, 3], "text": TEXTS})) == TEXTS
    with pytest.raises(
        InputError, match=r"several columns of strings given: 'a', 'b'; give one, such as df\['a'\]"
    ):
        read_documents(make({"a": TEXTS, "b": TEXTS}), None)


def test_a_data_set_of_the_hub_s_library():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": TEXTS, "labels": LISTS})
    assert texts_of(table["text"]) == TEXTS
    assert texts_of(table.select_columns("text")) == TEXTS
    assert names_of(table["labels"]) == [set(row) for row in LISTS]


MATRICES = {
    "array": np.array(NUMBERS),
    "lists": NUMBERS,
    "array of objects": np.array(NUMBERS, object),
    "rows of arrays": [np.array(row) for row in NUMBERS],
    "series of vectors": pd.Series([np.array(row) for row in NUMBERS]),
    "column of lists": pl.Series(NUMBERS),
    "pandas frame": pd.DataFrame(NUMBERS, columns=["a", "b"]),
    "pandas frame of nullable numbers": pd.DataFrame(NUMBERS).astype("Float64"),
    "polars frame": pl.DataFrame({"a": [r[0] for r in NUMBERS], "b": [r[1] for r in NUMBERS]}),
    "Arrow table": pa.table({"a": [r[0] for r in NUMBERS], "b": [r[1] for r in NUMBERS]}),
    "JAX": jnp.array(NUMBERS),
    "JAX, 16 bits": jnp.array(NUMBERS, jnp.bfloat16),
    "torch": Tensor(NUMBERS),
    "torch, 16 bits": Tensor(NUMBERS, "torch.bfloat16"),
    "rows of tensors": [Tensor(row) for row in NUMBERS],
    "DLPack": OnlyPacked(NUMBERS),
    "sparse": sp.csr_matrix(NUMBERS),
    "sparse array": sp.coo_array(NUMBERS),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_features(kind):
    assert numbers_of(MATRICES[kind]) == NUMBERS


BITS = [[1, 1], [0, 0], [0, 1]]
LABELS = {
    "lists": LISTS,
    "generator": (row for row in LISTS),
    "array of lists": np.array([*LISTS, None], object)[:3],
    "lists of lists": [[[name] for name in row] for row in LISTS],
    "polars lists, lazy": pl.LazyFrame({"labels": LISTS}),
    "series of lists": pd.Series(LISTS, index=[2, 0, 1]),
    "series of arrays": pd.Series([np.array(row, object) for row in LISTS]),
    "frame of lists": pd.DataFrame({"labels": LISTS}),
    "polars lists": pl.Series(LISTS),
    "Arrow lists": pa.array(LISTS),
    "rows of an array, with gaps": np.array([["x", "y"], [None, None], ["y", None]], object),
    "named zeros and ones, pandas": pd.DataFrame(BITS, columns=["x", "y"]),
    "named booleans": pd.DataFrame(np.array(BITS, bool), columns=["x", "y"]),
    "named zeros and ones, polars": pl.DataFrame({"x": [1, 0, 0], "y": [1, 0, 1]}),
    "named zeros and ones, Arrow": pa.table({"x": [1, 0, 0], "y": [1, 0, 1]}),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels(kind):
    assert names_of(LABELS[kind]) == [set(row) for row in LISTS]


@pytest.mark.parametrize(
    "bits",
    [
        BITS,
        np.array(BITS),
        np.array(BITS, object),
        jnp.array(BITS),
        Tensor(BITS),
        sp.csr_matrix(BITS),
        [np.array(r) for r in BITS],
    ],
)
def test_zeros_and_ones_are_a_matrix(bits):
    assert names_of(bits) == [{0, 1}, set(), {1}]
    assert names_of(bits, names=["x", "y"]) == [{"x", "y"}, set(), {"y"}]


@pytest.mark.parametrize(
    "labels",
    [["x", "y", "x"], np.array(["x", "y", "x"]), pd.Series(["x", "y", "x"], dtype="category")],
)
def test_one_label_each_is_told(labels):
    with pytest.warns(Note, match="labels: one label per document, such as 'x'"):
        assert names_of(labels) == [{"x"}, {"y"}, {"x"}]


def test_strings_of_several_labels_are_cut_and_told():
    with pytest.warns(Note, match=r"labels: separated by ';' \(1 of 2 cells, such as 'x; y': 2\)"):
        assert names_of(pd.Series(["x; y", "y"])) == [{"x", "y"}, {"y"}]
    with pytest.warns(Note, match="printed as lists"):
        assert names_of(["['x', 'y']", "[]"]) == [{"x", "y"}, set()]


@pytest.mark.parametrize(
    "labels",
    [
        [3, 11, 3],
        np.array([3, 11, 3]),
        pd.Series([3, 11, 3]),
        Tensor([3, 11, 3]),
        [[3], [11], [3]],
        np.array([[3], [11], [3]]),
    ],
)
def test_numbers_of_classes_are_names_and_told(labels):
    with pytest.warns(Note, match="numbers are named by their digits, such as '11'"):
        assert names_of(labels) == [{"3"}, {"11"}, {"3"}]


def test_missing_labels_are_none():
    with pytest.warns(Note, match="1 blank labels are left out"):
        assert names_of(pd.Series([["x", None], None, ["y"]])) == [{"x"}, set(), {"y"}]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("x", "a list with a list of names"),
        ({"x": [1]}, "a list with a list of names"),
        (
            pd.DataFrame({"a": ["x"], "b": ["y"]}),
            "the columns 'a', 'b' given, which are not all zeros and ones",
        ),
        (pd.DataFrame([[0, 1]], columns=["a", "a"]), "two columns of the table have one name"),
        ([["a"], "b"], r"labels\[1\]: the labels are the string 'b'"),
        ([0.5, 1.5], r"labels\[0\]: the label 0\.5"),
        (np.zeros((2, 2, 2)), "dimension"),
    ],
)
def test_what_is_no_labels(labels, message):
    with pytest.raises(InputError, match=message):
        read_label_matrix(labels, None)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("one text", "one string given"),
        ({"text": TEXTS}, "a list of strings needed"),
        (np.array([["a", "b"]]), r"an array of strings of shape \(1, 2\)"),
        (pd.DataFrame({"n": [1.0, None]}), "finite"),
        (pd.Series(["a", None]), r"texts\[1\]: the text is None"),
        (pd.Series([1, 2]), "two dimensions"),
        ([[1.0], [1.0, 2.0]], "rows of 1 and 2 numbers"),
        (pd.DataFrame(), "a table without columns"),
    ],
)
def test_what_is_no_documents(x, message):
    with pytest.raises(InputError, match=message):
        read_documents(x, None)


def test_truth_moves_to_the_columns_of_training():
    table = pd.DataFrame({"y": [1, 0], "x": [0, 1]})
    assert read_truth(table, ["x", "y", "z"], 3, "truth").toarray().tolist() == [
        [0, 1, 0],
        [1, 0, 0],
    ]


def test_unknown_objects_are_left_as_they_are():
    thing = object()
    assert unwrap(thing) is thing


def test_labels_that_are_nearly_the_same_are_told():
    with pytest.warns(
        Note,
        match="2 pairs of labels differ only in Unicode form or case|only in case or Unicode form",
    ):
        names_of([["Beer", "caf\u00e9"], ["beer"], ["cafe\u0301"]])


@pytest.mark.parametrize(
    "labels",
    [
        [{"x": 1, "y": 1}, {}, {"x": 0, "y": True}],
        [Counter(row) for row in LISTS],
        pl.DataFrame({"cats": [{"x": 1, "y": 1}, {"x": 0, "y": 0}, {"x": 0, "y": 1}]}),
        pd.Series([{"x": 1.0, "y": 1.0}, None, {"x": None, "y": 1.0}]),
    ],
)
def test_names_with_zeros_and_ones(labels):
    with pytest.warns(Note, match="names with zeros and ones"):
        assert names_of(labels) == [set(row) for row in LISTS]
    with pytest.raises(InputError, match=r"labels\[0\]: the labels are \{'x': 0\.5"):
        names_of([{"x": 0.5, "y": 1}])


def test_an_open_file_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("red apple\n")
    for read in (as_documents, as_labels):
        for mode in ("r", "rb"):
            refused = pytest.raises(InputError, match="an open file given")
            with open(tmp_path / "a.txt", mode) as file, refused:
                read(file)


def test_what_has_no_order_or_is_masked_is_refused():
    for read in (as_documents, as_labels):
        with pytest.raises(InputError, match="a set given, whose items have no order"):
            read({"a", "b"})
        with pytest.raises(InputError, match="masked numbers given; fill them"):
            read(np.ma.masked_array(np.eye(2), mask=np.eye(2)))
    whole = np.ma.masked_array(np.eye(2), mask=np.zeros((2, 2)))
    np.testing.assert_array_equal(as_documents(whole), np.eye(2))
