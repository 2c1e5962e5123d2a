from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax.ops import build_row_table, find_rows, keep, pack_bits, rank_bits
from xmc_jax.types import PAD


def make_rows(rng, n_clusters, n_features, fill):
    sizes = rng.integers(0, fill, n_clusters)
    features = [np.sort(rng.choice(n_features, s, replace=False)) for s in sizes]
    return np.concatenate(features).astype(np.int32), np.append(0, np.cumsum(sizes))


@pytest.mark.parametrize(
    ("n_clusters", "n_features", "fill"), [(1, 5, 4), (40, 50, 50), (300, 3000, 400)]
)
def test_every_stored_row_is_found_and_nothing_else(n_clusters, n_features, fill):
    rng = np.random.default_rng(n_clusters)
    features, offsets = make_rows(rng, n_clusters, n_features, fill)
    table = jax.tree.map(jnp.asarray, build_row_table(features, offsets, n_features))
    clusters = np.repeat(np.arange(n_clusters), np.diff(offsets)).astype(np.int32)
    found = np.asarray(find_rows(table, jnp.asarray(clusters), jnp.asarray(features)))
    np.testing.assert_array_equal(found, np.arange(len(features)))
    stored = {
        pair: row for row, pair in enumerate(zip(clusters.tolist(), features.tolist(), strict=True))
    }
    some_clusters = rng.integers(0, n_clusters, 500).astype(np.int32)
    some_features = rng.integers(-1, n_features, 500).astype(np.int32)
    found = np.asarray(find_rows(table, jnp.asarray(some_clusters), jnp.asarray(some_features)))
    pairs = zip(some_clusters.tolist(), some_features.tolist(), strict=True)
    assert found.tolist() == [stored.get(pair, PAD) for pair in pairs]


def test_empty_table_finds_nothing():
    table = jax.tree.map(jnp.asarray, build_row_table(np.zeros(0, np.int32), np.zeros(4, int), 9))
    found = find_rows(table, jnp.array([0, 2]), jnp.array([0, PAD]))
    assert found.tolist() == [PAD, PAD]


def test_words_without_a_feature_are_not_stored():
    """Two features far apart take a word each, whatever lies between."""
    features = np.array([3, 5, 2_000_000], np.int32)
    table = build_row_table(features, np.array([0, 0, 3]), 2**21)
    assert table.words.tolist() == [1 << 3 | 1 << 5, 0, 1 << 2_000_000 % 32, 2]
    assert table.summary.shape == (2, 2 * 2**21 // 1024)


def test_bits_are_packed_and_counted():
    bits = np.array([0, 31, 32, 100])
    number, words = pack_bits(bits)
    assert number.tolist() == [0, 1, 3]
    assert words.tolist() == [[-(2**31) + 1, 0], [1, 2], [16, 3]]
    count, is_set = rank_bits(jnp.int32(words[0, 0]), jnp.int32(7), jnp.arange(40))
    assert is_set.tolist() == [True] + 30 * [False] + [True, True] + 7 * [False]
    assert count.tolist() == [7] + 31 * [8] + [7] + 7 * [8]


def test_what_is_kept_stays_as_it_is():
    x = jnp.array([0, 3, 2**31 - 2], jnp.int32)
    assert keep(x, 2**31 - 2).tolist() == x.tolist()
