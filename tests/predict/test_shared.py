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
import hashlib
import sys
import numpy as np
from conftest import make_features, make_model
from xmc_jax.config import ParallelConfig, SearchConfig
from xmc_jax.matcher import level
from xmc_jax.parallel import join_processes, make_mesh
import scipy.sparse as sp
from xmc_jax.predict import lay_out, matched_clusters, predict_batches, restrict, score_candidates
from xmc_jax.predict.shared import find_shared_index

n, process, address, *grids = sys.argv[1:]
if int(n) > 1:
    join_processes(address, int(n), int(process))
config = SearchConfig(beam=4, top_k=7)
level._TABLE_NODES = 4  # the small levels of tests would all be tables, which are not cut
features = make_features(21, dense=3)
digest = hashlib.sha1()


def check(run, mesh, *arguments):
    # Compares the answer with one device's, which the first process alone asks.
    many = run(*arguments, mesh=mesh)
    names = ("ids", "scores") if hasattr(many, "ids") else ("indptr", "indices", "data")
    for name in names:
        digest.update(np.ascontiguousarray(getattr(many, name)).tobytes())
    if process == "0":
        one = run(*arguments)
        for name in names[:-1]:
            np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
        np.testing.assert_allclose(getattr(one, names[-1]), getattr(many, names[-1]), rtol=1e-5)


for grid in grids:
    data, label, copies, layout, *inner = grid.split(",")
    level._BITMAP_CHILDREN = 256 if layout == "bitmaps" else 0
    model = make_model(copies=copies == "copies", dense=3, inner=[int(n) for n in inner])
    mesh = make_mesh(ParallelConfig(data="auto" if data == "0" else int(data), label=int(label)))
    check(predict_batches, mesh, model, features, config)
    last = find_shared_index(model, mesh).levels[-1]
    assert (last.shard is None) == (label == "1")
    if label != "1":
        held = {s.data.shape[0] for s in last.dense.addressable_shards}
        assert held == {last.dense.shape[0] // int(label)}
        assert min(held) < model.levels[-1].n_nodes
    prefix = model.cut(-1)
    check(matched_clusters, mesh, prefix, features, 3)
    laid_out = matched_clusters(lay_out(prefix, mesh), features, 3, mesh=mesh)
    assert (laid_out != matched_clusters(prefix, features, 3, mesh=mesh)).nnz == 0
    asked = sp.random(21, model.tree.n_labels, 0.3, "csr", np.float32, rng=0)
    check(score_candidates, mesh, model, features, asked)
check(predict_batches, mesh, restrict(model, np.array([3, 17, 30])), features, config)
print("same", digest.hexdigest())
"""


HERE = Path(__file__).parent


GRIDS = ["8,1,,bitmaps,3,10", "0,4,copies,bitmaps,3,10", "2,2,,slots,3,10"]
"""Devices along each axis, copies or not, the layout of levels, clusters per level. What is compiled grows with all."""


@pytest.mark.parametrize(
    "grids",
    [
        ["8,1,copies,bitmaps,10", "0,4,copies,bitmaps,10", "2,2,,slots,10"],
        pytest.param(GRIDS, marks=pytest.mark.slow),
    ],
    ids=["two levels", "three levels"],
)
def test_eight_devices_answer_as_one(processes, grids):
    child = processes.start(CHILD, 1, 0, "", *grids, devices=8, beside=HERE)
    assert processes.finish(child)[0].startswith("same")


@pytest.mark.parametrize(
    "grids",
    [
        ["2,2,copies,bitmaps,10"],
        pytest.param(["4,1,,bitmaps,3,10", "2,2,copies,slots,3,10"], marks=pytest.mark.slow),
    ],
    ids=["two levels", "three levels"],
)
def test_two_processes_answer_as_one(processes, grids):
    address = processes.find_address()
    children = [
        processes.start(CHILD, 2, i, address, *grids, devices=2, beside=HERE) for i in range(2)
    ]
    first, second = processes.finish(*children)
    assert first == second and first.startswith("same")


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
