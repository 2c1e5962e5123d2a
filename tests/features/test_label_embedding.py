import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.features import label_embedding
from xmc_jax.features.label_embedding import choose_sketch, embed_labels
from xmc_jax.features.vectors import as_features, concatenate

X = np.array([[1, 0, 2], [0, 3, 0], [1, 1, 0]], np.float32)
Y = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]], np.float32)


def _unit(z):
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    return z / np.where(length > 0, length, 1)


def _config(**options):
    if options.get("embedding", "").startswith("pifa_lf"):
        options["label_features"] = "given.npz"
    return TreeConfig(**options)


def _embed(features, labels, label_features=None, seed=0, threads=1, **options):
    options.setdefault("sketch", None)
    return embed_labels(
        features,
        sp.csr_matrix(labels),
        config=_config(**options),
        seed=seed,
        label_features=label_features,
        threads=threads,
    )


def _random(n=120, n_features=700, n_labels=40, seed=0):
    rng = np.random.default_rng(seed)
    x = sp.random(n, n_features, 0.03, "csr", np.float32, rng=rng)
    y = sp.random(n, n_labels, 0.1, "csr", rng=rng, data_rvs=np.ones)
    return x, y


def test_pifa_by_hand():
    z = _embed(as_features(sp.csr_matrix(X)), Y)
    # Instances have 2, 1 and 3 labels, so weigh 1/√2, 1 and 1/√3 in each.
    a, b = 1 / np.sqrt(2), 1 / np.sqrt(3)
    by_hand = np.array(
        [[a + b, b, 2 * a], [a + b, 3 + b, 2 * a], [b, b, 0], [0, 0, 0]],
    )
    assert sp.issparse(z)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.toarray(), _unit(by_hand), rtol=1e-6)


def test_sparse_dense_and_both_give_the_same_numbers():
    sparse = _embed(as_features(sp.csr_matrix(X)), Y).toarray()
    dense = _embed(as_features(X), Y)
    both = _embed(concatenate(sp.csr_matrix(X[:, :2]), X[:, 2:]), Y)
    assert isinstance(dense, np.ndarray)
    assert sp.issparse(both)
    np.testing.assert_allclose(dense, sparse, rtol=1e-6)
    np.testing.assert_allclose(both.toarray(), sparse, rtol=1e-6)


def test_pii_describes_labels_by_instances():
    z = _embed(as_features(X), Y, embedding="pii")
    np.testing.assert_allclose(z.toarray(), _unit(Y.T), rtol=1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix])
def test_label_features_side_by_side(wrap):
    extra = np.arange(8.0).reshape(4, 2)
    features = as_features(sp.csr_matrix(X))
    z = _embed(features, Y, wrap(extra), embedding="pifa_lf_concat")
    np.testing.assert_allclose(z.toarray()[:, :3], _embed(features, Y).toarray(), rtol=1e-6)
    np.testing.assert_array_equal(z.toarray()[:, 3:], extra)
    both_dense = _embed(as_features(X), Y, extra, embedding="pifa_lf_concat")
    assert isinstance(both_dense, np.ndarray)
    np.testing.assert_allclose(both_dense, z.toarray(), rtol=1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix])
def test_label_features_averaged(wrap):
    extra = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    features = as_features(wrap(X))
    pifa = sp.csr_matrix(_embed(features, Y)).toarray()
    z = _embed(features, Y, wrap(extra), embedding="pifa_lf_convex")
    expected = (pifa + extra) / 2
    np.testing.assert_allclose(sp.csr_matrix(z).toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("embedding", ["pifa", "pii"])
def test_a_sketch_keeps_inner_products(embedding):
    x, y = _random()
    features = as_features(x)
    exact = _embed(features, y, embedding=embedding).toarray()
    sketch = _embed(features, y, embedding=embedding, sketch=2048)
    assert sketch.shape == (40, 2048)
    assert sketch.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(sketch, axis=1), 1, rtol=1e-5)
    error = sketch @ sketch.T - exact @ exact.T
    assert abs(error).max() < 6 / np.sqrt(2048)
    assert error.std() < 1.5 / np.sqrt(2048)


def test_a_sketch_keeps_dense_columns_and_mixes_alike():
    x, y = _random()
    dense = np.random.default_rng(1).normal(size=(120, 5)).astype(np.float32)
    features = concatenate(x, dense)
    exact = _embed(features, y).toarray()
    sketch = _embed(features, y, sketch=1024)
    assert sketch.shape == (40, 1024 + 5)
    np.testing.assert_allclose(sketch[:, -5:], exact[:, -5:], atol=0.1)
    mixed = _embed(features, y, sp.csr_matrix(exact), embedding="pifa_lf_convex", sketch=1024)
    np.testing.assert_allclose(mixed[:, -5:], (sketch[:, -5:] + exact[:, -5:]) / 2, rtol=1e-4)
    np.testing.assert_allclose(mixed, sketch, atol=0.05)  # the label features are PIFA itself
    wide = _embed(features, y, sp.csr_matrix(exact), embedding="pifa_lf_concat", sketch=64)
    assert wide.shape == (40, 64 + 5 + 64)


def test_the_seed_alone_decides_a_sketch():
    x, y = _random()
    first = _embed(as_features(x), y, sketch=32)
    np.testing.assert_array_equal(first, _embed(as_features(x), y, sketch=32, threads=3))
    assert abs(first - _embed(as_features(x), y, sketch=32, seed=1)).max() > 0.1


@pytest.mark.parametrize("sketch", [None, 16])
def test_blocks_of_labels_change_nothing(sketch, monkeypatch):
    x, y = _random()
    whole = _embed(as_features(x), y, sketch=sketch)
    monkeypatch.setattr(label_embedding, "_BLOCK_WORK", 100)
    cut = _embed(as_features(x), y, sketch=sketch, threads=2)
    assert abs(whole - cut).max() == 0


def test_labels_without_instances_are_zero_rows():
    y = sp.csr_matrix((3, 5), dtype=np.float32)
    z = _embed(as_features(sp.csr_matrix(X)), y)
    assert (z.shape, z.nnz) == ((5, 3), 0)
    assert not _embed(as_features(sp.csr_matrix(X)), y, sketch=8).any()


def test_small_problems_are_exact_and_large_ones_sketched():
    assert choose_sketch(3_000_000, 1000, 100_000) == 0
    assert choose_sketch(10**10, 100_000, 500) == 0
    assert choose_sketch(10**10, 100_000, 1_000_000) == label_embedding.SKETCH
    assert choose_sketch(10**10, 1_000, 100_000) == 0  # the product itself is small
    assert choose_sketch(14_000_000, 24_831, 86_454) == 0
    x, y = _random()
    assert sp.issparse(_embed(as_features(x), y, sketch="auto"))


def test_what_does_not_fit_is_refused():
    features = as_features(sp.csr_matrix(X))
    with pytest.raises(InputError, match="features of 3 and labels of 2 documents"):
        _embed(features, Y[:2])
    with pytest.raises(InputError, match="needs label features"):
        _embed(features, Y, embedding="pifa_lf_concat")
    with pytest.raises(InputError, match="label features of 3 labels given, 4 labels"):
        _embed(features, Y, np.ones((3, 3)), embedding="pifa_lf_concat")
    with pytest.raises(InputError, match=r"of 2 columns given, .* needs the 3 of the features"):
        _embed(features, Y, np.ones((4, 2)), embedding="pifa_lf_convex")
    with pytest.raises(InputError, match="row 1, column 0 of the label features is nan"):
        _embed(features, Y, np.array([[1], [np.nan], [1], [1]]), embedding="pifa_lf_concat")
