"""Trainings in processes of their own: several on one folder, killed anywhere, on a disk that is full or read-only."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus

CORPUS = make_corpus(n_train=200, n_test=30, n_labels=32, branching=4, seed=0)
WORDS = ["--tree.branching", "4", "--tree.max_leaf_size", "8", "--search.beam", "2"]
COPIES = ["--disentangle.copies", "2", "--disentangle.least_gain", "0"]
ENCODER = [
    *("--encoder.max_length", "16", "--tuning.steps", "4", "--tuning.batch_size", "16"),
    *("--tuning.save_every", "1", "--tuning.warmup", "1", "--rerank.mode", "mixture"),
]
MODELS = {
    "linear": WORDS,
    "copies": WORDS + COPIES,
    "forest": [*WORDS, "--trees", "2"],
    "xr-transformer": [
        *WORDS,
        *("--model", "xr-transformer", "--encoder.max_length", "16", "--tuning.steps", "4"),
        *("--tuning.batch_size", "16", "--tuning.save_every", "1", "--tuning.warmup", "1"),
        *("--preliminary.branching", "4", "--preliminary.max_leaf_size", "8"),
    ],
    "prototype": ["--model", "prototype", "--beam", "3", "--head.storage", "int8", *ENCODER],
    "prototype, levels": [
        *WORDS,
        *("--model", "xr-transformer", "--tuning.head", "prototype", *ENCODER),
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with open(folder / "train.jsonl", "w") as file:
        for text, labels in zip(CORPUS.train_texts, CORPUS.train_labels, strict=True):
            file.write(json.dumps({"text": text, "labels": labels}) + "\n")
    return folder


def start(data, workdir, words, encoder=None, more=()) -> subprocess.Popen:
    words = [*words, "--encoder.name", str(encoder)] if "--model" in words else words
    words = [*words, *more]
    command = [sys.executable, "-m", "xmc_jax", "train", "--data", data, "--workdir", workdir]
    return subprocess.Popen(
        [*map(str, command), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def finish(child) -> tuple[int, list[str]]:
    err = child.communicate(timeout=400)[1].splitlines()
    return child.returncode, [line for line in err if line.startswith("xmc: ")]


def answer(folder):
    return xmc.load(folder).predict(CORPUS.test_texts, top_k=5)


def same(a, b) -> None:
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_of_several_trainings_on_one_folder_one_trains_and_the_others_say_so(data, tmp_path):
    children = [start(data, tmp_path / "run", MODELS["linear"]) for _ in range(3)]
    ended = [finish(child) for child in children]
    # One that came late found a complete run.
    assert sum(code == 0 for code, _ in ended) >= 1
    for code, lines in ended:
        if code:
            assert code == 1 and len(lines) == 1
            told = re.search(r"process (\d+) on \S+ is training in it", lines[0])
            assert told and int(told[1]) in [child.pid for child in children]
    assert answer(tmp_path / "run").n_rows == 30
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory, tiny_encoder):
    """Gives what an undisturbed run answers."""
    found: dict = {}

    def find(model, n_processes=1):
        if (model, n_processes) not in found:
            folder = tmp_path_factory.mktemp("whole") / "run"
            children = start_all(data, folder, model, tiny_encoder, n_processes)
            assert [finish(child)[0] for child in children] == [0] * n_processes
            found[model, n_processes] = answer(folder)
        return found[model, n_processes]

    return find


def start_all(data, workdir, model, encoder, n_processes) -> list[subprocess.Popen]:
    if n_processes == 1:
        return [start(data, workdir, MODELS[model], encoder)]
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    joined = ["--address", address, "--processes", str(n_processes), "--process"]
    return [
        start(data, workdir, MODELS[model], encoder, [*joined, str(i)]) for i in range(n_processes)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_killed_again_and_again_it_resumes_to_the_same(
    whole, data, tmp_path, tiny_encoder, model, n_processes
):
    """Killed when the folder has changed some times since it began; of two processes both, or one of them."""
    wanted, folder = whole(model, n_processes), tmp_path / "run"
    rng = np.random.default_rng([n_processes, list(MODELS).index(model)])
    kills = 0
    for _ in range(5):
        children = start_all(data, folder, model, tiny_encoder, n_processes)
        _wait_for_changes(folder, children[0], int(rng.integers(1, 12)))
        time.sleep(float(rng.random()) * 0.02)
        for child in rng.permutation(children)[: int(rng.integers(1, n_processes + 1))]:
            child.send_signal(signal.SIGKILL)
        ended = [finish(child)[0] for child in children]
        kills += -signal.SIGKILL in ended
        if (folder / "meta.json").exists():
            break
        assert 0 not in ended
    children = start_all(data, folder, model, tiny_encoder, n_processes)
    for code, lines in [finish(child) for child in children]:
        assert code == 0, lines
    same(answer(folder), wanted)
    print(f"{model}, {n_processes} processes: killed {kills} times")


def _wait_for_changes(folder: Path, child, n: int) -> None:
    """Returns when `n` entries of the folder have come or gone, or the child has ended."""
    seen = set(map(str, folder.rglob("*"))) if folder.exists() else set()
    while n > 0 and child.poll() is None:
        try:
            now = set(map(str, folder.rglob("*"))) if folder.exists() else set()
        except FileNotFoundError:
            continue
        n -= len(now ^ seen) > 3
        seen = seen if len(now ^ seen) <= 3 else now
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 40, 60, 90, 120, 160, 200, 250, 300, 350])
def test_a_full_disk_is_one_line_and_the_same_command_resumes(whole, data, disk, kilobytes):
    folder = disk(kilobytes) / "run"
    child = start(data, folder, MODELS["copies"])
    said = child.communicate(timeout=400)[1]
    assert child.returncode == 1 and "Traceback" not in said and "Error" not in said, said
    last = said.splitlines()[-1]
    assert re.search(rf"xmc: {folder}.*: cannot be written \(No space left on device\)", last)
    left = [p.name for p in folder.rglob("*") if re.search(r"part|tmp|probe|lock", p.name)]
    assert left == []
    disk(20_000)
    code, lines = finish(start(data, folder, MODELS["copies"]))
    assert code == 0, lines
    same(answer(folder), whole("copies"))


@pytest.mark.slow
def test_a_read_only_disk_is_one_line_to_training_and_no_hindrance_to_answers(whole, data, disk):
    place = disk(20_000)
    assert finish(start(data, place / "run", MODELS["copies"]))[0] == 0
    disk(20_000, ",ro")
    same(answer(place / "run"), whole("copies"))
    assert finish(start(data, place / "run", MODELS["copies"]))[0] == 0  # complete: nothing to do
    code, lines = finish(start(data, place / "new", MODELS["copies"]))
    assert code == 1 and "Read-only file system" in lines[0] and str(place / "new") in lines[0]


@pytest.mark.slow
def test_hundreds_of_fits_leave_no_files_open_and_no_memory_maps(tmp_path):
    def count() -> tuple[int, int]:
        maps = len(Path("/proc/self/maps").read_text().splitlines())
        return len(os.listdir("/proc/self/fd")), maps

    seen = []
    for i in range(40):
        folder = tmp_path / "run"
        settings = dict(tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1))
        xmc.XRLinear(**settings).fit(CORPUS.train_texts, CORPUS.train_labels, workdir=folder)
        xmc.load(folder).predict(CORPUS.test_texts, top_k=5)
        shutil.rmtree(folder)
        if i >= 9:
            seen.append(count())
    files, maps = zip(*seen, strict=True)
    assert max(files) <= files[0] + 3
    assert max(maps) <= maps[0] + 60
