from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xmc_jax.cli.train import join
from xmc_jax.config import LinearConfig, SearchConfig, from_dict
from xmc_jax.data import write_corpus
from xmc_jax.errors import InputError


def read_header(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


def test_the_folder_records_settings_and_data(tiny):
    names = {path.name for path in tiny.run.iterdir()}
    assert {"config.json", "labels.txt", "vectorizer", "tree", "level_00", "level_01"} <= names
    header = read_header(tiny.run)
    config = from_dict(LinearConfig, header["config"])
    assert (config.tree.max_leaf_size, config.tree.branching) == (5, 4)
    assert header["data"]["documents"] == 60
    assert len(header["data"]["digest"]) == 32
    assert header["source"] == {"data": str(tiny.data)}
    assert (tiny.run / "labels.txt").read_text().splitlines() == tiny.corpus.names
    assert not [name for name in names if "part" in name]


def test_progress_and_summary_are_on_standard_error(tiny, settings, tmp_path, xmc):
    done = xmc("train", "--data", tiny.data, "--workdir", tmp_path / "w", *settings)
    assert (done.code, done.out) == (0, "")
    stages = [line.partition(":")[0] for line in done.err]
    done_so_far = [f"stage {i} of 4, " for i in range(1, 5)]
    names = ["features", "tree", "level 0", "level 1"]
    assert stages[:6] == ["data", "data", *map(str.__add__, done_so_far, names)]
    assert "60 documents; tree 4 - 20" in done.err[-2]
    assert done.err[-1] == f"next: xmc evaluate --workdir {tmp_path}/w --data {tiny.data}"


def test_a_finished_run_is_not_trained_again(tiny, settings, xmc):
    before = {path: path.stat().st_mtime_ns for path in tiny.run.rglob("*") if path.is_file()}
    done = xmc("train", "--data", tiny.data, "--workdir", tiny.run, *settings)
    assert done.code == 0
    assert not any(line.startswith("level") for line in done.err)
    levels = {path: t for path, t in before.items() if "level_" in str(path)}
    assert {path: path.stat().st_mtime_ns for path in levels} == levels


def test_a_config_file_and_a_setting(tiny, tmp_path, xmc):
    card = tmp_path / "card.py"
    card.write_text(
        "from xmc_jax.config import *\n"
        "def get_config():\n"
        "    return LinearConfig(tree=TreeConfig(kind='flat'), search=SearchConfig(beam=3))\n"
    )
    words = ["train", "--data", tiny.data, "--config", card, "--workdir", tmp_path / "w"]
    assert xmc(*words, "--top_k", "7").code == 0
    config = from_dict(LinearConfig, read_header(tmp_path / "w")["config"])
    assert config.tree.kind == "flat"
    assert config.search == SearchConfig(beam=3, top_k=7)


def test_a_tree_of_the_user(tiny, tmp_path, xmc):
    tree = tmp_path / "tree.json"
    halves = {"a": tiny.corpus.names[:12], "b": tiny.corpus.names[12:]}
    tree.write_text(json.dumps({"tree": halves}))
    words = ["train", "--data", tiny.data, "--workdir", tmp_path / "w", "--min_count", "1"]
    done = xmc(*words, "--tree", tree)
    assert done.code == 0
    assert "tree 2 - 20" in done.err[-2]
    assert read_header(tmp_path / "w")["source"]["tree"] == str(tree)
    # the same folder without the tree is another run
    again = xmc(*words)
    assert again.code == 2
    assert "other data" in again.err[-1]


def test_missing_parents_of_the_folder_are_made(vectors, tmp_path, xmc):
    words = ["train", "--data", vectors.data, "--max_leaf_size", "4"]
    assert xmc(*words, "--workdir", tmp_path / "a" / "b").code == 0
    assert (tmp_path / "a" / "b" / "meta.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_is_resumed_to_the_same_weights(tmp_path, xmc, number):
    data, run = tmp_path / "data", tmp_path / "run"
    write_corpus(data, n_train=6000, n_test=200, n_labels=2000)
    words = ["train", "--data", data, "--workdir", run, "--max_leaf_size", "10"]
    command = [sys.executable, "-m", "xmc_jax", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 120
    while not list(run.glob("level_00/0")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    line = err.splitlines()[-1]
    assert line.startswith("xmc: interrupted; finished stages are kept; to resume: xmc train")
    assert xmc("predict", "--workdir", run, "--input", "-", "--output", "-").code == 2
    assert "unfinished" in xmc("describe", "--workdir", run).out

    resumed = xmc(*words)
    assert resumed.code == 0
    assert not any(line.startswith("level 0:") for line in resumed.err)
    words[4] = tmp_path / "whole"
    assert xmc(*words).code == 0
    scores = [
        xmc("evaluate", "--workdir", folder, "--data", data).out
        for folder in (run, tmp_path / "whole")
    ]
    assert scores[0] == scores[1]


def test_processes_from_the_environment_take_no_numbers():
    with pytest.raises(InputError, match="'--processes' given with --address auto, which finds it"):
        join("auto", 2, None)
    assert not join(None, None, None)
