"""A prototype model of several processes and devices is that of one, also when it is stopped in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus

HERE = Path(__file__).parent

CHILD = """
import sys
from test_processes import fit
from xmc_jax.parallel import join_processes
encoder, folder, head, n, process, address = sys.argv[1:]
if int(n) > 1:
    join_processes(address, int(n), int(process))
fit(encoder, folder, head)
print("done")
"""


HEADS = {
    "all": dict(refresh=3, chunk=5),
    "clustered": dict(negatives="clustered", sampled=6, mined=2, cluster_every=3, chunk=5),
}


def fit(encoder, folder, head="all"):
    """Trains in a folder; on whatever devices there are."""
    corpus = make_corpus(n_train=160, n_test=40, n_labels=16, branching=4, seed=0)
    model = xmc.PrototypeModel(
        encoder=dict(name=str(encoder), max_length=16, pooling="mean"),
        tuning=dict(steps=8, batch_size=16, learning_rate=2e-3, warmup=2, save_every=2),
        head=HEADS[head],
    )
    model.fit(corpus.train_texts, corpus.train_labels, workdir=folder)
    return model.predict(corpus.test_texts, top_k=16)


def launch(processes, encoder, folder, n: int, devices: int, head="all"):
    address = processes.find_address()
    words = [(encoder, folder, head, n, i, address) for i in range(n)]
    return [processes.start(CHILD, *w, devices=devices, beside=HERE) for w in words]


@pytest.fixture(scope="module")
def alone(tiny_encoder, tmp_path_factory):
    return fit(tiny_encoder, tmp_path_factory.mktemp("runs") / "alone")


def check(folder, alone) -> None:
    """The folder holds the same model but for rounding."""
    corpus = make_corpus(n_train=160, n_test=40, n_labels=16, branching=4, seed=0)
    found = xmc.load(folder).predict(corpus.test_texts, top_k=16).to_csr().toarray()
    np.testing.assert_allclose(found, alone.to_csr().toarray(), atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n, devices", [(1, 8), (2, 2)])
def test_a_fit_is_that_of_one(processes, tiny_encoder, tmp_path, alone, n, devices):
    processes.finish(*launch(processes, tiny_encoder, tmp_path / "run", n, devices))
    check(tmp_path / "run", alone)


@pytest.mark.slow
@pytest.mark.parametrize("n, devices", [(1, 8), (2, 2)])
def test_groups_of_near_documents_are_those_of_one(processes, tiny_encoder, tmp_path, n, devices):
    alone = fit(tiny_encoder, tmp_path / "alone", "clustered")
    processes.finish(*launch(processes, tiny_encoder, tmp_path / "run", n, devices, "clustered"))
    check(tmp_path / "run", alone)


@pytest.mark.slow
def test_processes_that_were_killed_resume_on_other_devices(
    processes, tiny_encoder, tmp_path, alone
):
    run = tmp_path / "run"
    for sign, n, devices in (("tuning/0", 2, 2), ("tuning/4", 2, 2), ("tuning/6", 1, 8)):
        processes.kill_at(run / sign, *launch(processes, tiny_encoder, run, n, devices))
        assert not (run / "meta.json").exists()
    fit(tiny_encoder, run)
    check(run, alone)
