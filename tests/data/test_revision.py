"""A training set that changes: what comes, is corrected, goes and is renamed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.data import Labelled, labels_from_names, revise
from xmc_jax.errors import InputError, Note

KNOWN = [("a", ["x", "y"]), ("b", ["y"]), ("c", ["z"]), ("b", ["y"])]


def make(rows):
    matrix, names = labels_from_names([labels for _, labels in rows])
    return Labelled([text for text, _ in rows], matrix, names)


def read(revision):
    rows = zip(revision.labels.indptr[:-1], revision.labels.indptr[1:], strict=True)
    return [{revision.names[i] for i in revision.labels.indices[a:b]} for a, b in rows]


def test_new_documents_and_labels_stand_behind_those_that_were_known():
    found = revise(make(KNOWN), make([("d", ["w", "z"])]))
    assert found.names == ["x", "y", "z", "w"]
    np.testing.assert_array_equal(found.label_origin, [0, 1, 2, -1])
    assert read(found) == [{"x", "y"}, {"y"}, {"z"}, {"y"}, {"w", "z"}]
    np.testing.assert_array_equal(found.added, [0])
    assert not found.n_corrected


def test_a_known_text_is_corrected_wherever_it_stands():
    with pytest.warns(Note, match="already known: 3, of which 2 have other labels"):
        found = revise(make(KNOWN), make([("b", ["x"]), ("b", ["z"]), ("c", ["z"])]))
    assert read(found) == [{"x", "y"}, {"z"}, {"z"}, {"z"}]  # the last counts
    assert found.n_corrected == 2 and not len(found.added)
    found = revise(make(KNOWN), make([("b", ["x"])]), same="add")
    assert read(found)[1:] == [{"y"}, {"z"}, {"y"}, {"x"}]


def test_labels_are_retired_and_renamed():
    with pytest.warns(Note):
        found = revise(
            make(KNOWN),
            make([("d", ["x", "z"]), ("e", ["zeta", "w"])]),
            retire=["x"],
            rename={"z": "zeta"},
        )
    assert found.names == ["y", "zeta", "w"]
    np.testing.assert_array_equal(found.label_origin, [1, 2, -1])
    assert read(found) == [{"y"}, {"y"}, {"zeta"}, {"y"}, {"zeta"}, {"zeta", "w"}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retire": ["nobody"]}, "'nobody' to retire is unknown; a name"),
        ({"retire": "x"}, r"give \['x'\]"),
        ({"retire": [0]}, "label 0 to retire given, a name needed"),
        ({"retire": ["x", "y", "z"]}, "every label would be retired"),
        ({"rename": {"nobody": "w"}}, "'nobody' to rename is unknown"),
        ({"rename": {"x": "y"}}, "two labels would be named 'y'"),
        ({"rename": {"x": "two\nlines"}}, "line break"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        revise(make(KNOWN), None, **options)


def test_columns_without_names():
    matrix = make(KNOWN).labels
    known = Labelled([text for text, _ in KNOWN], matrix, None)
    more = sp.csr_matrix(np.array([[0, 0, 1, 0, 1]], np.float32))
    found = revise(known, Labelled(["new"], more, None), retire=[0])
    np.testing.assert_array_equal(found.label_origin, [1, 2, -1, -1])
    assert found.names is None and found.labels.shape == (5, 4)
    with pytest.raises(InputError, match="labels of 2 columns given, 3"):
        revise(known, Labelled(["new"], more[:, :2], None))
    with pytest.raises(InputError, match="have no names"):
        revise(known, None, rename={"0": "zero"})
    with pytest.raises(InputError, match="given by name"):
        revise(known, make([("d", ["w"])]))
