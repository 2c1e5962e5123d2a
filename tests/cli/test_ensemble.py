"""Several runs as one, and forests, on the command line."""

from __future__ import annotations

import json
import shutil

import pytest

from xmc_jax.cli.main import main
from xmc_jax.config import LinearConfig, TreeConfig
from xmc_jax.estimator import Ensemble, load
from xmc_jax.plan import Counts, make_plan


@pytest.fixture(scope="module")
def other(tiny, settings, tmp_path_factory):
    """A second run on the tiny data; not to be changed."""
    run = tmp_path_factory.mktemp("other") / "run"
    words = ["train", "--data", str(tiny.data), "--workdir", str(run), *settings]
    assert main([*words, "--seed", "3", "--tree.start", "random"]) == 0
    return run


@pytest.fixture(scope="module")
def forest(tiny, settings, tmp_path_factory):
    """Two trees on the tiny data; not to be changed."""
    run = tmp_path_factory.mktemp("forest") / "run"
    words = ["train", "--data", str(tiny.data), "--workdir", str(run), *settings]
    assert main([*words, "--trees", "2"]) == 0
    return run


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("rule", [None, "rank_average"])
def test_several_runs_predict_as_one(tiny, other, tmp_path, xmc, rule, repeated):
    (tmp_path / "in.txt").write_text("\n".join(tiny.corpus.test_texts) + "\n")
    runs = ["--workdir", tiny.run, *(["--workdir"] if repeated else []), other]
    words = ["--input", tmp_path / "in.txt", "--output", "-", "--top-k", "3"]
    done = xmc("predict", *runs, *words, *(["--combine", rule] if rule else []))
    assert done.code == 0, done.err
    ensemble = Ensemble([tiny.run, other], rule or "average")
    expected = ensemble.predict(tiny.corpus.test_texts, top_k=3)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["labels"] for line in lines] == expected.names()


def test_several_runs_are_evaluated(tiny, other, xmc):
    done = xmc("evaluate", "--workdir", tiny.run, other, "--data", tiny.data, "--beam", "4")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    truth = tiny.corpus.test_labels
    names = Ensemble([tiny.run, other]).predict(tiny.corpus.test_texts, top_k=1).names()
    hits = sum(row[0] in y for row, y in zip(names, truth, strict=True))
    assert report["P@1"] == pytest.approx(100 * hits / len(truth))


def test_a_forest_on_the_command_line(tiny, forest, tmp_path, xmc):
    done = xmc("evaluate", "--workdir", forest, "--data", tiny.data)
    assert done.code == 0 and json.loads(done.out)["n"] == 12
    (tmp_path / "in.txt").write_text(tiny.corpus.test_texts[0] + "\n")
    words = ["predict", "--workdir", forest, "--input", tmp_path / "in.txt", "--output", "-"]
    default = json.loads(xmc(*words).out)
    ranked = json.loads(xmc(*words, "--combine", "rank_average").out)
    assert max(default["scores"]) <= 1 < max(ranked["scores"])
    assert xmc(*words, "--combine", "average").out == xmc(*words).out


def test_describe_tells_of_each_tree(tiny, forest, tmp_path, xmc):
    lines = xmc("describe", "--workdir", forest).out.splitlines()
    assert lines[0] == f"run     {forest}: linear, 2 trees, complete"
    for i, model in enumerate(load(forest).models):
        weights = sum(level.n_entries for level in model.levels)
        assert lines[2 + i].startswith(f"tree {i + 1}  4 - 20, {weights:,} weights")
        assert lines[2 + i].endswith("2 of 2 levels")
    facts = json.loads(xmc("describe", "--workdir", forest, "--json").out)
    assert [len(member["levels"]) for member in facts["members"]] == [2, 2]
    name = load(forest).label_names[0]
    label = json.loads(xmc("describe", "--workdir", forest, "--label", name, "--json").out)
    assert [row["tree"] for row in label["clusters"]] == [1, 2]
    copy = shutil.copytree(forest, tmp_path / "copy")
    (copy / "meta.json").unlink()
    shutil.rmtree(copy / "member_01")
    lines = xmc("describe", "--workdir", copy).out.splitlines()
    assert lines[0].endswith("2 trees, unfinished") and lines[3] == "tree 2  not built yet"


def test_the_plan_of_a_forest():
    counts = Counts(10_000, 5000, 100_000, 2000, 30_000)
    tree = TreeConfig(max_leaf_size=50)
    one, three = (make_plan(counts, LinearConfig(tree=tree, trees=n)) for n in (1, 3))
    assert three.level_sizes == one.level_sizes
    assert three.model_bytes == 3 * one.model_bytes
    assert three.stages[0] == one.stages[0]
    for a, b in zip(one.stages[1:], three.stages[1:], strict=True):
        assert b.name == f"{a.name}, 3 trees" and b.work == 3 * a.work
        assert b.memory == a.memory + 2 * one.model_bytes


def test_wrong_inputs(tiny, other, forest, tmp_path, xmc, settings):
    words = ["--data", tiny.data]
    plan = ["plan", "--data", tiny.data, "--trees", "2"]
    shallow = ["--tree.max_leaf_size", "8", "--preliminary.max_leaf_size", "8"]
    train = ["train", "--data", tiny.data, "--workdir", tmp_path / "r"]
    for line, message in (
        (["evaluate", "--workdir", tiny.run, "--combine", "average", *words], "is one tree"),
        (["evaluate", "--workdir", tiny.run, other, "--combine", "mean", *words], "'mean' given"),
        (["evaluate", "--workdir", tiny.run, tiny.run, *words], "given twice"),
        (["evaluate", "--workdir", tiny.run, tmp_path, *words], "holds no run"),
        ([*train, *settings, "--combine", "round_robin"], "combine=round_robin given for one tree"),
        ([*train, "--trees", "2"], "trees=2 given for a tree of one level"),
        (plan, "trees=2 given for a tree of one level"),
        (
            [*train, "--trees", "2", "--model", "xr-transformer", "--refine", "false", *shallow],
            "whose one tree all would share",
        ),
        (["train", *words, "--workdir", forest, *settings, "--trees", "3"], "trees: 2 -> 3"),
    ):
        done = xmc(*line)
        assert done.code == 2, line
        assert message in done.err[-1], done.err


def test_runs_of_other_labels_are_refused(tiny, tmp_path, xmc):
    model = load(tiny.run)
    model.label_names = ["something else", *model.label_names[1:]]
    model.save(tmp_path / "renamed")
    done = xmc("evaluate", "--workdir", tiny.run, tmp_path / "renamed", "--data", tiny.data)
    assert done.code == 2
    assert "member 1: label 'something else' is none of the first's" in done.err[-1]
