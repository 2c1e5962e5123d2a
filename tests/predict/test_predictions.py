"""Predictions: conversions, files, batches."""

import gzip
import io
import json
import os

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax import metrics
from xmc_jax.errors import InputError, RunError
from xmc_jax.predict import predictions as predictions_file
from xmc_jax.predict.predictions import Predictions, concatenate

IDS = np.array([[2, 0, 3], [1, -1, -1], [-1, -1, -1]])
SCORES = np.array([[0.5, 0.1, 0.0], [-1.5, -np.inf, np.nan], [7, 7, 7]])
NAMES = ("cat", 'a "b"\n', "ölé ✓", "\ud800x")


def make(names=NAMES):
    return Predictions(IDS, SCORES, names, 4)


def test_arrays_are_converted_and_unused_scores_are_zero():
    pred = make()
    assert pred.ids.dtype == np.int32
    assert pred.scores.dtype == np.float32
    np.testing.assert_array_equal(
        pred.scores, np.array([[0.5, 0.1, 0], [-1.5, 0, 0], [0, 0, 0]], np.float32)
    )
    assert np.isnan(SCORES[1, 2])  # the caller's array is left as it was


def test_arrays_on_a_device_are_accepted():
    import jax.numpy as jnp

    pred = Predictions(jnp.asarray(IDS), jnp.asarray(SCORES), None, 4)
    np.testing.assert_array_equal(pred.scores, make().scores)


def test_names():
    assert make().names() == [[NAMES[2], NAMES[0], NAMES[3]], [NAMES[1]], []]
    with pytest.raises(InputError, match="without label names"):
        make(None).names()


def test_to_csr_keeps_a_score_of_zero():
    matrix = make().to_csr()
    assert matrix.shape == (3, 4)
    assert matrix.dtype == np.float32
    assert matrix.nnz == 4
    assert matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.indices, [0, 2, 3, 1])
    np.testing.assert_array_equal(matrix.data, np.array([0.1, 0.5, 0, -1.5], np.float32))
    np.testing.assert_array_equal(metrics.top_entries(matrix, 3)[0], IDS)


def test_jsonl_round_trip(tmp_path):
    path = tmp_path / "out.jsonl"
    make().to_jsonl(path)
    raw = path.read_bytes()
    assert "ölé ✓".encode() in raw  # not escaped
    assert b'"scores": [0.5, 0.1, 0.0]}' in raw  # not 0.10000000149011612
    rows = [json.loads(line) for line in raw.decode().split("\n")[:-1]]
    assert [row["labels"] for row in rows] == make().names()
    assert [row["scores"] for row in rows] == [[0.5, 0.1, 0.0], [-1.5], []]
    assert os.listdir(tmp_path) == ["out.jsonl"]
    stream = io.StringIO()
    make().to_jsonl(stream)
    assert stream.getvalue().encode() == raw
    make().to_jsonl(str(tmp_path / "out.jsonl.gz"))
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == raw


def test_jsonl_scores_give_back_the_same_float32():
    rng = np.random.default_rng(0)
    scores = (rng.standard_normal((5000, 2)) * 10.0 ** rng.integers(-30, 30, (5000, 2))).astype(
        np.float32
    )
    stream = io.StringIO()
    Predictions(np.tile([0, 1], (5000, 1)), scores, None, 2).to_jsonl(stream)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert rows[0]["labels"] == [0, 1]  # ids where there are no names
    np.testing.assert_array_equal(np.array([r["scores"] for r in rows], np.float32), scores)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")

    def fail(file, predictions, fields=None):
        file.write("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predictions_file, "_write_lines", fail)
    with pytest.raises(RunError, match="No space left on device"):
        make().to_jsonl(path)
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_paths_that_cannot_be_written_are_refused(tmp_path):
    for path in (tmp_path / "missing" / "out.jsonl", tmp_path):
        with pytest.raises(InputError, match="file in a writable folder"):
            make().to_jsonl(path)


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    make().to_jsonl(tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_text().count("\n") == 3
    make().to_jsonl(os.devnull)
    assert not os.path.isfile(os.devnull)


def test_rows():
    pred = make()
    assert len(pred) == pred.n_rows == 3
    assert pred[1:].names() == pred.names()[1:]
    assert pred[np.array([2, 0])].names() == [[], pred.names()[0]]
    assert pred[-1].names() == [[]]
    assert [one.names()[0] for one in pred] == pred.names()
    assert len(pred[3:]) == 0
    with pytest.raises(IndexError):
        pred[3]


def test_concatenate():
    pred = make()
    narrow = Predictions([[3], [1]], [[2.0], [1.0]], list(NAMES), 4)
    joined = concatenate([pred[:0], pred, narrow])
    assert joined.names() == pred.names() + narrow.names()
    assert joined.ids.shape == (5, 3)
    np.testing.assert_array_equal(
        joined.to_csr().toarray(), sp.vstack([pred.to_csr(), narrow.to_csr()]).toarray()
    )
    np.testing.assert_array_equal(concatenate([pred[:1], pred[1:]]).scores, pred.scores)
    for other in (make(None), make(NAMES[::-1]), Predictions(IDS, SCORES, (*NAMES, "z"), 5)):
        with pytest.raises(InputError, match="different label sets"):
            concatenate([pred, other])
    with pytest.raises(InputError, match="no predictions"):
        concatenate([])


def test_no_rows_and_no_results(tmp_path):
    for ids in (np.zeros((0, 3), int), np.zeros((2, 0), int)):
        pred = Predictions(ids, ids.astype(float), NAMES, 4)
        assert pred.names() == [[]] * len(ids)
        assert pred.to_csr().nnz == 0
        pred.to_jsonl(tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        assert lines == ['{"labels": [], "scores": []}'] * len(ids)


@pytest.mark.parametrize(
    ("ids", "scores", "names", "message"),
    [
        ([[0, 1]], [[1.0]], None, r"ids of shape \(1, 2\), scores of \(1, 1\)"),
        ([0, 1], [1.0, 1.0], None, r"\[N, R\] of both needed"),
        ([[0.0, 1.0]], [[1.0, 1.0]], None, "ids of type float64"),
        ([[0, 4]], [[1.0, 1.0]], None, r"ids from 0 to 4 given, -1 \(none\) to 3 needed"),
        ([[0, -2]], [[1.0, 1.0]], None, "ids from -2 to 0"),
        ([[0, 1]], [[1.0, np.nan]], None, "a score of document 0 is nan or infinite"),
        ([[0, 1]], [[1.0, -np.inf]], None, "a score of document 0 is nan or infinite"),
        ([[0, 1]], [[1.0, 0.5]], ("a", "b"), "2 label names given, 4 needed"),
    ],
)
def test_bad_predictions_are_refused(ids, scores, names, message):
    with pytest.raises(InputError, match=message):
        Predictions(np.array(ids), np.array(scores), names, 4)
