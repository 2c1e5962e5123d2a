"""Predictions of a set do not depend on how it is cut into batches."""

from __future__ import annotations

import copy
import dataclasses
import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.predict import (
    FewResultsWarning,
    build_index,
    index,
    matched_clusters,
    predict_batches,
    search,
)
from xmc_jax.types import PAD, Features

CONFIG = SearchConfig(beam=4, top_k=5)


class Listener:
    def __init__(self):
        self.total, self.done, self.finished = 0, 0, False

    def start(self, stage, total):
        self.total = total

    def advance(self, n):
        self.done += n

    def finish(self, note):
        self.finished = True


def test_rows_come_back_in_order_whatever_the_batch(tools):
    model, features = tools.model(copies=True), tools.features(40)
    whole = predict_batches(model, features, CONFIG)
    expected = tools.slowly(model, features, 4)
    assert [r.tolist() for r in whole.ids] == [tools.rank(found, 5) for found in expected]
    cut = predict_batches(model, features, dataclasses.replace(CONFIG, batch=3))
    np.testing.assert_array_equal(whole.ids, cut.ids)
    np.testing.assert_allclose(whole.scores, cut.scores, rtol=1e-5)
    backwards = predict_batches(model, features[np.arange(40)[::-1]], CONFIG)
    np.testing.assert_array_equal(whole.ids, backwards.ids[::-1])
    np.testing.assert_allclose(whole.scores, backwards.scores[::-1], rtol=1e-5)


def test_a_long_document_among_short_ones(tools):
    n_sparse = 3000
    model = tools.model(n_sparse=n_sparse)
    features = tools.features(6, n_sparse=n_sparse, density=0.002)
    long = tools.features(1, n_sparse=n_sparse, density=0.6, seed=4)
    sparse = sp.csr_matrix(sp.vstack([features.sparse[:3], long.sparse, features.sparse[3:]]))
    together = Features(sparse, np.zeros((7, 0), np.float32))
    ids = predict_batches(model, together, CONFIG).ids
    assert [r.tolist() for r in ids] == [tools.rank(f, 5) for f in tools.slowly(model, together, 4)]


def test_more_results_than_the_beam_can_find(tools):
    model, features = tools.model(), tools.features(3)
    with pytest.warns(FewResultsWarning, match="top_k=30 given, beam=1 finds at most"):
        found = predict_batches(model, features, SearchConfig(beam=1, top_k=30))
    assert found.ids.shape[1] < 30 and (found.ids[:, 0] != PAD).all()
    # All labels were found: nobody is warned.
    every = predict_batches(model, features, SearchConfig(beam=10, top_k=tools.L + 3))
    assert ((every.ids != PAD).sum(axis=1) == tools.L).all()


def test_no_documents(tools):
    found = predict_batches(tools.model(), tools.features(0), CONFIG)
    assert found.ids.shape == (0, 5)


def test_progress_and_names(tools):
    listener, names = Listener(), [f"label {i}" for i in range(tools.L)]
    found = predict_batches(
        tools.model(), tools.features(), CONFIG, label_names=names, progress=listener
    )
    assert (listener.total, listener.done, listener.finished) == (17, 17, True)
    assert found.names()[0][0] == names[found.ids[0, 0]]


def test_other_features_are_refused(tools):
    model = tools.model()
    with pytest.raises(InputError, match="31 sparse features given, the model was trained on 30"):
        predict_batches(model, tools.features(n_sparse=31), CONFIG)
    with pytest.raises(InputError, match="2 dense columns given, the model was trained on 0"):
        predict_batches(model, tools.features(dense=2), CONFIG)


def test_an_unfinished_model_predicts_clusters_not_labels(tools):
    model, features = tools.model(), tools.features()
    prefix = dataclasses.replace(model, levels=model.levels[:2])
    with pytest.raises(InputError, match="2 of 3 levels"):
        predict_batches(prefix, features, CONFIG)
    found = matched_clusters(prefix, features, 4)
    assert found.shape == (17, 10) and found.has_sorted_indices
    for i, held in enumerate(tools.slowly(model, features, 4, depth=2)):
        assert found[i].indices.tolist() == sorted(held)
        np.testing.assert_allclose(found[i].data, [held[n] for n in found[i].indices], rtol=2e-4)
    with pytest.raises(InputError, match="0 levels"):
        matched_clusters(dataclasses.replace(model, levels=()), features, 4)


def test_a_zero_score_stays_in_the_beam(tools):
    model = tools.model()
    levels = [dataclasses.replace(w, bias=w.bias - 100) for w in model.levels]
    prefix = dataclasses.replace(model, levels=tuple(levels[:2]))
    found = matched_clusters(prefix, tools.features(), 4)
    assert (np.diff(found.indptr) == 4).all() and not found.data.any()


def test_a_model_is_laid_out_once_and_forgotten_with_it(tools):
    model = tools.model()
    assert index.find_index(model) is index.find_index(model)
    ready = build_index(model)
    assert index.find_index(ready) is ready
    array = weakref.ref(index.find_index(model).levels[0].bias)
    del model
    gc.collect()
    assert array() is None


def test_threads_that_ask_at_once_lay_a_model_out_once(tools, monkeypatch):
    model, made, build = tools.model(), [], index.build_index

    def slow(some):
        made.append(some)
        time.sleep(0.05)
        return build(some)

    monkeypatch.setattr(index, "build_index", slow)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: index.find_index(model), range(8)))
    assert len(made) == 1 and all(one is found[0] for one in found)


def test_a_copy_has_an_index_of_its_own(tools):
    model = tools.model()
    first = index.find_index(model)
    for other in (copy.deepcopy(model), dataclasses.replace(model)):
        assert index.find_index(other) is not first


def test_neither_an_odd_last_batch_nor_another_top_k_compiles_anew(tools):
    model = tools.model()
    predict_batches(model, tools.features(200), SearchConfig(beam=9, top_k=20))
    compiled = search._cache_size()
    for n, top_k in ((200, 7), (17, 20), (255, 1), (150, 13)):
        found = predict_batches(model, tools.features(n), SearchConfig(beam=9, top_k=top_k))
        assert found.ids.shape == (n, top_k)
    assert search._cache_size() == compiled
    wide = predict_batches(model, tools.features(200), SearchConfig(beam=10, top_k=10**6))
    assert wide.ids.shape == (200, tools.L)


@pytest.mark.parametrize("copies", [False, True])
def test_fewer_results_are_the_first_of_more(tools, copies):
    # 7 and 20 results come from one program, with more than 20 from another.
    model, features = tools.model(copies=copies), tools.features(40)
    parts = [predict_batches(model, features, SearchConfig(beam=10, top_k=k)) for k in (7, 20, 30)]
    for part in parts[:2]:
        n = part.ids.shape[1]
        np.testing.assert_array_equal(part.ids[:, :3], parts[2].ids[:, :3])
        if not copies:
            np.testing.assert_array_equal(part.ids, parts[2].ids[:, :n])


@pytest.mark.parametrize(("copies", "kept"), [(False, 10), (True, 8)])
def test_fewer_clusters_are_kept_where_labels_have_copies(tools, copies, kept):
    model, features = tools.model(copies=copies, inner=(3, 12)), tools.features(40)
    chosen = predict_batches(model, features, SearchConfig(top_k=40))
    for beam in (8, 10):
        named = predict_batches(model, features, SearchConfig(beam=beam, top_k=40))
        same = np.array_equal(named.ids, chosen.ids) and np.array_equal(named.scores, chosen.scores)
        assert same == (beam == kept)
