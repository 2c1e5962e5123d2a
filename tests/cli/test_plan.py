from __future__ import annotations

import json

import numpy as np
import pytest

from xmc_jax.cli.format import format_count
from xmc_jax.cli.main import main
from xmc_jax.cli.plan import find_pace, format_plan
from xmc_jax.config import DisentangleConfig, LinearConfig, RankerConfig, TreeConfig
from xmc_jax.data import write_corpus
from xmc_jax.memory import LIBRARIES, find_memory
from xmc_jax.parallel import Target
from xmc_jax.plan import Counts, count_data, make_plan, shape_tree
from xmc_jax.tree import build_tree


@pytest.mark.parametrize("n_labels", [1, 7, 8, 65, 300])
@pytest.mark.parametrize(
    "config",
    [
        TreeConfig(branching=4, max_leaf_size=8),
        TreeConfig(branching=3, max_leaf_size=2, min_clusters=5),
        TreeConfig(branching=2, max_leaf_size=1, min_clusters=1),
        TreeConfig(kind="flat"),
    ],
)
def test_the_shape_is_that_of_the_tree_built(n_labels, config):
    embeddings = np.random.default_rng(0).normal(size=(n_labels, 5))
    assert shape_tree(n_labels, config) == build_tree(embeddings, config).level_sizes


def test_published_shapes():
    sixteen = TreeConfig(branching=16)
    assert shape_tree(19_664, sixteen) == (16, 256, 19_664)
    assert shape_tree(36_957, sixteen) == (2, 32, 512, 36_957)
    assert shape_tree(234_767, sixteen) == (16, 256, 4096, 234_767)


