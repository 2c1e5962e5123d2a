"""Training on several devices gives the weights of one device: 8 virtual ones, and 2 processes in one folder."""

from __future__ import annotations

import numpy as np
import pytest

import xmc_jax

CHILD = """
import hashlib, sys
import numpy as np
from xmc_jax.ranker import footprint
from xmc_jax.ranker.solvers import dual

footprint.CHUNK_BYTES = footprint.LANES_BYTES = 40_000  # several chunks even here
n, process, address, workdir, *settings = sys.argv[1:]
from xmc_jax.parallel import join_processes
if int(n) > 1:
    join_processes(address, int(n), int(process))
import jax
import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus

corpus = make_corpus(n_train=400, n_test=20, n_labels=64, branching=4, seed=0)
chunks = []
run = dual._lay_out
dual._lay_out = lambda *a: (chunks.append((a[-1], str(jax.config.jax_default_device))), run(*a))[1]
model = xmc.XRLinear(
    tree=dict(branching=8, max_leaf_size=8),
    features=dict(min_count=1),
    ranker=dict(formulation="dual"),
    disentangle=dict(copies=2 if "copies" in settings else 1),
    memory="2GB",
)
texts = corpus.train_texts[::-1] if "other" in settings else corpus.train_texts
try:
    model.fit(texts, corpus.train_labels, workdir=workdir or None)
except xmc.InputError as error:
    print(error)
    raise SystemExit
digest, said = hashlib.sha1(), "saved nothing"
for level in model.model.levels:
    for array in (level.entry_child, level.entry_value, level.bias):
        digest.update(np.ascontiguousarray(array).tobytes())
if "save" in settings:
    model.save(workdir + "_saved")
    try:
        model.save(workdir + "_saved")
    except xmc.InputError as error:
        said = hashlib.sha1(str(error).removeprefix("process 0: ").encode()).hexdigest()
if "endpoint" in settings:
    from concurrent.futures import ThreadPoolExecutor
    endpoint = model.endpoint(top_k=5)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(endpoint, corpus.test_texts))
    for text, one in zip(corpus.test_texts, found):
        assert (one.ids == model.predict([text], top_k=5).ids).all()
print(len(chunks), len({d for _, d in chunks}), digest.hexdigest(), said.replace(" ", "_"))
"""


@pytest.fixture(scope="module")
def start(processes):
    """Starts one of n processes on so many devices."""

    def begin(n_devices: int, n: int, process: int, address: str, workdir, *settings: str):
        return processes.start(CHILD, n, process, address, workdir, *settings, devices=n_devices)

    return begin


@pytest.fixture(scope="module")
def finish(processes):
    """Returns what each child says: chunks that it solved, devices that it used, a digest of the weights."""
    return lambda *children: [line.split() for line in processes.finish(*children)]


@pytest.fixture(scope="module")
def alone(start, finish) -> list[str]:
    return finish(start(1, 1, 0, "", ""))[0]


def test_eight_devices_train_as_one(start, finish, alone):
    chunks, devices, digest, _ = finish(start(8, 1, 0, "", "", "endpoint"))[0]
    assert alone[1] == "1" and int(devices) > 3
    assert (chunks, digest) == (alone[0], alone[2])


def test_two_processes_train_as_one_and_leave_one_run(processes, start, finish, alone, tmp_path):
    folder, address = tmp_path / "run", processes.find_address()
    # The processes may see the folder at different places.
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    folders = folder, tmp_path / "elsewhere/run"
    first, second = finish(*(start(2, 2, i, address, folders[i], "save") for i in range(2)))
    assert first[2] == second[2] == alone[2]
    assert int(first[0]) + int(second[0]) == int(alone[0]) > int(first[0]) > 0
    # One process alone finds the run complete.
    assert finish(start(1, 1, 0, "", folder))[0][:3] == ["0", "0", alone[2]]
    # They saved one model, and both were refused the second time.
    assert first[3] == second[3] != alone[3]
    saved, model = (xmc_jax.load(f) for f in (tmp_path / "run_saved", folder))
    for a, b in zip(saved.model.levels, model.model.levels, strict=True):
        np.testing.assert_array_equal(a.entry_value, b.entry_value)
    assert not list(tmp_path.glob(".run_saved*"))


def test_a_process_with_other_data_is_refused_by_all(processes, start, finish, tmp_path):
    folder, address = tmp_path / "run", processes.find_address()
    children = [start(1, 2, i, address, folder, *["other"] * i) for i in range(2)]
    said = [" ".join(words) for words in finish(*children)]
    assert all("holds a run on other data (same counts, other content)" in line for line in said)
    assert said[0].startswith("process 1: ")


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["tree/0", "level_00/0", "round_01/beams/0"])
def test_two_processes_that_were_killed_go_on(processes, start, finish, tmp_path, sign):
    whole = finish(start(1, 1, 0, "", "", "copies"))[0]
    folder, address = tmp_path / "run", processes.find_address()
    children = [start(2, 2, i, address, folder, "copies") for i in range(2)]
    processes.kill_at(folder / sign, *children)
    address = processes.find_address()
    again = finish(*(start(2, 2, i, address, folder, "copies") for i in range(2)))
    assert again[0][2] == again[1][2] == whole[2]
