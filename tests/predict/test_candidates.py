from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.predict import predict_batches, restrict, score_candidates


@pytest.mark.parametrize(
    "kind, merge",
    [(k, m) for k in ("l3-hinge", "log-sigmoid", "noop") for m in ("mean", "max")]
    + [("l3-hinge", "noisy-or"), ("sigmoid", "noisy-or")],
)
def test_scores_are_those_of_a_search_that_reaches_them(tools, kind, merge):
    model = tools.model(kind, copies=True, dense=tools.H)
    features = tools.features(dense=tools.H)
    config = SearchConfig(beam=10, top_k=tools.L)
    every = predict_batches(model, features, config, merge=merge).to_csr().toarray()
    asked = sp.random(17, tools.L, 0.2, "csr", rng=np.random.default_rng(3))
    asked.data[::2] = 0.0  # a stored zero asks as well
    found = score_candidates(model, features, asked, merge=merge)
    np.testing.assert_array_equal(found.indptr, asked.indptr)
    np.testing.assert_array_equal(found.indices, asked.sorted_indices().indices)
    rows = np.repeat(np.arange(17), np.diff(found.indptr))
    np.testing.assert_allclose(found.data, every[rows, found.indices], rtol=1e-5, atol=1e-6)


def test_many_pairs_and_long_rows(tools):
    model = tools.model(n_sparse=3000)
    features = tools.features(120, n_sparse=3000, density=0.08)
    asked = sp.csr_matrix(np.ones((120, tools.L)))
    found = score_candidates(model, features, asked)
    every = predict_batches(model, features, SearchConfig(beam=10, top_k=tools.L))
    np.testing.assert_allclose(found.toarray(), every.to_csr().toarray(), rtol=1e-5, atol=1e-6)


def test_nothing_asked(tools):
    found = score_candidates(tools.model(), tools.features(), sp.csr_matrix((17, tools.L)))
    assert found.shape == (17, tools.L) and found.nnz == 0


def test_wrong_questions_are_refused(tools):
    model, features = tools.model(), tools.features()
    asked = sp.csr_matrix(np.ones((17, tools.L)))
    with pytest.raises(InputError, match=r"shape \(17, 39\) given, \(17, 40\) needed"):
        score_candidates(model, features, asked[:, :39])
    with pytest.raises(InputError, match="2 of 3 levels"):
        score_candidates(dataclasses.replace(model, levels=model.levels[:2]), features, asked)
    with pytest.raises(InputError, match="restricted to other labels"):
        score_candidates(restrict(model, np.array([1, 2])), features, asked)
    score_candidates(restrict(model, np.arange(tools.L)), features, asked)
