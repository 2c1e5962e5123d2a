"""`xmc calibrate`, and what predict and evaluate make of it."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def calibrated(run_copy, tiny, xmc):
    done = xmc("calibrate", "--workdir", run_copy, "--data", tiny.data, "--split", "test")
    assert done.code == 0
    assert "12 documents; the threshold" in done.err[-1]
    return run_copy


def write(tiny, path):
    path.write_text("\n".join(tiny.corpus.test_texts) + "\n", encoding="utf-8")
    return path


def test_predict_writes_probabilities_and_decides(calibrated, tiny, tmp_path, xmc):
    words = [
        "predict",
        "--workdir",
        calibrated,
        "--input",
        write(tiny, tmp_path / "in.txt"),
        "--output",
        "-",
    ]
    rows = [
        json.loads(line) for line in xmc(*words, "--top-k", "3", "--probabilities").out.splitlines()
    ]
    assert all(len(row["probabilities"]) == 3 for row in rows)
    assert all(row["probabilities"] == sorted(row["probabilities"], reverse=True) for row in rows)
    decided = [
        json.loads(line)
        for line in xmc(*words, "--decide", "micro-f1", "--min-k", "1").out.splitlines()
    ]
    assert {len(row["labels"]) for row in decided} != {3}
    assert all(row["labels"] for row in decided)
    few = [
        json.loads(line)
        for line in xmc(*words, "--threshold", "0.5", "--max-k", "2").out.splitlines()
    ]
    assert all(
        len(row["labels"]) <= 2 and min(row["probabilities"], default=1) >= 0.5 for row in few
    )


def test_evaluate_reports_probabilities_and_decisions(calibrated, tiny, xmc):
    words = ["evaluate", "--workdir", calibrated, "--data", tiny.data]
    report = json.loads(xmc(*words).out)
    assert report["confidence"] == "probabilities"
    assert report["ECE@1"] < 25
    assert "micro-F1" not in report
    assert json.loads(xmc(*words, "--decide", "example-f1").out)["example-F1"] > 0


def test_describe_tells_of_them(calibrated, xmc):
    assert (
        "chance  probabilities (isotonic-rank) of 12 documents"
        in xmc("describe", "--workdir", calibrated).out
    )
    facts = json.loads(xmc("describe", "--workdir", calibrated, "--json").out)
    assert facts["calibration"] == {"method": "isotonic-rank", "documents": 12}


def test_a_run_with_a_memory_is_trained_and_used(tiny, tmp_path, settings, xmc):
    run = tmp_path / "run"
    more = ["--rerank.mode", "mixture", "--rerank.share", "0.3"]
    assert xmc("train", "--data", tiny.data, "--workdir", run, *settings, *more).code == 0
    assert "memory  mixture: P@1" in xmc("describe", "--workdir", run).out
    text = write(tiny, tmp_path / "in.txt")
    done = xmc(
        "predict",
        "--workdir",
        run,
        "--input",
        text,
        "--output",
        "-",
        "--probabilities",
        "--top-k",
        "2",
    )
    assert all(len(json.loads(line)["probabilities"]) == 2 for line in done.out.splitlines())
    made = json.loads(
        xmc("explain", "--workdir", run, "--text", tiny.corpus.test_texts[0], "--json").out
    )
    assert made["neighbours"][0]["cosine"] > 0


def test_what_cannot_be_done_is_said(tiny, run_copy, tmp_path, xmc):
    text = write(tiny, tmp_path / "in.txt")
    words = ["predict", "--workdir", tiny.run, "--input", text, "--output", "-"]
    cases = [
        ([*words, "--probabilities"], "xmc calibrate"),
        ([*words, "--decide", "micro-f1"], "calibrate.share"),
        ([*words, "--decide", "f1"], "decide='f1'"),
        ([*words, "--decide", "precision"], "precision:0.9"),
        ([*words, "--decide", "micro-f1", "--threshold", "0.5"], "one of them"),
        ([*words, "--min-k", "3", "--max-k", "2"], "min_k=3"),
        (
            ["calibrate", "--workdir", run_copy, "--data", tiny.data, "--split", "train"],
            "not trained on",
        ),
        (["calibrate", "--workdir", run_copy, "--data", tiny.data], "no split 'valid'"),
    ]
    for argv, message in cases:
        done = xmc(*argv)
        assert done.code == 2, argv
        assert message in done.err[-1], argv
        assert done.out == ""
    done = xmc(*words, "--threshold", "0.5")
    assert done.code == 0
    assert any(line.startswith("note: threshold=0.5 applies to scores") for line in done.err)


def test_plan_tells_the_trainings(tiny, xmc):
    words = ["plan", "--data", tiny.data, "--json", "--max_leaf_size", "5", "--branching", "4"]
    names = [s["name"] for s in json.loads(xmc(*words, "--calibrate.folds", "2").out)["stages"]]
    assert sum(name.startswith("held-out part 2 of 2, level") for name in names) == 2
    assert not any("held-out" in s["name"] for s in json.loads(xmc(*words).out)["stages"])
