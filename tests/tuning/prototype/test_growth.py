"""Prototypes that follow a changing training set: equal to sums of all documents, with what training had added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import HeadConfig
from xmc_jax.features import normalize_rows
from xmc_jax.model import make_prototypes, restore_rows
from xmc_jax.tuning.prototype.growth import PrototypeGrowth
from xmc_jax.tuning.prototype.sums import sum_labels
from xmc_jax.tuning.prototype.training import store
from xmc_jax.types import PAD

N, L, H = 60, 9, 12
NAMES = [f"label {chr(97 + i)}" for i in range(L)]
HEAD = HeadConfig()


def embed(texts):
    """A vector of each text, the same whenever it is asked for."""
    seeds = [[*text.encode(), 1] for text in texts]
    return np.array([np.random.default_rng(s).standard_normal(H) for s in seeds], np.float32)


@pytest.fixture(scope="module")
def case():
    """Vectors, labels [N, L] (the last label has no document), trained rows with offsets, and biases."""
    rng = np.random.default_rng(0)
    vectors = normalize_rows(rng.standard_normal((N, H)).astype(np.float32))
    dense = (rng.random((N, L)) < 0.2).astype(np.float32)
    dense[:, -1], dense[0, 0] = 0, 1
    labels = sp.csr_matrix(dense)
    texts = normalize_rows(embed(NAMES))
    sums = sum_labels(labels, vectors, texts, HEAD.text_weight).rows
    offsets = rng.standard_normal((L, H)).astype(np.float32) * 0.1
    offsets[-1] = 0
    counts = labels.getnnz(axis=0)
    bias = np.log(np.maximum(counts, 1)) + 0.1 * rng.standard_normal(L)
    return vectors, labels, offsets, make_prototypes(sums + offsets, bias, HEAD.scale, "share")


def grow(old, before, now, vectors, origin=None, texts=(NAMES, NAMES), head=HEAD):
    origin = np.arange(now.shape[1]) if origin is None else np.asarray(origin)
    return PrototypeGrowth(old, before, now, origin, texts, head, embed).grow(vectors)


def test_the_outcome_is_that_of_the_sums_of_all_documents(case):
    """New, corrected and struck positives, in one update or in two; a label that came, one that went, one renamed."""
    vectors, labels, offsets, prototypes = case
    n = 40
    first = labels[:n]
    begun = sum_labels(first, vectors[:n], normalize_rows(embed(NAMES)), 2.0).rows
    old = make_prototypes(begun + offsets, np.asarray(prototypes.bias), HEAD.scale, "share")
    now = labels.tolil()
    now[0, 0], now[1, 2] = 0, 1
    now = sp.csr_matrix(sp.hstack([now, sp.csr_matrix(np.eye(N, 1, -N + 1))]))[:, 1:]
    now.eliminate_zeros()
    names = ["renamed", *NAMES[2:], "a new one"]
    origin = np.array([*range(1, L), PAD])
    found, done = grow(old, first, now, vectors, origin, (NAMES, names))
    trained = first.getnnz(axis=0)[origin] > 0
    trained[-1] = False
    wanted = sum_labels(now, vectors, normalize_rows(embed(names)), 2.0).rows
    wanted[trained] += offsets[origin[trained]]
    np.testing.assert_allclose(restore_rows(found, HEAD.scale), wanted, atol=2e-6)
    assert done["prototypes_made"] >= 1 and done["prototypes_moved"] >= 5
    # In two steps.
    middle, _ = grow(old, first, labels[:50], vectors[:50])
    again, _ = grow(middle, labels[:50], now, vectors, origin, (NAMES, names))
    np.testing.assert_allclose(again.rows, found.rows, atol=2e-6)
    np.testing.assert_allclose(again.bias, found.bias, atol=2e-6)


def test_biases_follow_the_counts(case):
    vectors, labels, _, old = case
    more = sp.vstack([labels, labels[:30]], format="csr")
    found, _ = grow(old, labels, more, np.concatenate([vectors, vectors[:30]]))
    before, now = labels.getnnz(axis=0), more.getnnz(axis=0)
    kept = before > 0
    moved = np.asarray(found.bias) - np.asarray(old.bias)
    np.testing.assert_allclose(moved[kept], np.log(now[kept] / before[kept]), atol=1e-5)
    assert np.isfinite(found.bias[-1])  # from its text, as before


@pytest.mark.parametrize(
    "change", [{}, {"storage": "int8"}, {"project": 8}, {"storage": "bfloat16"}]
)
def test_what_does_not_change_is_kept_to_the_bit(case, change):
    """Also where prototypes are stored smaller; and what changes is near to that of whole ones."""
    vectors, labels, _, whole = case
    head = replace(HEAD, **change)
    old = store(whole, head)
    touched = 3
    document = sp.csr_matrix(np.eye(1, L, touched, dtype=np.float32))
    more = sp.vstack([labels, document], format="csr")
    given = np.concatenate([vectors, vectors[:1]])
    found, done = grow(old, labels, more, given, head=head)
    others = np.arange(L) != touched
    np.testing.assert_array_equal(np.asarray(found.rows)[others], np.asarray(old.rows)[others])
    np.testing.assert_array_equal(found.factor[others], old.factor[others])
    assert done == {"prototypes_moved": 1, "prototypes_made": 0}
    exact, _ = grow(whole, labels, more, given)
    wanted = store(exact, head, old.basis)
    scaled = np.asarray(wanted.rows, np.float32) * wanted.factor[:, None]
    mine = np.asarray(found.rows, np.float32) * found.factor[:, None]
    np.testing.assert_allclose(mine[touched], scaled[touched], atol=0.02 * HEAD.scale)


def test_labels_without_anything_and_levels_of_bce(case):
    """A label without documents and text cannot be predicted; new labels stand at the level of the others."""
    vectors, labels, _, whole = case
    old = replace(whole, bias=whole.bias - 5, scores="sigmoid")
    head = replace(HEAD, loss="bce", labels_text=None)
    more = sp.hstack([labels, sp.csr_matrix(np.eye(N, 2, -3))], format="csr")
    origin = np.array([*range(L), PAD, PAD])
    found, _ = grow(old, labels, more, vectors, origin, None, head)
    assert found.bias[L - 1] == -np.inf and -5.5 < found.bias[L] < -4.5
