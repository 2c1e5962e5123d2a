from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax.ops import build_row_table, find_rows
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
    table = jax.tree.map(jnp.asarray, build_row_table(features, offsets))
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
    table = build_row_table(np.zeros(0, np.int32), np.zeros(4, np.int64))
    table = jax.tree.map(jnp.asarray, table)
    found = find_rows(table, jnp.array([0, 2]), jnp.array([0, PAD]))
    assert found.tolist() == [PAD, PAD]


def test_keys_that_share_buckets_are_placed_in_a_larger_table(monkeypatch):
    """With every key in the same two buckets no table is large enough until the hash spreads them."""
    from xmc_jax.ops import lookup

    true_hash = lookup._hash

    def narrow(cluster, feature, size):
        a, b = true_hash(cluster, feature, size)
        return (a % (size // 64 + 1), b % (size // 64 + 1)) if size <= 256 else (a, b)

    monkeypatch.setattr(lookup, "_hash", narrow)
    features, offsets = np.arange(60, dtype=np.int32), np.array([0, 60])
    table = jax.tree.map(jnp.asarray, build_row_table(features, offsets))
    assert table.feature.shape[0] > 256
    found = find_rows(table, jnp.zeros(60, jnp.int32), jnp.asarray(features))
    np.testing.assert_array_equal(np.asarray(found), features)
