"""A random level and its margins as a dense product."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.matcher import build_level
from xmc_jax.ops import pack_rows


def make_level(layout, *, sizes=(3, 1, 30, 7), n_sparse=50, density=0.6, dense=4, seed=0):
    """Returns the level, the weights [D, nodes], dense weights and biases."""
    rng = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(sizes))
    n_nodes = offsets[-1]
    weights = sp.random(n_sparse, n_nodes, density, rng=rng, dtype=np.float32).toarray()
    rows, counts, child, value, feature = [], [], [], [], []
    for start, stop in pairwise(offsets):
        used = np.flatnonzero(weights[:, start:stop].any(axis=1))
        rows.append(len(used))
        feature += used.tolist()
        for f in used:
            hit = np.flatnonzero(weights[f, start:stop])
            counts.append(len(hit))
            child += hit.tolist()
            value += weights[f, start + hit].tolist()
    bias = rng.normal(size=n_nodes).astype(np.float32)
    columns = rng.normal(size=(n_nodes, dense)).astype(np.float32)
    level = build_level(
        child_offsets=offsets,
        row_offsets=np.append(0, np.cumsum(rows)),
        row_feature=np.array(feature, np.int32),
        entry_offsets=np.append(0, np.cumsum(counts)).astype(np.int64),
        entry_child=np.array(child, np.uint16),
        entry_value=np.array(value, np.float32),
        bias=bias,
        dense=columns,
        n_sparse=n_sparse,
        layout=layout,
    )
    return SimpleNamespace(
        level=level, offsets=offsets, weights=weights, bias=bias, dense=columns, n_sparse=n_sparse
    )


def make_queries(n, width, *, n_sparse=50, dense=4, density=0.5, seed=1):
    rng = np.random.default_rng(seed)
    sparse = sp.random(n, n_sparse, density, "csr", rng=rng, dtype=np.float32)
    ids, values = pack_rows(sparse, width, pad=-1)
    return sparse, ids, values, rng.normal(size=(n, dense)).astype(np.float32)


@pytest.fixture
def tools():
    return SimpleNamespace(level=make_level, queries=make_queries)
