"""What a long-lived process keeps, and what a forked one may do."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.estimator import work
from xmc_jax.ops import count_programs

TEXTS = ["red apple", "green pear", "red pear", "green apple"] * 3
LABELS = [["apple", "red"], ["pear"], ["pear", "red"], ["apple"]] * 3

FORK = """
import json, os, sys, warnings
import xmc_jax as xmc
warnings.simplefilter("ignore")

def ask(model):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = model.predict(["red apple"], top_k=1).names()
        except xmc.RunError as error:
            said = str(error)
        os.write(write, json.dumps(said).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    return json.loads(os.read(read, 10000))

model = xmc.load(sys.argv[1])
before = ask(model)
model.predict(["red apple"])
print(json.dumps([before, ask(model)]))
"""

CYCLES = """
import gc, os, sys, tempfile
import numpy as np
import xmc_jax as xmc
from xmc_jax.ops import count_programs

rng, seen = np.random.default_rng(0), []
for turn in range(60):
    rows, n_labels = int(rng.integers(20, 400)), int(rng.integers(4, 120))
    texts = [" ".join(f"w{j}" for j in rng.integers(0, 300, rng.integers(3, 30))) for _ in range(rows)]
    labels = [[f"l{j}" for j in rng.integers(0, n_labels, 2)] for _ in range(rows)]
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(min_count=1, max_leaf_size=int(rng.integers(3, 30)))
        xmc.XRLinear(**settings).fit(texts, labels).save(folder + "/m")
        xmc.load(folder + "/m").predict(texts[: int(rng.integers(1, rows))], top_k=3)
    gc.collect()
    maps = sum(1 for _ in open("/proc/self/maps"))
    resident = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    seen.append([maps, len(os.listdir("/proc/self/fd")), resident, count_programs()])
print(seen)
"""


def test_a_fork_works_after_load_and_fails_at_once_after_jax_has_run(tmp_path, processes):
    xmc.XRLinear(min_count=1).fit(TEXTS, LABELS).save(tmp_path / "m")
    [said] = processes.finish(processes.start(FORK, tmp_path / "m"), timeout=120)
    before, after = json.loads(said)
    assert len(before[0]) == 1 and "forked after JAX had run" in after


def test_programs_are_let_go_after_a_training(monkeypatch):
    xmc.XRLinear(min_count=1).fit(TEXTS, LABELS)
    assert count_programs() > 0
    monkeypatch.setattr(work, "free_programs", lambda most: kept.append(most))
    kept: list[int] = []
    model = xmc.XRLinear(min_count=1).fit(TEXTS, LABELS)
    model.predict(TEXTS)
    assert kept == [
        work.MOST_PROGRAMS,
        work.MOST_PROGRAMS_EVER,
    ]  # once a call, however deep it goes
    monkeypatch.undo()
    work.free_programs(count_programs())
    assert count_programs() > 0
    expected = model.predict(TEXTS).scores
    work.free_programs(0)
    assert count_programs() == 0
    np.testing.assert_array_equal(model.predict(TEXTS).scores, expected)


@pytest.mark.slow
def test_cycles_of_training_and_loading_take_no_more_and_no_more(processes):
    [said] = processes.finish(processes.start(CYCLES), timeout=1500)
    seen = json.loads(said)
    maps, files, resident, programs = (list(column) for column in zip(*seen, strict=True))
    assert max(programs) < work.MOST_PROGRAMS + 64 and min(programs[10:]) < work.MOST_PROGRAMS
    assert max(files[10:]) <= max(files[:10])
    # Of those that hold as many programs, the last are no larger than the first.
    assert max(maps[35:]) < 1.25 * max(maps[:35]) and max(resident[35:]) < max(resident[:35]) + 100
