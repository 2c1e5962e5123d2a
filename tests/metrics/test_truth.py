"""Predictions and labels in every form: read the same, hits marked, wrong ones refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax import metrics
from xmc_jax.errors import InputError
from xmc_jax.metrics import truth

# Three documents, five labels: two hits of three true labels; a miss; no true label at all.
IDS = np.array([[2, 0, 4], [1, 3, -1], [0, 1, 2]], np.int32)
LABELS = sp.csr_matrix(np.array([[0, 0, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]))


def test_hits():
    want = [[True, False, True], [False, False, False], [False, False, False]]
    np.testing.assert_array_equal(metrics.find_hits(IDS, LABELS), want)


def test_rows_are_independent():
    rng = np.random.default_rng(6)
    ids = np.argsort(rng.random((40, 30)), axis=1)[:, :8]
    labels = sp.csr_matrix(rng.random((40, 30)) < 0.2)
    rows = [metrics.find_hits(ids[i : i + 1], labels[i : i + 1])[0] for i in range(len(ids))]
    np.testing.assert_array_equal(metrics.find_hits(ids, labels), rows)


def test_counts_stored_zeros_and_duplicates_in_labels():
    entries = ([4.0, 0.0, 1.0, 1.0], [2, 0, 4, 4], [0, 4, 4, 4])
    labels = sp.csr_matrix(entries, shape=(3, 5))
    before = labels.copy()
    np.testing.assert_array_equal(metrics.find_hits(IDS, labels)[0], [True, False, True])
    np.testing.assert_array_equal(np.diff(truth.as_truth(labels).indptr), [2, 0, 0])
    for name in ("data", "indices", "indptr"):  # the caller's matrix is left as it was
        np.testing.assert_array_equal(getattr(labels, name), getattr(before, name))


def test_scores_are_ranked_and_ties_go_to_the_smaller_id():
    scores = sp.csr_matrix(
        ([0.5, -1.0, 0.5, 0.0, 2.0], [4, 0, 1, 3, 2], [0, 4, 4, 5]), shape=(3, 5)
    )
    want = [[1, 4, 3, 0], [-1, -1, -1, -1], [2, -1, -1, -1]]
    np.testing.assert_array_equal(metrics.top_entries(scores, 10)[0], want)
    np.testing.assert_array_equal(metrics.top_entries(scores, 2)[0], np.array(want)[:, :2])
    by_scores = metrics.evaluate(scores, LABELS, k=(1, 3))
    assert by_scores == metrics.evaluate(np.array(want), LABELS, k=(1, 3))
    with pytest.raises(InputError, match="nan"):
        metrics.top_entries(sp.csr_matrix([[np.nan, 1.0]]), 1)


def test_evaluate_reads_lists_of_names_and_ids():
    names = ("a", "b", "c", "d", "é")
    pred = SimpleNamespace(ids=IDS, label_names=names)
    want = metrics.evaluate(IDS, LABELS)
    assert metrics.evaluate(pred, [["c", "é", "d"], ("a", "a"), set()]) == want
    assert metrics.evaluate(pred, [[2, 4, 3], [0], []]) == want
    unknown = metrics.evaluate(pred, [["c", "é", "d", "new"], ["a"], ["newer"]])
    assert unknown == want | {"unknown_labels": 2}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cd", "a", ""], r"labels of document 0 are 'cd', a list needed"),
        ([["c"], [9], []], r"label 9 given for document 1, an id below 5 or a name needed"),
        ([["c"], [None], []], r"label None given for document 1"),
        ([["c"], ["a"]], r"3 documents predicted, 2 labelled"),
        (LABELS[:2], r"3 documents predicted, 2 labelled"),
        (LABELS[:, :4], r"5 labels predicted, 4 labelled"),
        (-LABELS, r"negative values or nan"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    pred = SimpleNamespace(ids=IDS, label_names=("a", "b", "c", "d", "e"))
    with pytest.raises(InputError, match=message):
        metrics.evaluate(pred, labels)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([[0, 1], [2, 3], [4, 4]]), r"id 4 twice in row 2 of the predictions"),
        (np.array([[0, 1], [2, 5], [4, -1]]), r"id 5 in row 1 .*ids from 0 to 4 \(or -1\)"),
        (np.array([[0, 1], [2, -2], [4, -1]]), r"id -2 in row 1"),
        (np.zeros((3, 5)), r"type float64 and shape \(3, 5\) given, integer ids"),
        (np.array([1, 2, 3]), r"shape \(3,\) given"),
    ],
)
def test_bad_predictions_are_refused(ids, message, monkeypatch):
    monkeypatch.setattr(truth, "BLOCK", 1)
    with pytest.raises(InputError, match=message):
        metrics.evaluate(ids, LABELS)


def test_unused_slots_may_repeat():
    hits = metrics.find_hits(np.array([[-1, -1, 2], [0, -1, -1], [-1, -1, -1]]), LABELS)
    np.testing.assert_array_equal(hits, [[False, False, True], [True, False, False], [False] * 3])
