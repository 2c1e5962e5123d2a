from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from xmc_jax.cli.main import main
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


@pytest.fixture(scope="module")
def overlapping(tiny, settings, tmp_path_factory):
    """A run on the tiny data with two copies of a label."""
    folder = tmp_path_factory.mktemp("overlapping") / "run"
    words = ["--disentangle.copies", "2", "--disentangle.folds", "1", "--beam", "2"]
    assert (
        main(["train", "--data", str(tiny.data), "--workdir", str(folder), *settings, *words]) == 0
    )
    return folder


def test_rounds_and_the_clusters_of_a_label(overlapping, xmc):
    lines = xmc("describe", "--workdir", overlapping).out.splitlines()
    assert lines[2].startswith("round 1 labels moved to ") and "positives in reach" in lines[2]
    assert lines[-1].split()[1:3] == ["label", "copies"] and lines[-1].endswith("complete")
    model = load(overlapping)
    tree, names = model.model.tree, model.label_names
    label = int(np.argmax(tree.copies_per_label))
    done = xmc("describe", "--workdir", overlapping, "--label", names[label], "--json")
    facts = json.loads(done.out)
    assert facts["documents"] == model.label_counts[label]
    clusters = tree.edge_cluster[tree.edge_label == label]
    assert [row["path"] for row in facts["clusters"]] == [[int(c)] for c in clusters]
    for row, cluster in zip(facts["clusters"], clusters, strict=True):
        inside = {names[i] for i in tree.edge_label[tree.edge_cluster == cluster]}
        shown = {name for name, _ in row["others"]}
        assert shown <= inside - {names[label]} and row["size"] == len(inside)
        counts = [count for _, count in row["others"]]
        assert counts == sorted(counts, reverse=True)
    text = xmc("describe", "--workdir", overlapping, "--label", names[label]).out
    assert text.startswith(f"label   {names[label]}: ") and "2 clusters" in text.splitlines()[0]


def test_a_label_that_is_not_there(tiny, vectors, xmc):
    name = load(tiny.run).label_names[0]
    done = xmc("describe", "--workdir", tiny.run, "--label", name + "x")
    assert done.code == 2 and f"did you mean '{name}'?" in done.err[0]
    assert xmc("describe", "--workdir", tiny.run, "--label", name).out.count("cluster ") == 1


def test_an_unfinished_round_says_what_is_missing(overlapping, xmc, tmp_path):
    copy = shutil.copytree(overlapping, tmp_path / "copy")
    (copy / "meta.json").unlink()
    shutil.rmtree(copy / "round_01" / "level_01")
    lines = xmc("describe", "--workdir", copy).out.splitlines()
    assert lines[0].endswith("unfinished, 1 levels of 2")
    assert lines[-1].endswith("missing") and "label copies" in lines[-1]
