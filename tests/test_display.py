"""What a shell, a notebook and `help` show."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data import TextStore, open_dataset
from xmc_jax.types import PAD, Features

TEXTS = ["red apple", "green pear", "red pear", "green apple"] * 3
LABELS = [["apple", "red"], ["pear"], ["pear", "red"], ["apple"]] * 3


@pytest.fixture(scope="module")
def model() -> xmc.XRLinear:
    return xmc.XRLinear(min_count=1).fit(TEXTS, LABELS)


def make_predictions(n_rows: int, n_labels: int = 50_000) -> xmc.Predictions:
    ids = np.tile(np.arange(4, dtype=np.int32), (n_rows, 1))
    ids[:, 3] = PAD
    scores = np.tile(np.float32([0.9, 0.5, 0.25, 0]), (n_rows, 1))
    names = [f"label {'<b>' * (i == 1)}{i} {'long ' * 20}" for i in range(n_labels)]
    return xmc.Predictions(ids, scores, names, n_labels)


def test_predictions_are_five_rows():
    shown = repr(make_predictions(1234))
    assert "1,234 documents" in shown and "50,000 labels" in shown
    assert len(shown) < 1000 and len(shown.splitlines()) == 7
    assert shown.splitlines()[1].split()[:3] == ["0", "label", "0"]
    page = make_predictions(1234)._repr_html_()
    assert page.count("<tr>") == 6 and "&lt;b&gt;" in page and "<b>" not in page
    assert len(repr(make_predictions(1)).splitlines()) == 2
    assert repr(make_predictions(0)).startswith("Predictions of 0 documents")


def test_predictions_as_a_frame():
    found = make_predictions(2)
    frame = found.to_frame()
    assert list(frame.columns) == ["document", "rank", "label", "score"]
    assert (
        frame["document"].tolist() == [0, 0, 0, 1, 1, 1] and frame["rank"].tolist() == [1, 2, 3] * 2
    )
    assert frame["label"][4] == found.names()[1][1] and frame["score"].dtype == np.float32
    by_id = xmc.Predictions(found.ids, found.scores, None, 50_000, found.scores).to_frame()
    assert by_id["label"].tolist() == [0, 1, 2] * 2 and by_id["probability"][0] == np.float32(0.9)
    assert len(make_predictions(0).to_frame()) == 0


def test_everything_is_shown_in_a_line(model):
    split = open_dataset("bundled:wordnet").load_split("test")
    many = TextStore.from_texts(["word " * 100] * 1000)
    things = [
        model,
        model.model,
        model.model.tree,
        model.model.levels[0],
        model.vectorizer,
        open_dataset("bundled:wordnet"),
        split,
        many,
        Features(split.labels, np.zeros((len(split), 3), np.float32)),
    ]
    for thing in things:
        shown = repr(thing)
        assert shown.startswith(type(thing).__name__ + "(") and len(shown) < 200, shown
        assert "0x" not in shown and "\n" not in shown


def test_only_changed_settings_are_shown(model):
    assert repr(xmc.XRLinear()) == "XRLinear()"
    assert (
        repr(xmc.XRLinear(beam=3, tree=dict(kind="flat")))
        == "XRLinear(beam=3, tree=dict(kind='flat'))"
    )
    assert "12 documents, 3 labels" in model._repr_html_()
    assert "the defaults" in xmc.XRLinear()._repr_html_()


def test_public_names_are_found():
    assert set(xmc.__all__) <= set(dir(xmc)) and "annotations" not in dir(xmc)
    code = "import xmc_jax; help(xmc_jax)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "class XRLinear" in done.stdout and "load(path" in done.stdout
    assert "model.predict([" in done.stdout


def test_progress_true_says_what_is_done(model, capsys):
    xmc.XRLinear(min_count=1).fit(TEXTS, LABELS, progress=True)
    said = capsys.readouterr()
    assert "level 0: done" in said.err and not said.out
    model.predict(TEXTS, progress=True)
    assert "search: done" in capsys.readouterr().err
    xmc.XRLinear(min_count=1).fit(TEXTS, LABELS, progress=False)
    assert capsys.readouterr().err == ""
