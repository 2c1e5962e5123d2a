"""Features that nobody scaled: counts, large and tiny numbers train the same model as rows of length 1."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.errors import Note
from xmc_jax.features import row_lengths, unit_rows
from xmc_jax.types import Features


def make(n=60, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 6, n)
    x = rng.random((n, 12)) * 0.2
    x[np.arange(n), label] += 1
    x /= np.linalg.norm(x, axis=1)[:, None]
    return x.astype(np.float32), sp.csr_matrix(np.eye(6, dtype=np.float32)[label])


SETTINGS = dict(tree=dict(branching=2, max_leaf_size=3))


@pytest.mark.parametrize("factor", [100.0, 1e30, 1e-30])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_the_scale_of_rows_changes_nothing(factor, kind, tmp_path):
    x, y = make()
    wanted = xmc.XRLinear(**SETTINGS).fit(kind(x), y).predict(kind(x), top_k=3)
    with pytest.warns(Note, match=r"rows of features are scaled to length 1 .*vector_norm=none"):
        model = xmc.XRLinear(**SETTINGS).fit(kind(x * np.float32(factor)), y)
    model.save(tmp_path / "m")
    for held in (model, xmc.load(tmp_path / "m")):
        found = held.predict(kind(x * np.float32(factor)), top_k=3)
        np.testing.assert_array_equal(found.ids[:, 0], wanted.ids[:, 0])
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-3, atol=1e-4)


def test_as_they_are_if_wanted_and_a_level_without_weights_is_told():
    x, y = make()
    with pytest.warns(Note) as told:
        xmc.XRLinear(data=dict(vector_norm="none"), **SETTINGS).fit(x * 1000, y)
    assert "level 0 has 0 weights" in str(told[0].message)
    assert "none reaches ranker.threshold=0.1" in str(told[0].message)


def test_rows_of_length_one_are_left_as_they_are():
    x, y = make()
    given = Features(sp.csr_matrix(x), np.zeros((len(x), 0), np.float32))
    assert unit_rows(given) is given
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xmc.XRLinear(**SETTINGS).fit(x, y)


def test_lengths_are_over_sparse_and_dense_columns():
    both = Features(
        sp.csr_matrix([[3.0], [0.0]]).astype(np.float32), np.array([[4.0], [0.0]], np.float32)
    )
    assert row_lengths(both).tolist() == [5, 0]
    scaled = unit_rows(both)
    np.testing.assert_allclose(
        [scaled.sparse.toarray()[0, 0], scaled.dense[0, 0]], [0.6, 0.8], rtol=1e-6
    )
