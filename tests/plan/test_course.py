"""The stages that are announced are those that come."""

from __future__ import annotations

import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.types import NoProgress

STATIC = {
    "encoder": {"name": "static", "vocabulary": 320, "hidden": 8},
    "tuning": {"steps": 2, "batch_size": 8, "warmup": 1},
}
OFF = STATIC | {"tuning": {"steps": 0}}
TREE = {"tree": {"max_leaf_size": 4, "branching": 4}}
ANSWERS = {"calibrate": {"share": 0.2}, "rerank": {"mode": "auto"}}
PLAIN = {"resumed", "mixture", "storage", "texts of labels", "repair"}
"""Stages of no length, which are not numbered."""


class Listener(NoProgress):
    def __init__(self):
        self.expected, self.told = [], []

    def expect(self, steps):
        self.expected = [step.name for step in steps]

    def start(self, stage, total):
        if stage not in PLAIN:
            self.told.append(stage)


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=80, n_test=20, n_labels=24, branching=4, seed=0)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [  # what is slow shares its stages with what is not
        (xmc.XRLinear, {}),
        pytest.param(
            xmc.XRLinear, TREE | {"disentangle": {"copies": 2, "rounds": 2}}, marks=pytest.mark.slow
        ),
        pytest.param(xmc.XRLinear, TREE | ANSWERS | {"trees": 2}, marks=pytest.mark.slow),
        pytest.param(xmc.XRLinear, TREE | {"calibrate": {"folds": 2}}, marks=pytest.mark.slow),
        pytest.param(xmc.XRTransformer, TREE | STATIC, marks=pytest.mark.slow),
        (xmc.XRTransformer, TREE | STATIC | {"refine": False}),
        pytest.param(xmc.XRTransformer, TREE | OFF | ANSWERS, marks=pytest.mark.slow),
        (xmc.XTransformer, TREE | STATIC | {"trees": 2}),
        (xmc.XTransformer, TREE | STATIC | {"label_embedding": "pifa-neural"}),
        pytest.param(xmc.PrototypeModel, STATIC, marks=pytest.mark.slow),
    ],
)
def test_stages_come_as_announced(corpus, kind, settings):
    told = Listener()
    kind(**settings).fit(corpus.train_texts, corpus.train_labels, progress=told)
    if not settings.get("disentangle"):
        assert told.told == told.expected
        return
    # Rounds end early when they gain too little.
    assert told.told == told.expected[: len(told.told)] and len(told.told) > 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        TREE | {"calibrate": {"share": 0.3}},
        pytest.param(TREE | {"trees": 2, "calibrate": {"share": 0.3}}, marks=pytest.mark.slow),
    ],
)
def test_stages_of_an_update_come_as_announced(corpus, settings):
    model = xmc.XRLinear(**settings).fit(corpus.train_texts, corpus.train_labels)
    told = Listener()
    names = [[str(label) for label in labels] for labels in corpus.test_labels]
    model.update(corpus.test_texts, names, progress=told)
    assert told.told == told.expected and told.told[-1 if not settings else 0] == (
        "features" if settings else "reached positives"
    )
