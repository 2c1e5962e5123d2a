from __future__ import annotations

import json
import shutil

from xmc_jax.estimator import load


def test_a_complete_run(tiny, xmc):
    done = xmc("describe", "--workdir", tiny.run)
    assert (done.code, done.err) == (0, [])
    lines = done.out.splitlines()
    assert lines[0] == f"run     {tiny.run}: linear, complete"
    assert "60 documents, 20 labels" in lines[1] and str(tiny.data) in lines[1]
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["0", "clusters", "4"],
        ["1", "labels", "20"],
    ]
    assert all(line.endswith("complete") for line in lines[-2:])


def test_json_holds_the_same(tiny, xmc):
    facts = json.loads(xmc("describe", "--workdir", tiny.run, "--json").out)
    model = load(tiny.run)
    assert facts["complete"]
    assert facts["config"]["tree"]["max_leaf_size"] == 5
    for row, weights, size in zip(facts["levels"], model.model.levels, (4, 20), strict=True):
        assert row["size"] == size
        assert row["weights"] == weights.n_entries
        assert row["density"] == weights.n_entries / (size * model.model.n_sparse)
        assert row["bytes"] > 0


def test_unfinished_runs(run_copy, xmc):
    (run_copy / "meta.json").unlink()
    shutil.rmtree(run_copy / "level_01")
    done = xmc("describe", "--workdir", run_copy)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].endswith("unfinished, 1 levels of 2")
    assert lines[-2].endswith("complete") and lines[-1].endswith("missing")
    shutil.rmtree(run_copy / "tree")
    done = xmc("describe", "--workdir", run_copy)
    assert done.code == 0
    assert done.out.splitlines()[0].endswith("unfinished, 0 levels of ?")
    assert done.out.splitlines()[-1] == "tree    not built yet"
