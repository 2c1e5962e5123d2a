"""Arguments of the Python door that look right and are not, or look wrong and are right."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.errors import InputError, RunError
from xmc_jax.types import Features

TEXTS = ["red apple", "green pear", "red pear", "green apple"] * 3
LABELS = [["apple", "red"], ["pear"], ["pear", "red"], ["apple"]] * 3
MATRIX = sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]] * 3, np.float32))


@pytest.fixture(scope="module")
def model() -> xmc.XRLinear:
    return xmc.XRLinear().fit(TEXTS, LABELS)


def test_numbers_of_numpy_are_settings(model):
    assert xmc.XRLinear(beam=np.int32(4), tolerance=np.float64(0.5)).config.search.beam == 4
    assert model.predict(TEXTS[:1], top_k=np.int64(2), beam=np.int64(3)).ids.shape == (1, 2)
    with pytest.raises(xmc.InputError, match="a whole number"):
        model.predict(TEXTS[:1], top_k=np.float64(2.5))


@pytest.mark.parametrize(
    ("name", "near"), [("beem", "'beam'"), ("rankr", "'ranker'"), ("tree.kin", "tree.kind")]
)
def test_an_unknown_setting_gets_a_suggestion(name, near):
    with pytest.raises(xmc.InputError, match=near if "." not in name else "'kind'"):
        xmc.XRLinear(**{name: 3})


def test_a_setting_of_two_sections_is_named_by_both():
    with pytest.raises(xmc.InputError, match=r"tree\.kind"):
        xmc.XRLinear(kind="flat")


@pytest.mark.parametrize("config", [5, {"seed": 1}])
def test_a_config_is_a_config(config):
    with pytest.raises(xmc.InputError, match="LinearConfig needed"):
        xmc.XRLinear(config)


@pytest.mark.parametrize(
    "labels", [["red"], {"red"}, ("red", "red"), [2], {2}, np.array([2]), np.array(["red"])]
)
def test_results_are_restricted_to_any_collection(model, labels):
    assert model.predict(TEXTS[:1], restrict_to=labels).names() == [["red"]]


@pytest.mark.parametrize(
    "labels", ["red", 2, [2.0], [True, False, False], [None], [2, "red"], ["red", 2], [], [3], [-1]]
)
def test_other_restrictions_are_refused(model, labels):
    with pytest.raises(xmc.InputError):
        model.predict(TEXTS[:1], restrict_to=labels)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "'a' twice"),
        (["a", "b\nc", "d"], r"label_names\[1\].*line break"),
        ([0, 1, 2], "not a string"),
    ],
)
def test_names_that_no_file_can_hold_are_refused_before_training(names, message):
    with pytest.raises(xmc.InputError, match=message):
        xmc.XRLinear().fit(TEXTS, MATRIX, label_names=names)


def test_names_beside_names_are_refused():
    with pytest.raises(xmc.InputError, match="names already"):
        xmc.XRLinear().fit(TEXTS, LABELS, label_names=["a", "b", "c"])


@pytest.mark.filterwarnings("ignore:rows of features are scaled")
def test_sparse_and_dense_features_together_are_checked():
    sparse, dense = sp.identity(12, np.float32, "csr"), np.ones((12, 2), np.float32)
    fitted = xmc.XRLinear().fit(Features(sparse, dense), MATRIX)
    assert len(fitted.predict(Features(sparse, dense))) == 12
    with pytest.raises(xmc.InputError, match="nan"):
        fitted.predict(Features(sparse, dense * np.nan))
    with pytest.raises(xmc.InputError, match="12 rows of sparse and 3 rows of dense"):
        xmc.XRLinear().fit(Features(sparse, dense[:3]), MATRIX)


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray, sp.coo_array])
def test_no_documents_get_no_labels(kind):
    x = np.eye(12, dtype=np.float32)
    fitted = xmc.XRLinear().fit(kind(x), MATRIX)
    assert fitted.predict(kind(x[:0]), top_k=2).ids.shape == (0, 2)
    with pytest.raises(xmc.InputError):
        xmc.XRLinear().fit(kind(x[:0]), MATRIX)


def test_negatives_are_given_by_level():
    with pytest.raises(xmc.InputError, match="negatives given as list"):
        xmc.XRLinear(negatives="usn+tfn").fit(TEXTS, LABELS, negatives=[MATRIX])


def test_names_of_a_parent_map_are_strings():
    with pytest.raises(xmc.InputError, match="write it as a string"):
        xmc.XRLinear().fit(TEXTS, MATRIX, tree={0: "a", 1: "a", 2: "b"})


def test_a_complete_run_is_read_and_keeps_its_names(tmp_path):
    texts, labels = ["red apple", "green pear", "red pear"] * 4, [["a"], ["b"], ["a", "b"]] * 4
    first = xmc.XRLinear(min_count=1).fit(texts, labels, workdir=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    again = xmc.XRLinear(min_count=1).fit(texts, labels, workdir=tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    np.testing.assert_array_equal(again.predict(texts).ids, first.predict(texts).ids)
    matrix = sp.csr_matrix(np.array([[1, 0], [0, 1], [1, 1]] * 4, np.float32))
    with pytest.raises(InputError, match=r"labels\.txt"):
        xmc.XRLinear(min_count=1).fit(texts, matrix, workdir=tmp_path)
    assert xmc.load(tmp_path).label_names == ["a", "b"]


def test_a_model_outlives_its_folder(tmp_path):
    labels = [["even", "odd"][i % 2] for i in range(len(TEXTS))]
    model = xmc.XRLinear(seed=0).fit(TEXTS, [[name] for name in labels], workdir=tmp_path / "run")
    for place in ("first", "second"):
        shutil.rmtree(tmp_path / "run" if place == "first" else tmp_path / "first")
        with pytest.warns(xmc.errors.Note, match="gone: the names are kept in memory only"):
            model.name_labels({"even": "Even", "odd": "Odd"})
        model.save(tmp_path / place)
        again = xmc.load(tmp_path / place)
        np.testing.assert_array_equal(again.predict(TEXTS).scores, model.predict(TEXTS).scores)
        model = again


def test_a_saved_model_is_no_run_to_go_on_with(tmp_path):
    texts, labels = ["red apple", "green pear"], [["a"], ["b"]]
    xmc.XRLinear(min_count=1).fit(texts, labels).save(tmp_path / "m")
    with pytest.raises(InputError, match="saved model"):
        xmc.XRLinear(min_count=1).fit(texts, labels, workdir=tmp_path / "m")


def test_memory_bounds_training_and_search(tmp_path):
    texts, labels = TEXTS, LABELS
    with pytest.raises(RunError, match=r"memory of 0.1 GB given, level 0 needs at least"):
        xmc.XRLinear(memory="100MB").fit(texts, labels, workdir=tmp_path / "run")
    # Enough memory resumes where too little stopped: another machine does not make it another run.
    model = xmc.XRLinear(memory="2GB").fit(texts, labels, workdir=tmp_path / "run")
    expected = model.predict(texts).ids
    again = xmc.load(tmp_path / "run")
    assert again.config.memory == "auto"
    np.testing.assert_array_equal(again.predict(texts).ids, expected)
    again.config = dataclasses.replace(again.config, memory="100MB")
    with pytest.raises(RunError, match="search needs"):
        again.predict(texts)


@pytest.mark.parametrize("memory", ["8XB", "lots", "10kB"])
def test_memory_that_is_no_size(memory):
    with pytest.raises(InputError, match="memory="):
        xmc.XRLinear(memory=memory)


def test_more_devices_than_there_are_are_refused():
    texts, labels = ["red apple", "green pear"] * 2, [["a"], ["b"]] * 2
    model = xmc.XRLinear(min_count=1, parallel=dict(data=1)).fit(texts, labels)
    assert model.predict(texts, 1).names()[0] == ["a"]
    model.config = xmc.XRLinear(parallel=dict(data=64)).config
    with pytest.raises(InputError, match=r"parallel\.data=64 and parallel\.label=1 given with"):
        model.predict(texts)


def test_the_devices_of_a_saved_model_are_not_kept(tmp_path):
    texts, labels = ["red apple", "green pear"] * 2, [["a"], ["b"]] * 2
    xmc.XRLinear(min_count=1, parallel=dict(data=1)).fit(texts, labels).save(tmp_path / "m")
    assert xmc.load(tmp_path / "m").config.parallel.data == "auto"
