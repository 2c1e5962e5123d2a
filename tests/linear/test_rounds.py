"""Rounds of disentangling end to end: what changes, what must not, and going on after a stop."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.data import labels_from_names, labels_to_csr
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.predict import predict_batches
from xmc_jax.run import Run, find_manifest, find_parts, list_rounds
from xmc_jax.types import PAD

SMALL = dict(tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1), beam=4)
TWICE = SMALL | dict(beam=2, disentangle=dict(copies=2, rounds=2, least_gain=0.0))


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)


@pytest.fixture(scope="module")
def labels(corpus):
    return labels_from_names(corpus.train_labels)[0]


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run of two rounds, not to be changed, and its predictions."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    model = xmc.XRLinear(**TWICE).fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    return folder, model, model.predict(corpus.test_texts)


def precision(model, corpus):
    truth, _ = labels_to_csr(corpus.test_labels, labels_from_names(corpus.train_labels)[1])
    return xmc.metrics.evaluate(model.predict(corpus.test_texts, top_k=5), truth, k=(1,))["P@1"]


def same_predictions(a, b):
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


def same_models(a, b):
    assert a.tree.equals(b.tree)
    for mine, theirs in zip(a.levels, b.levels, strict=True):
        np.testing.assert_array_equal(mine.entry_value, theirs.entry_value)
        np.testing.assert_array_equal(mine.bias, theirs.bias)


@pytest.mark.parametrize("off", [dict(copies=1, rounds=3), dict(copies=3, rounds=0)])
def test_one_copy_or_no_round_is_bit_identical_to_none_of_it(corpus, labels, off):
    plain = xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels)
    model = xmc.XRLinear(**SMALL, disentangle=off).fit(corpus.train_texts, labels)
    same_models(model.model, plain.model)
    same_predictions(model.predict(corpus.test_texts), plain.predict(corpus.test_texts))


@pytest.mark.parametrize("positives", ["routed", "all"])
@pytest.mark.parametrize("retrain", ["last", "all"])
def test_labels_get_copies_and_are_found_once(corpus, labels, positives, retrain):
    plain = xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels)
    overlap = dict(copies=2, positives=positives, retrain=retrain)
    model = xmc.XRLinear(**SMALL, disentangle=overlap).fit(corpus.train_texts, labels)
    tree, before = model.model.tree, plain.model.tree
    assert tree.level_sizes[:-1] == before.level_sizes[:-1]
    assert tree.n_edges > before.n_edges and tree.copies_per_label.max() == 2
    kept = [
        np.array_equal(a.entry_value, b.entry_value)
        for a, b in zip(model.model.levels, plain.model.levels, strict=True)
    ]
    assert not kept[-1]
    # The inner levels see documents under more clusters, if they are trained again.
    assert all(kept[:-1]) == (retrain == "last")
    ids = model.predict(corpus.test_texts).ids
    assert all(len(np.unique(row[row != PAD])) == (row != PAD).sum() for row in ids)
    assert precision(model, corpus) > 60


def test_routed_is_all_when_the_beam_holds_every_cluster(corpus, labels):
    wide = SMALL | dict(beam=64)
    models = [
        xmc.XRLinear(**wide, disentangle=dict(copies=2, positives=positives))
        .fit(corpus.train_texts, labels)
        .model
        for positives in ("routed", "all")
    ]
    same_models(*models)


@pytest.mark.parametrize("negatives", ["tfn+man", "usn+tfn", "usn+man"])
def test_every_kind_of_negatives(corpus, labels, negatives):
    model = xmc.XRLinear(**SMALL, negatives=negatives, disentangle=dict(copies=2))
    user = None
    if "usn" in negatives:
        some = sp.random(*labels.shape, 0.1, rng=np.random.default_rng(0))
        user = {0: (some + labels).tocsr()}
    model.fit(corpus.train_texts, labels, negatives=user)
    assert model.model.tree.copies_per_label.max() == 2
    assert precision(model, corpus) > 60


def test_relevance_goes_with_the_copies(corpus, labels):
    ones = labels.copy()
    ones.data[:] = 1.0
    overlap = dict(copies=2)
    plain = xmc.XRLinear(**SMALL, disentangle=overlap).fit(corpus.train_texts, labels)
    last = xmc.XRLinear(**SMALL, disentangle=overlap, relevance="last")
    last.fit(corpus.train_texts, labels, relevance=ones)
    assert last.model.tree.equals(plain.model.tree)
    np.testing.assert_allclose(
        last.model.levels[-1].bias, plain.model.levels[-1].bias, rtol=1e-3, atol=1e-4
    )


def test_a_run_comes_back_from_disk_and_can_be_saved_whole(corpus, whole, tmp_path):
    folder, model, expected = whole
    assert {"round_01", "round_02"} <= {p.name for p in folder.iterdir()}
    same_predictions(xmc.load(folder).predict(corpus.test_texts), expected)
    model.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("round_*"))
    same_predictions(xmc.load(tmp_path / "saved").predict(corpus.test_texts), expected)


STAGES = [
    "level_01",
    "round_01",
    "round_01/tree",
    "round_01/level_01",
    "round_02",
    "round_02/level_02",
]


@pytest.mark.parametrize("lost", STAGES)
def test_resume_from_any_stage_is_bit_identical(corpus, whole, tmp_path, lost):
    folder, model, expected = whole
    copy = shutil.copytree(folder, tmp_path / "b")
    (copy / "meta.json").unlink()
    by_age = ["tree", "level_00", "level_01", "level_02"]
    by_age += [f"round_{r:02d}/{part}" for r in (1, 2) for part in ("beams", *by_age)]
    stages = [stage for stage in by_age if (copy / stage).exists()]
    first = next(i for i, s in enumerate(stages) if s.startswith(lost))
    for stage in stages[first:]:
        shutil.rmtree(copy / stage)
    kept = {s: (copy / s).stat().st_mtime_ns for s in stages[:first]}
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(copy)
    again = xmc.XRLinear(**TWICE).fit(corpus.train_texts, corpus.train_labels, workdir=copy)
    assert kept == {s: (copy / s).stat().st_mtime_ns for s in kept}
    same_models(again.model, model.model)
    same_predictions(xmc.load(copy).predict(corpus.test_texts), expected)


def test_rounds_end_when_they_gain_too_little(corpus, labels, tmp_path):
    model = xmc.XRLinear(**SMALL, disentangle=dict(copies=2, rounds=5, least_gain=0.5))
    model.fit(corpus.train_texts, labels, workdir=tmp_path / "run")
    run = Run(find_manifest(tmp_path / "run"))
    notes = list_rounds(run)
    assert 1 <= len(notes) < 5 and notes[-1]["stop"]
    parts = find_parts(run)
    assert parts.round == len(notes) - 1
    assert parts.read_tree().tree.equals(model.model.tree)
    gain = notes[-1]["after"]["objective"] / notes[-1]["before"]["objective"] - 1
    assert gain <= 0.5
    (tmp_path / "run" / "meta.json").unlink()
    again = xmc.XRLinear(**SMALL, disentangle=dict(copies=2, rounds=5, least_gain=0.5))
    again.fit(corpus.train_texts, labels, workdir=tmp_path / "run")
    same_models(again.model, model.model)


def test_another_number_of_copies_is_another_run(corpus, whole):
    with pytest.raises(InputError, match=r"disentangle.copies: 2 -> 3"):
        three = TWICE | dict(disentangle=TWICE["disentangle"] | dict(copies=3))
        xmc.XRLinear(**three).fit(corpus.train_texts, corpus.train_labels, workdir=whole[0])


def test_trees_without_clusters_or_with_more_copies_are_refused(corpus, labels, whole):
    with pytest.raises(InputError, match="one level"):
        xmc.XRLinear(disentangle=dict(copies=2)).fit(corpus.train_texts, labels)
    three = xmc.XRLinear(**SMALL, disentangle=dict(copies=3)).fit(corpus.train_texts, labels)
    with pytest.raises(InputError, match="under 3 clusters"):
        xmc.XRLinear(**TWICE).fit(corpus.train_texts, labels, tree=three.model.tree)


def test_merges_differ_and_a_probability_stays_one(corpus, whole):
    _, model, expected = whole
    x, search = model.featurize(corpus.test_texts), model.config.search
    dense = {
        merge: predict_batches(model.model, x, search, merge=merge).to_csr().toarray()
        for merge in ("mean", "max", "noisy-or")
    }
    assert (dense["mean"] < dense["max"] - 1e-6).any()
    assert (dense["max"] < dense["noisy-or"] - 1e-6).any()
    assert dense["noisy-or"].max() <= 1.0
    np.testing.assert_array_equal(expected.to_csr().toarray(), dense["noisy-or"])


KILLED = """
import sys
import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
settings = dict(
    tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1), beam=2,
    disentangle=dict(copies=2, rounds=2, least_gain=0.0),
)
xmc.XRLinear(**settings).fit(corpus.train_texts, corpus.train_labels, workdir=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", ["round_01", "round_01/beams/0", "round_01/level_01", "round_02/tree"]
)
def test_killed_process_goes_on_where_it_was(processes, corpus, whole, tmp_path, stage):
    folder = tmp_path / "run"
    processes.kill_at(folder / stage, processes.start(KILLED, folder))
    again = xmc.XRLinear(**TWICE).fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    same_models(again.model, whole[1].model)
