import numpy as np
import pytest

from xmc_jax.config import FeaturesConfig
from xmc_jax.errors import InputError
from xmc_jax.features.slices import from_list
from xmc_jax.features.tfidf import choose_columns, compute_idf, count_terms, weigh_columns
from xmc_jax.features.tokens import Block


@pytest.mark.parametrize("documents", [[0, 0, 0, 2, 2], [2, 2, 0, 0, 0]])
def test_counts_by_hand(documents):
    terms = from_list([b"x", b"y", b"z"])
    ids = [1, 0, 1, 2, 2] if documents[0] == 0 else [2, 2, 1, 0, 1]
    block = Block(np.array(documents, np.int32), np.array(ids, np.int32), terms, 3)
    counts = count_terms(block, np.array([-1, 3, 0], np.int32), 4)
    assert counts.toarray().tolist() == [[0, 0, 0, 2], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert counts.dtype == np.float32
    assert counts.has_sorted_indices


def test_idf_by_formula():
    df = np.array([1, 5, 10])
    smooth = compute_idf(df, 10, FeaturesConfig())
    np.testing.assert_allclose(smooth, np.log(11 / (1 + df)) + 1, rtol=1e-6)
    assert compute_idf(df, 10, FeaturesConfig(use_idf=False)).tolist() == [1, 1, 1]


def test_limits_choose_columns():
    df, totals = np.array([1, 3, 4, 2, 10]), np.array([9, 3, 5, 5, 12])

    def choose(**options):
        return np.flatnonzero(choose_columns(df, totals, 10, 5, FeaturesConfig(**options))).tolist()

    assert choose(min_count=1) == [0, 1, 2, 3, 4]
    assert choose(min_count=3) == [1, 2, 4]
    assert choose(min_count=2, max_share=0.4) == [1, 2, 3]
    assert choose(min_count=2, max_features=2) == [2, 4]
    assert choose(min_count=2, max_share=0.9, max_features=1) == [2]  # of equals the first term


def test_no_column_left_names_the_setting():
    df = np.array([1, 2])
    with pytest.raises(InputError, match=r"lower min_count$"):
        choose_columns(df, df, 10, 2, FeaturesConfig(min_count=3))
    with pytest.raises(InputError, match="lower min_count or raise max_share"):
        choose_columns(df, df, 10, 2, FeaturesConfig(min_count=2, max_share=0.1))
    with pytest.raises(InputError, match="no term in the 10 documents"):
        choose_columns(df[:0], df[:0], 10, 0, FeaturesConfig())


def test_rows_have_unit_norm_and_empty_rows_stay_empty():
    block = Block(
        np.array([0, 0, 2], np.int32), np.array([0, 1, 1], np.int32), from_list([b"a", b"b"]), 3
    )
    columns = np.arange(2, dtype=np.int32)
    rows = weigh_columns(
        count_terms(block, columns, 2), np.array([3, 4], np.float32), FeaturesConfig()
    )
    np.testing.assert_allclose(rows.toarray(), [[0.6, 0.8], [0, 0], [0, 1]], rtol=1e-6)
