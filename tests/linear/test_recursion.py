"""Runs end to end on a small corpus with a known tree: resume, negatives, relevance, trees, compilations."""

from __future__ import annotations

import weakref

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.data import labels_from_names, labels_to_csr
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.model import labels_at
from xmc_jax.run import Run, find_manifest
from xmc_jax.tree import flat_tree

SMALL = dict(tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1))


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)


def precision(model, corpus):
    predictions = model.predict(corpus.test_texts, top_k=5)
    truth, _ = labels_to_csr(corpus.test_labels, xmc_labels(corpus)[1])
    return xmc.metrics.evaluate(predictions, truth, k=(1,))["P@1"]


def same_predictions(a, b):
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_learns_and_comes_back_from_disk(corpus, tmp_path):
    model = xmc.XRLinear(**SMALL).fit(
        corpus.train_texts, corpus.train_labels, workdir=tmp_path / "run"
    )
    assert precision(model, corpus) > 60
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"config.json", "labels.txt", "vectorizer", "tree", "level_00", "metrics.jsonl"} <= names
    expected = model.predict(corpus.test_texts)
    same_predictions(xmc.load(tmp_path / "run").predict(corpus.test_texts), expected)
    model.save(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / "moved")
    same_predictions(xmc.load(tmp_path / "moved").predict(corpus.test_texts), expected)


@pytest.mark.parametrize("lost", ["vectorizer", "tree", "level_00", "level_01", "level_02"])
def test_resume_from_any_stage_is_bit_identical(corpus, tmp_path, lost):
    """A stage that never came to an end leaves no folder, nor do those after it."""
    import shutil

    whole = xmc.XRLinear(**SMALL).fit(
        corpus.train_texts, corpus.train_labels, workdir=tmp_path / "a"
    )
    stages = ["vectorizer", "tree", "level_00", "level_01", "level_02"]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "meta.json").unlink()
    for stage in stages[stages.index(lost) :]:
        shutil.rmtree(tmp_path / "b" / stage)
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(tmp_path / "b")
    kept = {s: (tmp_path / "b" / s).stat().st_mtime_ns for s in stages[: stages.index(lost)]}
    again = xmc.XRLinear(**SMALL).fit(
        corpus.train_texts, corpus.train_labels, workdir=tmp_path / "b"
    )
    assert kept == {s: (tmp_path / "b" / s).stat().st_mtime_ns for s in kept}
    same_predictions(again.predict(corpus.test_texts), whole.predict(corpus.test_texts))


def test_another_run_is_refused_with_the_difference(corpus, tmp_path):
    xmc.XRLinear(**SMALL).fit(corpus.train_texts, corpus.train_labels, workdir=tmp_path)
    with pytest.raises(InputError, match=r"search.beam: 'auto' -> 5"):
        xmc.XRLinear(**SMALL, beam=5).fit(corpus.train_texts, corpus.train_labels, workdir=tmp_path)
    with pytest.raises(InputError, match="other data"):
        xmc.XRLinear(**SMALL).fit(
            corpus.train_texts[:-1], corpus.train_labels[:-1], workdir=tmp_path
        )


@pytest.mark.parametrize("negatives", ["man", "tfn+man", ("tfn", "man", "tfn+man")])
def test_matcher_aware_negatives_learn_too(corpus, negatives):
    model = xmc.XRLinear(**SMALL, negatives=negatives)
    model.fit(corpus.train_texts, corpus.train_labels)
    assert precision(model, corpus) > 60


def test_user_supplied_negatives_are_trained_on(corpus):
    plain = xmc.XRLinear(**SMALL).fit(corpus.train_texts, corpus.train_labels)
    n, tree = len(corpus.train_texts), plain.model.tree
    everybody = {tree.n_levels - 2: sp.csr_matrix(np.ones((n, tree.level_sizes[-2])))}
    model = xmc.XRLinear(**SMALL, negatives="usn+tfn")
    model.fit(corpus.train_texts, corpus.train_labels, tree=tree, negatives=everybody)
    # Everybody is a negative of every label now, so weights differ and the model still works.
    assert model.model.levels[-1].n_entries != plain.model.levels[-1].n_entries
    assert precision(model, corpus) > 60
    with pytest.raises(InputError, match="names usn"):
        model.fit(corpus.train_texts, corpus.train_labels)


def test_relevance_modes(corpus):
    labels, _ = xmc_labels(corpus)
    ones = labels.copy()
    ones.data[:] = 1.0
    plain = xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels)
    last = xmc.XRLinear(**SMALL, relevance="last").fit(corpus.train_texts, labels, relevance=ones)
    np.testing.assert_allclose(
        plain.model.levels[-1].entry_value, last.model.levels[-1].entry_value, rtol=1e-5
    )
    induced = xmc.XRLinear(**SMALL, relevance="induce", relevance_norm="l1")
    induced.fit(corpus.train_texts, labels)
    assert precision(induced, corpus) > 50
    with pytest.raises(InputError, match="relevance=none"):
        xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels, relevance=ones)


def test_relevance_counts_by_its_values(corpus):
    labels, _ = xmc_labels(corpus)
    half = xmc.XRLinear(**SMALL, relevance="induce")
    half.fit(corpus.train_texts, labels, relevance=labels * 0.5)
    direct = xmc.XRLinear(**SMALL, relevance="last", cost_positive=0.5)
    direct.fit(corpus.train_texts, labels, tree=half.model.tree)
    np.testing.assert_allclose(
        half.model.levels[-1].bias, direct.model.levels[-1].bias, rtol=1e-4, atol=1e-5
    )


