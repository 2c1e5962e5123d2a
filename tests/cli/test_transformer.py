"""The command line on a model with an encoder."""

from __future__ import annotations

import json
import shutil

import pytest

from xmc_jax.data import write_corpus

TUNING = ["--steps", "3", "--batch_size", "8", "--save_every", "2", "--match_beam", "3"]
SHAPE = ["--tree.max_leaf_size", "8", "--tree.branching", "4", "--min_count", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder, n_train=60, n_test=12, n_labels=20, branching=4)
    return folder


@pytest.mark.parametrize("model", ["xr-transformer", "x-transformer"])
def test_train_evaluate_predict_describe(xmc, data, tiny_encoder, tmp_path, model):
    encoder = ["--encoder.name", tiny_encoder, "--max_length", "24"]
    words = ["--model", model, *encoder, *TUNING, *SHAPE]
    if model == "xr-transformer":
        words += ["--preliminary.max_leaf_size", "8", "--preliminary.branching", "4"]
        words += ["--max_clusters", "10"]
    run = tmp_path / "run"
    done = xmc("train", "--data", data, "--workdir", run, *words)
    assert done.code == 0, done.err
    assert any("step 3, loss " in line and "documents/s" in line for line in done.err)
    told = [line for line in done.err if "tuning.warmup=100 given on level 0, longer than" in line]
    assert len(told) == 1 and told[0].startswith("note: ")
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    scored = xmc("evaluate", "--workdir", run, "--data", data)
    assert scored.code == 0 and json.loads(scored.out)["n"] == 12
    found = xmc("predict", "--workdir", run, "--input", data / "test.jsonl", "--output", "-")
    assert found.code == 0, found.err
    assert len(found.out.splitlines()) == 12 and json.loads(found.out.splitlines()[0])["labels"]
    shown = xmc("describe", "--workdir", run)
    assert shown.out.startswith(f"run     {run}: {model}, complete")
    assert "tuning  level 0, 4 nodes: complete, step 3 of 3" in shown.out
    assert shown.out.rstrip().endswith("complete")
    (run / "meta.json").unlink()
    shutil.rmtree(run / "ranker")
    assert "unfinished" in xmc("describe", "--workdir", run).out
    again = xmc("train", "--data", data, "--workdir", run, *words)
    assert again.code == 0 and not any("tuning level" in line for line in again.err)
    assert json.loads(xmc("evaluate", "--workdir", run, "--data", data).out) == json.loads(
        scored.out
    )
    other = xmc("train", "--data", data, "--workdir", run, *words, "--tuning.clip", "2")
    assert other.code == 2 and "tuning.clip: 1.0 -> 2.0" in other.err[-1]
    plan = xmc("plan", "--data", data, *words)
    assert plan.code == 0 and "tuning 0" in plan.out and "vectors" in plan.out


def test_vectors_only_are_refused(xmc, vectors, tiny_encoder, tmp_path):
    words = ["--model", "xr-transformer", "--encoder.name", tiny_encoder]
    done = xmc("train", "--data", vectors.data, "--workdir", tmp_path / "run", *words)
    assert done.code == 2 and "reads texts; give texts" in done.err[-1]
    assert not (tmp_path / "run").exists()
