"""What rivals are scored with is what we are scored with."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.predict import Predictions

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(PEERS))
    try:
        found = {}
        for name in ("matrices", "install", "train"):
            spec = importlib.util.spec_from_file_location(f"peers_{name}", PEERS / f"{name}.py")
            found[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found[name])
        yield found
    finally:
        sys.path.remove(str(PEERS))


def test_scores_are_those_of_our_metrics(scripts):
    rng = np.random.default_rng(0)
    truth, train = (sp.random(n, 40, 0.1, "csr", np.float32, rng) for n in (30, 200))
    for matrix in (truth, train):
        matrix.data[:] = 1
    ids = np.argsort(rng.random((30, 40)), axis=1)[:, :12]
    ids[3, 5:] = -1
    scores = np.where(ids < 0, 0, -np.arange(12, dtype=np.float32) - 1)
    theirs = scripts["matrices"].score(ids, truth, train)
    predictions = Predictions(ids.astype(np.int32), scores.astype(np.float32), None, 40)
    ours = xmc.metrics.evaluate(predictions, truth, k=(1, 3, 5, 10), train_labels=train)
    for k in (1, 3, 5, 10):
        assert theirs[f"P@{k}"] == pytest.approx(ours[f"P@{k}"], abs=0.006)
        assert theirs[f"PSP@{k}"] == pytest.approx(ours[f"PSP@{k}"], abs=0.006)
        assert theirs[f"R@{k}"] == pytest.approx(ours[f"recall@{k}"], abs=0.006)


def test_every_rival_can_be_installed_and_trained(scripts):
    packages, rivals = scripts["install"].PACKAGES, scripts["train"].RIVALS
    assert set(packages) == set(rivals)
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", names[0]) for names in packages.values())
