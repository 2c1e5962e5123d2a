import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.data.labels import (
    LabelRows,
    check_name,
    labels_from_names,
    labels_to_csr,
    map_columns,
    read_labels,
    write_labels,
)
from xmc_jax.errors import InputError


def test_names_become_sorted_columns():
    labels, names = labels_from_names([["b", "a"], [], ["c", "b", "b"]])
    assert names == ["a", "b", "c"]
    assert isinstance(labels, sp.csr_matrix) and labels.dtype == np.float32
    np.testing.assert_array_equal(labels.toarray(), [[1, 1, 0], [0, 0, 0], [0, 1, 1]])
    assert labels.has_canonical_format


def test_one_document_one_label():
    labels, names = labels_from_names([["only"]])
    assert names == ["only"] and labels.toarray().tolist() == [[1.0]]


def test_rows_may_be_other_containers():
    labels, names = labels_from_names([("b",), {"a"}, frozenset("c"), np.array(["a", "c"])])
    assert names == ["a", "b", "c"]
    np.testing.assert_array_equal(
        labels.sum(1).A1 if hasattr(labels, "A1") else labels.sum(1), [[1], [1], [1], [2]]
    )
    assert all(type(name) is str for name in names)


def test_unknown_names_are_dropped_and_counted_once_a_document():
    labels, n_unknown = labels_to_csr([["x", "a", "x"], ["b", "y"], ["x"]], ["b", "a"])
    np.testing.assert_array_equal(labels.toarray(), [[0, 1], [1, 0], [0, 0]])
    assert n_unknown == 3


def test_any_script_and_spaces_are_names():
    names = ["日本", "ελ ληνικά", "עברית", "a\tb", "é", "e\u0301"]
    assert labels_from_names([[*names, " padded\u00a0"]])[1] == sorted([*names, "padded"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("abc", "a list with a list of names for each document"),
        (3, "a list with a list of names"),
        ([["a"], "bc"], r"labels\[1\]: the labels are the string 'bc', a list of strings needed"),
        ([["a"], 5], r"labels\[1\]: the labels are 5"),
        ([None], r"labels\[0\]: the labels are None"),
        ([["a", 5.5]], r"labels\[0\]: the label 5.5 is not a string; write names, such as '5.5'"),
        ([[["a"]]], r"labels\[0\]: the label \['a'\] is not a string"),
        ([[""], ["\t "]], "no document has a label"),
        ([["a\nb"]], "holds a line break"),
        ([["a\rb"]], "holds a line break"),
        ([["\udc00"]], "half a surrogate pair"),
        ([], "the list is empty"),
        ([[], []], "no document has a label"),
    ],
)
def test_refuses_what_is_no_list_of_names(rows, message):
    with pytest.raises(InputError, match=message):
        labels_from_names(rows)


def test_refuses_vocabulary_with_a_name_twice():
    with pytest.raises(InputError, match="a name twice"):
        labels_to_csr([["a"]], ["a", "b", "a"])


def test_allowed_names_only():
    rows = LabelRows(allowed={"a"})
    rows.add(["a"])
    with pytest.raises(ValueError, match=r"'b' is not in labels\.txt"):
        rows.add(["b"])


def test_check_name_gives_the_name_back():
    assert check_name("a b") == "a b"


@pytest.mark.parametrize("names", [["b", "a", " c "], ["\ufeffmarked", "x"], ["日本"]])
def test_file_round_trip(tmp_path, names):
    write_labels(tmp_path / "labels.txt", names)
    assert read_labels(tmp_path / "labels.txt") == names


def test_reads_byte_order_mark_line_ends_and_blank_end(tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfb\r\na\r\n\r\n\n")
    assert read_labels(tmp_path / "labels.txt") == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", r"labels\.txt:3: the label 'a' is already on line 1"),
        ("a\n\nb\n", r"labels\.txt:2: the label is empty"),
        ("\n\n", "holds no labels"),
        ("", "holds no labels"),
    ],
)
def test_refuses_faulty_files(tmp_path, text, message):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b\n"], ["", "b"]])
def test_refuses_to_write_what_cannot_be_read(tmp_path, names):
    with pytest.raises(InputError):
        write_labels(tmp_path / "labels.txt", names)
    assert not list(tmp_path.iterdir())


def test_columns_move_by_name():
    labels = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 1]], np.float32))
    moved, n_unknown = map_columns(labels, ["a", "b", "c"], ["c", "x", "a"])
    np.testing.assert_array_equal(moved.toarray(), [[0, 0, 1], [1, 0, 0]])
    assert n_unknown == {"b": 2} and moved.dtype == np.float32
    assert map_columns(labels, ["a", "b", "c"], ("a", "b", "c"))[0] is labels
