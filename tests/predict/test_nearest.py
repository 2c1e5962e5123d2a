"""The search among prototypes is a sort of the whole product, on one device and on eight."""

from __future__ import annotations

import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import ParallelConfig
from xmc_jax.errors import InputError
from xmc_jax.model import make_prototypes, project_prototypes, store_prototypes
from xmc_jax.parallel import make_mesh
from xmc_jax.predict import nearest
from xmc_jax.predict.nearest import (
    Nearest,
    build_nearest,
    find_nearest,
    score_labels,
    search_nearest,
)
from xmc_jax.types import PAD

HERE = Path(__file__).parent
N, L, H, SCALE = 9, 50, 8, 6.0


def make(scores="share"):
    """Prototypes, of which one has no direction; and vectors of any norm."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((L, H)).astype(np.float32)
    rows[7] = 0
    bias = rng.standard_normal(L).astype(np.float32)
    vectors = rng.standard_normal((N, H)).astype(np.float32)
    return make_prototypes(rows, bias, SCALE, scores), 3 * vectors


def score_all(prototypes, vectors):
    """Scores of all labels [N, L] by their formula, in float64."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    z = units @ np.asarray(prototypes.rows, np.float64).T * prototypes.factor + prototypes.bias
    if prototypes.scores == "sigmoid":
        return 1 / (1 + np.exp(-z))
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.fixture(params=[8192, 16], ids=["one chunk", "chunks"])
def chunked(request, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", request.param)


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("scores", nearest.NORMALIZERS)
def test_results_are_those_of_a_sort(scores):
    prototypes, vectors = make(scores)
    ids, values, _ = find_nearest(build_nearest(prototypes), vectors, L, top_k=60, scores=scores)
    wanted = score_all(prototypes, vectors)
    order = np.argsort(-wanted, axis=1)[:, : L - 1]
    np.testing.assert_array_equal(ids[:, : L - 1], order)
    np.testing.assert_allclose(
        values[:, : L - 1], np.take_along_axis(wanted, order, axis=1), rtol=1e-4
    )
    assert (ids[:, L - 1 :] == PAD).all() and not values[:, L - 1 :].any()


def test_chosen_labels_only():
    prototypes, vectors = make()
    index = build_nearest(prototypes, shown=np.array([3, 7, 20]))
    ids, values, sums = find_nearest(index, vectors, L, top_k=3, scores="share")
    assert {*ids.ravel().tolist()} == {3, 20, PAD}
    wanted = score_all(prototypes, vectors)
    np.testing.assert_allclose(values[:, 0], wanted[:, [3, 20]].max(axis=1), rtol=1e-4)
    asked = sp.csr_matrix((np.ones(2), ([0, 4], [3, 7])), (N, L))
    found = score_labels(prototypes, vectors, sums, asked)
    np.testing.assert_allclose(found.data, [wanted[0, 3], 0], rtol=1e-4)
    with pytest.raises(InputError, match=r"candidates of shape"):
        score_labels(prototypes, vectors, sums, asked[:2])


@pytest.mark.parametrize("storage, tolerance", [("bfloat16", 0.02), ("int8", 0.04)])
def test_small_types_score_nearly_alike(storage, tolerance):
    prototypes, vectors = make("sigmoid")
    small = store_prototypes(prototypes, storage)
    assert small.rows.nbytes * (2 if storage == "bfloat16" else 4) == prototypes.rows.nbytes
    ids, values, _ = find_nearest(build_nearest(small), vectors, L, top_k=L, scores="sigmoid")
    wanted = np.take_along_axis(score_all(prototypes, vectors), ids[:, : L - 1], axis=1)
    np.testing.assert_allclose(values[:, : L - 1], wanted, atol=tolerance)


def test_any_number_of_documents_takes_two_programs():
    prototypes, vectors = make()
    index = build_nearest(prototypes)
    before = search_nearest._cache_size()
    for n in (1, 2, 9, 1, 5):
        find_nearest(index, vectors[:n], L, top_k=4, scores="share")
    assert search_nearest._cache_size() - before <= 2


def check_devices() -> None:
    nearest._CHUNK = 4
    prototypes, vectors = make()
    results = []
    for mesh in (None, make_mesh(ParallelConfig(data=4, label=2))):
        index = build_nearest(prototypes, mesh)
        results.append(find_nearest(index, vectors, L, top_k=12, scores="share", mesh=mesh))
    for one, eight in zip(*results, strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-5)
    assert index.rows.addressable_shards[0].data.size * 8 == index.rows.size
    assert len(jax.devices()) == 8


def test_eight_devices(processes):
    code = "from test_nearest import check_devices; check_devices(); print('same')"
    child = processes.start(code, devices=8, beside=HERE)
    assert processes.finish(child) == ["same"]


def cluster(n_labels=400):
    """Prototypes around twenty directions, and vectors near them."""
    rng = np.random.default_rng(1)
    middles = rng.standard_normal((20, 16))
    rows = np.repeat(middles, n_labels // 20, axis=0) + 0.4 * rng.standard_normal((n_labels, 16))
    vectors = middles[rng.integers(0, 20, 30)] + 0.4 * rng.standard_normal((30, 16))
    bias = rng.standard_normal(n_labels)
    bias[3] = -np.inf
    made = make_prototypes(rows.astype(np.float32), bias.astype(np.float32), 10.0, "share")
    return made, vectors.astype(np.float32)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_a_beam_of_all_clusters_is_exact(storage):
    prototypes, vectors = cluster()
    near = Nearest(store_prototypes(prototypes, storage))
    exact, sums = near.find(vectors, 400)
    found, compared = near.find(vectors, 400, beam=1000)
    np.testing.assert_array_equal(found.ids[:, :50], exact.ids[:, :50])
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(compared, sums, rtol=1e-5)
    assert 3 not in found.ids and (found.ids[:, 399] == PAD).all()
    some, _ = near.find(vectors, 5, beam=1000, shown=np.array([1, 2, 3]))
    wanted, _ = near.find(vectors, 5, shown=np.array([1, 2, 3]))
    np.testing.assert_array_equal(some.ids, wanted.ids)
    np.testing.assert_allclose(some.scores, wanted.scores, rtol=1e-4)


def test_a_narrow_beam_finds_most_of_the_first_labels():
    prototypes, vectors = cluster()
    near = Nearest(prototypes)
    exact, found = near.find(vectors, 1)[0].ids, near.find(vectors, 1, beam=2)[0].ids
    assert near.tree.level_sizes[0] >= 4 and (exact == found).mean() > 0.8
    one, _ = near.find(vectors[:1], 3, beam=2)
    np.testing.assert_array_equal(one.ids[0, :1], found[0])
    alone = pickle.loads(pickle.dumps(near))
    np.testing.assert_array_equal(alone.find(vectors, 1, beam=2)[0].ids, found)


@pytest.mark.parametrize("beam", [None, 1000])
def test_projected_prototypes(beam):
    """All directions lose nothing; half of them keep what the rows differ by most."""
    prototypes, vectors = cluster()
    exact, sums = Nearest(prototypes).find(vectors, 10)
    turned = Nearest(project_prototypes(prototypes, 16))
    found, turned_sums = turned.find(vectors, 10, beam=beam)
    np.testing.assert_array_equal(found.ids, exact.ids)
    np.testing.assert_allclose(turned_sums, sums, rtol=1e-4)
    half = project_prototypes(prototypes, 12)
    assert half.rows.shape == (400, 12) and half.hidden == 16
    assert half.n_bytes < 0.85 * prototypes.n_bytes
    small = Nearest(store_prototypes(half, "int8")).find(vectors, 10, beam=beam)[0].ids
    assert np.mean([np.isin(a, b).mean() for a, b in zip(exact.ids, small, strict=True)]) > 0.7
    asked = sp.csr_matrix(np.ones((30, 400), np.float32))
    scores = turned.score(vectors, asked).toarray()
    np.testing.assert_allclose(
        np.take_along_axis(scores, exact.ids, axis=1), exact.scores, rtol=1e-3
    )
    with pytest.raises(InputError, match=r"1 to 16 .* needed"):
        project_prototypes(prototypes, 17)
