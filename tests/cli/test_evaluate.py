from __future__ import annotations

import json

import pytest

from xmc_jax.cli import evaluate
from xmc_jax.estimator import load
from xmc_jax.metrics.report import report

KEYS = [
    *(f"{name}@{k}" for name in ("P", "nDCG", "PSP") for k in (1, 3, 5)),
    *(f"recall@{k}" for k in (1, 3, 5, 10, 100)),
]


def test_json_and_table(tiny, xmc):
    done = xmc("evaluate", "--workdir", tiny.run, "--data", tiny.data)
    assert done.code == 0
    assert done.out.count("\n") == 1
    scores = json.loads(done.out)
    assert list(scores)[:14] == KEYS
    assert {"coverage@5", "macro-F1@1", "example-F1@3", "ECE@1", "by_frequency"} <= set(scores)
    rows = [line.split()[0] for line in done.err if line.split()]
    assert {key.partition("@")[0] for key in scores if "@" in key} <= set(rows)  # the table's rows
    assert scores["n"] == 12
    assert scores["propensity"] == {"A": 0.55, "B": 1.5}
    assert scores["P@1"] > 50
    assert scores["recall@100"] == 100  # all 20 labels are returned
    table = "\n".join(done.err)
    assert "recall" in table and "A = 0.55, B = 1.5" in table
    assert "finds fewer" not in table


def test_the_scores_are_those_of_the_library(tiny, xmc):
    model = load(tiny.run)
    predictions = model.predict(tiny.corpus.test_texts, top_k=20)
    expected = report(
        predictions,
        tiny.corpus.test_labels,
        train_counts=model.label_counts,
        n_train=model.n_train,
    )
    scores = json.loads(xmc("evaluate", "--workdir", tiny.run, "--data", tiny.data).out)
    assert {k: scores[k] for k in KEYS} == pytest.approx({k: expected[k] for k in KEYS})


def test_batches_change_no_digit(tiny, xmc, monkeypatch):
    words = ["evaluate", "--workdir", tiny.run, "--data", tiny.data]
    whole = xmc(*words).out
    monkeypatch.setattr(evaluate, "BATCH", 5)
    assert xmc(*words).out == whole


def test_other_splits_and_a_narrow_beam(tiny, xmc):
    words = ["evaluate", "--workdir", tiny.run, "--data", tiny.data]
    done = xmc(*words, "--split", "train", "--beam", "1")
    scores = json.loads(done.out)
    assert scores["n"] == 60
    assert scores["recall@100"] < 100
    assert any(
        line.startswith("the beam finds fewer than 20 labels for 60 documents") for line in done.err
    )


def test_vectors_and_the_constants_of_a_public_set(vectors, xmc, tmp_path):
    done = xmc("evaluate", "--workdir", vectors.run, "--data", vectors.data)
    assert json.loads(done.out)["P@1"] == 100
    (tmp_path / "amazon-670k").symlink_to(vectors.data)
    done = xmc("evaluate", "--workdir", vectors.run, "--data", tmp_path / "amazon-670k")
    assert json.loads(done.out)["propensity"] == {"A": 0.6, "B": 2.6}


def test_unknown_labels_are_counted(tiny, tmp_path, xmc):
    name = tiny.corpus.names[0]
    (tmp_path / "test.jsonl").write_text(
        json.dumps({"text": "a", "labels": [name, "never seen"]}) + "\n"
    )
    done = xmc("evaluate", "--workdir", tiny.run, "--data", tmp_path)
    assert done.code == 0
    assert any("1 true labels unknown to the model" in line for line in done.err)
    assert json.loads(done.out)["unseen"] == {"labels": 1, "examples": ["never seen"]}
