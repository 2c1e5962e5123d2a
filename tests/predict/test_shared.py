"""Search on several devices gives what one device gives: 8 virtual ones, and 2 processes of 2 each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xmc_jax.config import ParallelConfig, SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.parallel import make_mesh
from xmc_jax.predict import build_index, predict_batches
from xmc_jax.predict.shared import find_shared_index

CHILD = """
import sys
import numpy as np
from conftest import make_features, make_model
from xmc_jax.config import ParallelConfig, SearchConfig
from xmc_jax.matcher import level
from xmc_jax.parallel import join_processes, local_rows, make_mesh
import scipy.sparse as sp
from xmc_jax.predict import lay_out, matched_clusters, predict_batches, restrict, score_candidates
from xmc_jax.predict.shared import find_shared_index

n, process, address, *grids = sys.argv[1:]
if int(n) > 1:
    join_processes(address, int(n), int(process))
config = SearchConfig(beam=4, top_k=7)
level._TABLE_NODES = 4  # the small levels of tests would all be tables, which are not cut
features = make_features(21, dense=3)
for grid in grids:
    data, label, copies, layout = grid.split(",")
    level._BITMAP_CHILDREN = 256 if layout == "bitmaps" else 0
    model = make_model(copies=copies == "copies", dense=3)
    mesh = make_mesh(ParallelConfig(data="auto" if data == "0" else int(data), label=int(label)))
    one = predict_batches(model, features, config)
    many = predict_batches(model, features, config, mesh=mesh)
    assert (one.ids >= 0).all()
    np.testing.assert_array_equal(one.ids, many.ids)
    np.testing.assert_allclose(one.scores, many.scores, rtol=1e-5)
    last = find_shared_index(model, mesh).levels[-1]
    assert (last.shard is None) == (label == "1")
    if label != "1":
        held = {s.data.shape[0] for s in last.dense.addressable_shards}
        assert held == {last.dense.shape[0] // int(label)}
        assert min(held) < model.levels[-1].n_nodes
    rows = local_rows(21, mesh)
    assert rows.stop - rows.start in (21 // int(n), 21 - 21 // int(n))
    prefix = model.cut(-1)
    one = matched_clusters(prefix, features, 3)
    for searched in (prefix, lay_out(prefix, mesh)):
        many = matched_clusters(searched, features, 3, mesh=mesh)
        assert (one != many).nnz == 0 or abs(one - many).max() < 1e-5
        np.testing.assert_array_equal(one.indices, many.indices)
    asked = sp.random(21, model.tree.n_labels, 0.3, "csr", np.float32, rng=0)
    one, many = (score_candidates(model, features, asked, mesh=m) for m in (None, mesh))
    np.testing.assert_array_equal(one.indices, many.indices)
    np.testing.assert_allclose(one.data, many.data, rtol=1e-5)
some = np.array([3, 17, 30])
one = predict_batches(restrict(model, some), features, config)
many = predict_batches(restrict(model, some), features, config, mesh=mesh)
np.testing.assert_array_equal(one.ids, many.ids)
print("same")
"""


HERE = Path(__file__).parent


def test_eight_devices_answer_as_one(processes):
    grids = ["8,1,,bitmaps", "0,4,copies,bitmaps", "2,2,,slots"]
    child = processes.start(CHILD, 1, 0, "", *grids, devices=8, beside=HERE)
    assert processes.finish(child) == ["same"]


def test_two_processes_answer_as_one(processes):
    address, grids = processes.find_address(), ["4,1,,bitmaps", "2,2,copies,bitmaps"]
    children = [
        processes.start(CHILD, 2, i, address, *grids, devices=2, beside=HERE) for i in range(2)
    ]
    assert processes.finish(*children) == ["same"] * 2


def test_one_device_needs_no_mesh(tools):
    model, features = tools.model(), tools.features()
    config = SearchConfig(beam=4, top_k=7)
    mesh = make_mesh(ParallelConfig(data=1))
    one, same = (predict_batches(model, features, config, mesh=m) for m in (None, mesh))
    np.testing.assert_array_equal(one.ids, same.ids)


def test_another_device_than_the_first_is_used(processes):
    code = """
import jax
import numpy as np
from conftest import make_features, make_model
from xmc_jax.config import ParallelConfig, SearchConfig
from xmc_jax.parallel import make_mesh
from xmc_jax.predict import matched_clusters, predict_batches
from xmc_jax.predict.shared import find_shared_index

model, features, config = make_model(), make_features(5), SearchConfig(beam=4, top_k=7)
last = make_mesh(ParallelConfig(data=1), devices=jax.devices()[1:])
one, other = (predict_batches(model, features, config, mesh=m) for m in (None, last))
np.testing.assert_array_equal(one.ids, other.ids)
assert find_shared_index(model, last).edge_label.devices() == {jax.devices()[1]}
print("used")
"""
    assert processes.finish(processes.start(code, devices=2, beside=HERE)) == ["used"]


def test_an_index_of_other_devices_is_refused(tools):
    with pytest.raises(InputError, match="its model needed"):
        find_shared_index(build_index(tools.model()), make_mesh(ParallelConfig(data=1)))
