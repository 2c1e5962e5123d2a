from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.features import as_features
from xmc_jax.parallel import Target
from xmc_jax.ranker import chunks, footprint
from xmc_jax.ranker.chunks import CutChunks, share_shapes, split_units
from xmc_jax.ranker.problem import list_units, pose_level
from xmc_jax.ranker.solvers import list_solvers

N_CLUSTERS = 12
SOLVERS = {solver.name: solver for solver in list_solvers()}
CPU = Target.named("cpu")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = sp.random(80, 40, 0.15, "csr", dtype=np.float32, random_state=rng)
    labels = sp.random(80, 3 * N_CLUSTERS, 0.1, "csr", dtype=np.float32, random_state=rng)
    labels.data[:] = 1
    mask = sp.random(80, N_CLUSTERS, 0.3, "csr", dtype=np.float32, random_state=rng)
    parent = np.repeat(np.arange(N_CLUSTERS), 3)
    return pose_level(as_features(x), mask, labels, parent, np.arange(0, 3 * N_CLUSTERS + 1, 3))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("memory", [None, 200_000])
def test_every_unit_is_in_one_chunk(problem, name, memory):
    split, n_workers = split_units(problem, list_units(problem), SOLVERS[name], memory, 4, CPU)
    clusters = np.concatenate([some.cluster for some in split])
    assert sorted(clusters) == list(range(N_CLUSTERS))
    assert 1 <= n_workers <= min(4, len(split))
    if name == "primal":
        assert len(split) == N_CLUSTERS


@pytest.mark.parametrize("few", [True, False])
def test_chunks_of_this_process_alone_are_kept_until_they_are_taken(problem, monkeypatch, few):
    split, _ = split_units(problem, list_units(problem), SOLVERS["primal"], None, 4, CPU)
    cuts, cut = [], chunks.cut_chunk
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(chunks, "cut_chunk", lambda *a: cuts.append(0) or cut(*a))
    if not few:
        monkeypatch.setattr(footprint, "CHUNK_BYTES", 0)
    made = CutChunks(problem, split, 1.0, lambda chunk: chunk.n_features, int)
    assert len(made.shapes) == len(cuts) == N_CLUSTERS
    assert sorted(made._kept) == ([1, 4, 7, 10] if few else [])
    for k in (1, 4):
        assert made.take(k).n_features == made.shapes[k]
    assert sorted(made._kept) == ([7, 10] if few else [])
    assert len(cuts) == N_CLUSTERS + (0 if few else 2)


def test_runs_alike_share_a_shape():
    shared = share_shapes([3, 9, 5, 700], np.array([10, 11, 10, 900]), max)
    assert shared[3] == 700 and set(shared[:3]) <= {5, 9}
    assert all(s >= own for s, own in zip(shared, [3, 9, 5, 700], strict=True))