def test_candidates_are_what_is_stored_whatever_its_value(corpus):
    labels, _ = xmc_labels(corpus)
    model = xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels)
    stored = sp.csr_matrix((np.array([-2.0, 0.0]), np.array([3, 5]), np.array([0, 2])), (1, 64))
    scores = model.predict(corpus.test_texts[:1], candidates=stored)
    np.testing.assert_array_equal(scores.indices, [3, 5])


def test_a_label_renamed_between_two_fits_is_noticed(corpus, tmp_path):
    labels, names = xmc_labels(corpus)
    fit = dict(labels=labels, workdir=tmp_path)
    xmc.XRLinear(**SMALL).fit(corpus.train_texts, label_names=names, **fit)
    with pytest.raises(InputError, match="other names"):
        xmc.XRLinear(**SMALL).fit(corpus.train_texts, label_names=["new", *names[1:]], **fit)


def xmc_labels(corpus):
    return labels_from_names(corpus.train_labels)


def test_flat_tree_is_one_level_of_all_labels(corpus):
    labels, names = xmc_labels(corpus)
    model = xmc.XRLinear(tree=dict(kind="flat"), features=dict(min_count=1))
    model.fit(corpus.train_texts, labels, label_names=names)
    assert model.model.tree.n_levels == 1
    assert model.model.tree.equals(flat_tree(labels.shape[1]))
    assert precision(model, corpus) > 60


def test_own_vectors_sparse_and_dense(corpus):
    labels, _ = xmc_labels(corpus)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((labels.shape[1], 24)).astype(np.float32)
    x = labels @ centres + 0.1 * rng.standard_normal((labels.shape[0], 24)).astype(np.float32)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    settings = dict(tree=SMALL["tree"], threshold=0.0, cost_positive=4.0)
    dense = xmc.XRLinear(**settings, formulation="gram").fit(x, labels)
    report = xmc.metrics.evaluate(dense.predict(x, top_k=5), labels, k=(1,))
    assert report["P@1"] > 80
    # The same numbers as sparse columns are the same problem, solved in another formulation.
    sparse = xmc.XRLinear(**settings, formulation="dual", tolerance=1e-6)
    sparse.fit(sp.csr_matrix(x), labels, tree=dense.model.tree)
    a, b = dense.predict(x, top_k=1).ids, sparse.predict(sp.csr_matrix(x), top_k=1).ids
    assert (a == b).mean() > 0.98
    with pytest.raises(InputError, match="23"):
        dense.predict(x[:, :23])


def test_compilations_of_a_run_are_few_and_of_a_second_none(corpus):
    """One compilation for each level kind, whatever the number of clusters, labels and documents."""
    counts = []

    def count(event: str, **kwargs) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            counts.append(event)

    def listen(event: str, duration: float, **kwargs) -> None:
        count(event)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        texts, labels = corpus.train_texts, corpus.train_labels
        model = xmc.XRLinear(**SMALL).fit(texts, labels)
        model.predict(corpus.test_texts)
        first = len(counts)
        xmc.XRLinear(**SMALL).fit(texts, labels).predict(corpus.test_texts)
        second = len(counts) - first
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert 0 < first <= 40
    assert second == 0


KILLED = """
import sys
import xmc_jax as xmc
from xmc_jax.data import labels_from_names, labels_to_csr
from xmc_jax.data.synthetic import make_corpus
corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
settings = dict(tree=dict(branching=4, max_leaf_size=8), features=dict(min_count=1))
xmc.XRLinear(**settings).fit(corpus.train_texts, corpus.train_labels, workdir=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vectorizer", "tree", "level_00", "level_01"])
def test_killed_process_goes_on_where_it_was(processes, corpus, tmp_path, stage):
    folder = tmp_path / "run"
    processes.kill_at(folder / stage, processes.start(KILLED, folder))
    again = xmc.XRLinear(**SMALL).fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    whole = xmc.XRLinear(**SMALL).fit(corpus.train_texts, corpus.train_labels)
    same_predictions(again.predict(corpus.test_texts), whole.predict(corpus.test_texts))
    assert Run(find_manifest(folder)).has("level_00")


def test_labels_of_every_level_are_positives_of_their_clusters(corpus):
    labels, _ = xmc_labels(corpus)
    tree = xmc.XRLinear(**SMALL).fit(corpus.train_texts, labels).model.tree
    top = labels_at(tree, 0, labels)
    assert top.sum() == labels.sum()


def test_nothing_of_the_search_is_kept_while_a_level_is_solved(corpus, monkeypatch):
    from xmc_jax.linear import level

    laid_out, alive, solve, build = [], [], level.solve_level, level.lay_out

    def watch(model, mesh):
        index = build(model, mesh)
        laid_out.append(weakref.ref(index))
        return index

    def look(*args, **settings):
        alive.append(sum(index() is not None for index in laid_out))
        return solve(*args, **settings)

    monkeypatch.setattr(level, "lay_out", watch)

    monkeypatch.setattr(level, "solve_level", look)
    xmc.XRLinear(**SMALL, negatives="tfn+man").fit(corpus.train_texts, corpus.train_labels)
    assert len(laid_out) == 2 and alive == [0, 0, 0]
