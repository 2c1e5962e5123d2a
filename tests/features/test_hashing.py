import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer

from xmc_jax.config import FeaturesConfig
from xmc_jax.features.hashing import fold_columns, hash_terms, murmur3
from xmc_jax.features.slices import from_list
from xmc_jax.features.vectorizer import fit_transform


def test_murmur3_published_values():
    known = {
        b"": 0,
        b"hello": 0x248BFA47,
        b"hello, world": 0x149BBB7F,
        b"The quick brown fox jumps over the lazy dog": 0x2E4FF723,
    }
    assert murmur3(from_list(list(known))).tolist() == list(known.values())


def test_columns_never_change():
    columns, signs = hash_terms(from_list([b"tree", b"label", "äpfel".encode(), b"x"]), 20)
    assert columns.tolist() == [305253, 142771, 805809, 695067]
    assert signs.tolist() == [1.0, -1.0, 1.0, 1.0]


def test_terms_that_share_a_column_add_up_with_their_signs():
    values = sp.csr_matrix(np.array([[1, 2, 4], [0, 3, 0]], np.float32))
    columns, signs = np.array([5, 5, 1]), np.array([1, -1, 1], np.float32)
    folded = fold_columns(values, columns, signs, 4)
    expected = np.zeros((2, 16))
    expected[0, [5, 1]], expected[1, 5] = [1 - 2, 4], -3
    assert (folded.toarray() == expected).all()
    assert folded.has_canonical_format


@pytest.mark.parametrize("bits", [4, 10, 20])
@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_same_numbers_as_scikit_learn(bits, norm):
    rng = np.random.default_rng(0)
    words = [f"w{i}ö" * (i % 4 + 1) for i in range(60)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(50)] + [""]
    config = FeaturesConfig(
        kind="hashing",
        hash_bits=bits,
        norm=norm,
        use_idf=False,
        sublinear_tf=False,
        min_count=1,
        ngram_max=2,
    )
    vectorizer, ours = fit_transform(texts, config)
    reference = HashingVectorizer(
        n_features=1 << bits,
        norm=None if norm == "none" else norm,
        strip_accents="unicode",
        ngram_range=(1, 2),
    ).transform(texts)
    assert ours.shape == reference.shape
    assert abs(ours - reference).max() < 1e-6
    assert abs(vectorizer.transform(texts) - ours).max() == 0


def test_limits_and_idf_are_those_of_columns():
    texts = ["alpha beta", "alpha gamma", "alpha delta beta"]
    config = FeaturesConfig(kind="hashing", hash_bits=16, norm="none", max_share=0.7)
    vectorizer, matrix = fit_transform(texts, config)
    columns, signs = hash_terms(from_list([b"beta"]), 16)
    idf = np.log(4 / 3) + 1
    expected = np.zeros((3, 1 << 16), np.float32)
    expected[[0, 2], columns[0]] = signs[0] * idf
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=1e-6)
    assert np.flatnonzero(vectorizer.weights).tolist() == columns.tolist()
    assert matrix.nnz == 2
