"""Forests: the combination of trees trained singly, on disk, resumed, refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.config import LinearConfig, from_dict, to_dict
from xmc_jax.data import labels_from_names
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.linear.forest import list_members
from xmc_jax.predict import combine, forest, predict_batches
from xmc_jax.run import Run, find_manifest, list_rounds
from xmc_jax.types import NoProgress

SMALL = dict(tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1), beam=4)
FOREST = SMALL | dict(trees=3, seed=5)


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)


@pytest.fixture(scope="module")
def labels(corpus):
    return labels_from_names(corpus.train_labels)[0]


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run of three trees, not to be changed, and its predictions."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    model = xmc.XRLinear(**FOREST).fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    return folder, model, model.predict(corpus.test_texts)


def same_predictions(a, b):
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


def same_models(a, b):
    assert a.tree.equals(b.tree)
    for mine, theirs in zip(a.levels, b.levels, strict=True):
        np.testing.assert_array_equal(mine.entry_value, theirs.entry_value)
        np.testing.assert_array_equal(mine.bias, theirs.bias)


@pytest.mark.parametrize("rule", ["average", "round_robin"])
def test_a_forest_is_the_combination_of_its_trees(corpus, whole, rule):
    _, model, _ = whole
    singles = []
    for i, start in enumerate(["principal", "random", "random"]):
        single = xmc.XRLinear(**(SMALL | dict(seed=5 + i)), start=start)
        singles.append(single.fit(corpus.train_texts, corpus.train_labels))
        same_models(model.models[i], singles[-1].model)
    assert not model.models[0].tree.equals(model.models[1].tree)
    assert not model.models[1].tree.equals(model.models[2].tree)
    other = xmc.XRLinear(model.config, combine=rule)
    other.models, other.vectorizer = model.models, model.vectorizer
    other.label_names = model.label_names
    each = [single.predict(corpus.test_texts, top_k=forest.RESULTS) for single in singles]
    same_predictions(other.predict(corpus.test_texts, top_k=10), combine(each, rule, 10))


def test_fewer_results_are_the_first_of_more(corpus, whole):
    _, model, expected = whole
    few = model.predict(corpus.test_texts, top_k=3)
    np.testing.assert_array_equal(few.ids, expected.ids[:, :3])


def test_documents_are_searched_in_parts(corpus, whole, monkeypatch):
    _, model, expected = whole
    monkeypatch.setattr(forest, "_ROWS_AT_ONCE", 40)
    seen = []

    def watch(member, block, *rest, **options):
        seen.append(len(block))
        return predict_batches(member, block, *rest, **options)

    monkeypatch.setattr(forest, "predict_batches", watch)
    found = model.predict(corpus.test_texts)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert seen == [40] * 9 + [30] * 3


def test_single_documents_are_answered_as_in_a_batch(corpus, whole):
    _, model, _ = whole
    batch = model.predict(corpus.test_texts[:4], 25)
    endpoint = model.endpoint(top_k=25)
    for i in range(4):
        found = endpoint(corpus.test_texts[i])
        assert found.ids[0].tolist() == batch.ids[i].tolist()
        np.testing.assert_allclose(found.scores[0], batch.scores[i], rtol=1e-5)


def test_candidates_and_restrictions(corpus, whole):
    _, model, _ = whole
    all_labels = sp.csr_matrix(np.ones((5, 64), np.float32))
    texts = corpus.test_texts[:5]
    scores = model.predict(texts, candidates=all_labels)
    wide = model.predict(texts, top_k=64, beam=64)
    np.testing.assert_allclose(scores.toarray(), wide.to_csr().toarray(), rtol=1e-5, atol=1e-7)
    wanted = [model.label_names[i] for i in (3, 40)]
    found = model.predict(texts, top_k=2, beam=64, restrict_to=wanted)
    assert {name for row in found.names() for name in row} == set(wanted)


def test_a_run_comes_back_from_disk_and_can_be_saved(corpus, whole, tmp_path):
    folder, model, expected = whole
    members = ["member_00", "member_01", "member_02"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json", "labels.txt", "manifest.json", *members, "meta.json", "vectorizer",
    ]  # fmt: skip
    parts = ["level_00", "level_01", "level_02", "metrics.jsonl", "tree"]
    assert all(sorted(p.name for p in (folder / m).iterdir()) == parts for m in members)
    same_predictions(xmc.load(folder).predict(corpus.test_texts), expected)
    model.save(tmp_path / "saved")
    again = xmc.load(tmp_path / "saved")
    assert again.config.trees == 3
    same_predictions(again.predict(corpus.test_texts), expected)


class Stages(NoProgress):
    def __init__(self):
        self.names = []

    def start(self, stage, total):
        self.names.append(stage)


@pytest.mark.parametrize("lost", ["member_00/level_02", "member_01/tree", "member_02/level_01"])
def test_resume_is_bit_identical_and_redoes_no_finished_member(corpus, whole, tmp_path, lost):
    folder, model, expected = whole
    copy = shutil.copytree(folder, tmp_path / "b")
    (copy / "meta.json").unlink()
    stages = [f"member_0{m}/{p}" for m in range(3) for p in ("tree", *(f"level_0{t}" for t in range(3)))]  # fmt: skip
    first = stages.index(lost)
    for stage in stages[first:]:
        shutil.rmtree(copy / stage)
    kept = {s: (copy / s).stat().st_mtime_ns for s in stages[:first]}
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(copy)
    told = Stages()
    again = xmc.XRLinear(**FOREST)
    again.fit(corpus.train_texts, corpus.train_labels, workdir=copy, progress=told)
    assert kept == {s: (copy / s).stat().st_mtime_ns for s in kept}
    trained = [name for name in told.names if "level" in name or name.endswith(" tree")]
    assert len(trained) == len(stages) - first
    assert trained[-1] == "tree 3 of 3, level 2"
    assert told.names.count("features") == 1
    for mine, theirs in zip(again.models, model.models, strict=True):
        same_models(mine, theirs)
    same_predictions(again.predict(corpus.test_texts), expected)


def test_another_number_of_trees_is_another_run(corpus, whole):
    with pytest.raises(InputError, match="trees: 3 -> 4"):
        more = xmc.XRLinear(**FOREST | dict(trees=4))
        more.fit(corpus.train_texts, corpus.train_labels, workdir=whole[0])
    # The rule that combines them has no part in their training.
    other = xmc.XRLinear(**FOREST, combine="round_robin")
    other.fit(corpus.train_texts, corpus.train_labels, workdir=whole[0])
    same_models(other.models[2], whole[1].models[2])


def test_one_tree_is_no_forest(corpus, tmp_path):
    model = xmc.XRLinear(**SMALL, trees=1)
    model.fit(corpus.train_texts, corpus.train_labels, workdir=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert not {"trees", "combine"} & set(config) and "start" not in config["tree"]
    assert not list((tmp_path / "run").glob("member_*"))
    assert (tmp_path / "run" / "tree").is_dir()
    assert len(xmc.load(tmp_path / "run").models) == 1


def test_settings_go_to_disk_and_back():
    config = xmc.XRLinear(**FOREST, combine="rank_average").config
    assert from_dict(LinearConfig, to_dict(config)) == config
    assert to_dict(config)["trees"] == 3
    members = list_members(config)
    assert [m.seed for m in members] == [5, 6, 7] and {m.trees for m in members} == {1}
    assert [m.tree.start for m in members] == ["auto", "random", "random"]
    fixed = xmc.XRLinear(**FOREST, start="principal").config
    assert {m.tree.start for m in list_members(fixed)} == {"principal"}


@pytest.mark.slow
def test_labels_are_disentangled_in_each_tree(corpus, labels, tmp_path):
    overlap = dict(disentangle=dict(copies=2, least_gain=0.0), beam=2, trees=2)
    model = xmc.XRLinear(**SMALL | overlap)
    model.fit(corpus.train_texts, labels, workdir=tmp_path / "run")
    run = Run(find_manifest(tmp_path / "run"))
    for i, member in enumerate(model.models):
        assert member.tree.copies_per_label.max() == 2
        assert [note["round"] for note in list_rounds(run.inside(f"member_0{i}"))] == [1]
    single = xmc.XRLinear(**SMALL | overlap | dict(trees=1, seed=1), start="random")
    same_models(model.models[1], single.fit(corpus.train_texts, labels).model)
    same_predictions(
        xmc.load(tmp_path / "run").predict(corpus.test_texts), model.predict(corpus.test_texts)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(trees=0), "trees=0 given, 1"),
        (dict(trees=65), "trees=65"),
        (dict(trees=2, seed=2**31 - 1), "seed"),
        (dict(combine="mean", trees=2), "'mean' is not a choice"),
        (dict(combine="round_robin"), "combine=round_robin given for one tree"),
        (dict(trees=2, kind="flat"), "trees=2 given for a tree of one level"),
        (dict(trees=2, max_leaf_size=100), "trees=2 given for a tree of one level"),
    ],
)
def test_refusals(corpus, labels, tmp_path, settings, message):
    dotted = {"kind": "tree.kind"}
    with pytest.raises(InputError, match=message):
        model = xmc.XRLinear(**{dotted.get(k, k): v for k, v in settings.items()})
        model.fit(corpus.train_texts, labels, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tree_of_ones_own_makes_no_forest(corpus, labels, whole):
    with pytest.raises(InputError, match="trees=3 given with a tree of your own"):
        xmc.XRLinear(**FOREST).fit(corpus.train_texts, labels, tree=whole[1].model.tree)


KILLED = """
import sys
import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
settings = dict(
    tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1), beam=4, trees=3, seed=5
)
xmc.XRLinear(**settings).fit(corpus.train_texts, corpus.train_labels, workdir=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["member_01/level_01"])
def test_killed_process_goes_on_where_it_was(processes, corpus, whole, tmp_path, stage):
    folder = tmp_path / "run"
    processes.kill_at(folder / stage, processes.start(KILLED, folder))
    assert not (folder / "meta.json").exists()
    again = xmc.XRLinear(**FOREST).fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    for mine, theirs in zip(again.models, whole[1].models, strict=True):
        same_models(mine, theirs)