def test_formulas():
    counts = Counts(
        n_documents=1000, n_features=50, nnz_features=8000, n_labels=40, nnz_labels=2000
    )
    config = LinearConfig(
        tree=TreeConfig(branching=4, max_leaf_size=10), ranker=RankerConfig(threshold=0.0)
    )
    plan = make_plan(counts, config)
    assert plan.level_sizes == (4, 40)
    assert [stage.name for stage in plan.stages] == [
        "features", "label embedding", "tree", "level 0", "level 1", "search",
    ]  # fmt: skip
    # level 0: one parent, every document, 8 features a document, 4 children; below two labels each,
    # which share some of the 4 clusters
    assert plan.stages[3].work == 1000 * 8 * 4
    shared = 2 ** (np.log(4) / np.log(40))
    assert plan.stages[4].work == pytest.approx(1000 * shared * 8 * (40 // 4), abs=1)
    features = 50 * (shared / 4) ** 0.58
    assert plan.model_bytes == pytest.approx(8 * (4 * 50 + 40 * features), abs=2)
    held = LIBRARIES + 8 * (8000 + 2000) + 16 * 1001 + 100 * 40
    assert plan.stages[0].memory == held
    entries = min(8000 * 2000 // 1000 // 2, 50 * 40)
    assert plan.stages[2].memory == held + 41 * entries
    assert plan.peak.memory == max(stage.memory for stage in plan.stages)


def test_a_budget_bounds_the_levels():
    counts = Counts(82_000, 29_000, 740_000, 19_600, 246_000)
    free = make_plan(counts, LinearConfig(memory="1TB"))
    tight = make_plan(counts, LinearConfig(memory="800MB"))
    assert tight.stages[-2].memory < free.stages[-2].memory
    assert tight.level_sizes == free.level_sizes and tight.model_bytes == free.model_bytes


def test_seconds_are_those_of_the_work_and_not_told_for_other_devices_or_processes(monkeypatch):
    counts = Counts(10_000, 5000, 100_000, 2000, 30_000, text_bytes=600_000)
    plan = make_plan(counts, LinearConfig())
    # Seconds of a stage count once for each tree, and twice the documents take longer.
    trees = make_plan(counts, LinearConfig(trees=3))
    once = plan.stages[0].seconds
    assert trees.seconds - once == pytest.approx(3 * (plan.seconds - once))
    many = make_plan(Counts(80_000, 5000, 800_000, 2000, 240_000, 4_800_000), LinearConfig())
    assert plan.seconds < many.seconds
    assert "seconds" not in format_plan(counts, plan, 10**9, None)
    assert find_pace(1) is not None and find_pace(2) is None
    monkeypatch.setattr(Target, "of", lambda mesh=None: Target.named("h100"))
    assert find_pace(1) is None


def test_settings_move_the_plan():
    counts = Counts(10_000, 5000, 100_000, 2000, 30_000)
    few = make_plan(counts, LinearConfig(ranker=RankerConfig(max_nonzeros=5)))
    all_weights = make_plan(counts, LinearConfig(ranker=RankerConfig(threshold=0.0)))
    some = make_plan(counts, LinearConfig())
    assert few.model_bytes < some.model_bytes < all_weights.model_bytes
    more = make_plan(counts, LinearConfig(ranker=RankerConfig(negatives="tfn+man")))
    assert more.stages[-2].work > some.stages[-2].work


def test_counts_of_texts_are_exact_when_there_are_few(tmp_path):
    corpus = write_corpus(tmp_path, n_train=50, n_test=0, n_labels=10)
    counts = count_data(str(tmp_path), LinearConfig())
    assert (counts.n_documents, counts.n_labels) == (50, 10)
    assert counts.nnz_labels == sum(map(len, corpus.train_labels))
    assert counts.text_bytes == sum(map(len, corpus.train_texts))
    assert 0 < counts.nnz_features <= 50 * counts.n_features


def test_many_texts_are_estimated(tmp_path, monkeypatch):
    write_corpus(tmp_path, n_train=2000, n_test=0, n_labels=20)
    exact = count_data(str(tmp_path), LinearConfig())
    monkeypatch.setattr("xmc_jax.plan.counts.SAMPLE", 500)
    about = count_data(str(tmp_path), LinearConfig())
    assert about.n_features == pytest.approx(exact.n_features, rel=0.3)
    assert about.nnz_features == pytest.approx(exact.nnz_features, rel=0.1)


def test_command(tmp_path, capsys):
    write_corpus(tmp_path, n_train=50, n_test=0, n_labels=30)
    command = ["plan", "--data", str(tmp_path), "--max_leaf_size", "5"]
    assert main(command) == 0
    table = capsys.readouterr()
    assert "8 - 30" in table.out and "level 1" in table.out and "peak" in table.out
    assert table.err == ""
    assert main([*command, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["level_sizes"] == [8, 30]
    assert content["peak_bytes"] == max(stage["memory"] for stage in content["stages"])
    assert content["budget_bytes"] == find_memory()
    assert "time    " in table.out and "two cores of this machine" in table.out
    stages = {stage["name"]: stage["seconds"] for stage in content["stages"]}
    assert (
        0 < stages["level 0"] < content["seconds"] == pytest.approx(sum(stages.values()), abs=0.1)
    )
    assert main([*command, "--memory", "100MB"]) == 0
    assert "budget  100 MB: too little" in capsys.readouterr().out
    assert main([*command, "--branching", "4"]) == 0
    assert "2 - 8 - 30" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999 "), (1234, "1.23 k"), (5.6e9, "5.6 G"), (0, "0 ")]
)
def test_format_count(number, text):
    assert format_count(number) == text


def test_rounds_of_disentangling_are_planned():
    counts = Counts(10_000, 5000, 100_000, 2000, 30_000)
    tree = TreeConfig(branching=4, max_leaf_size=100)
    plain = make_plan(counts, LinearConfig(tree=tree))
    twice = DisentangleConfig(copies=2, folds=1, retrain="last")
    plan = make_plan(counts, LinearConfig(tree=tree, disentangle=twice))
    assert plan.level_sizes == (*plain.level_sizes[:-1], 4000)
    last = len(plain.level_sizes) - 1
    names = [stage.name for stage in plan.stages[len(plain.stages) - 1 : -1]]
    assert names == ["round 1, assignment", f"round 1, level {last}"]
    # Twice the children of each cluster, and more rows, since a document has twice the labels.
    assert 2.2 < plan.stages[-2].work / plain.stages[-2].work < 4
    folds = make_plan(counts, LinearConfig(tree=tree, disentangle=DisentangleConfig(copies=2)))
    names = [stage.name for stage in folds.stages[len(plain.stages) - 1 : -1]]
    assert names[0] == "round 1, fold 1, level 0" and names[-1] == f"round 1, level {last}"
    assert folds.stages[len(plain.stages) - 1].work * 2 == plain.stages[-last - 2].work
    assert make_plan(counts, LinearConfig(tree=TreeConfig(kind="flat"), disentangle=twice)) == (
        make_plan(counts, LinearConfig(tree=TreeConfig(kind="flat")))
    )


def test_a_target_is_planned_and_compiled(tmp_path, capsys):
    write_corpus(tmp_path, n_train=60, n_test=0, n_labels=12)
    command = ["plan", "--data", str(tmp_path), "--tree.kind", "flat"]
    assert main([*command, "--target", "v5e-8"]) == 0
    told = capsys.readouterr().out
    assert "v5e-8: 8 of 16 GB each" in told and "formulas only" in told
    assert "second" not in told.partition("target  ")[2]  # those of this machine stand above
    assert main([*command, "--target", "cpu", "--verify", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["target"]["fits"] and all(c["figures"]["memory"] for c in content["compiled"])
    assert {c["name"] for c in content["compiled"]} >= {"search"}


def test_targets_that_cannot_be(tmp_path, capsys, monkeypatch):
    write_corpus(tmp_path, n_train=20, n_test=0, n_labels=12)
    command = ["plan", "--data", str(tmp_path)]
    assert main([*command, "--target", "v5x-8"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main([*command, "--verify"]) == 2
    assert "--target" in capsys.readouterr().err
    monkeypatch.setattr("xmc_jax.parallel.topology.importlib.util.find_spec", lambda name: None)
    assert main([*command, "--target", "v5e-8", "--verify"]) == 1
    assert "jax[tpu]" in capsys.readouterr().err
