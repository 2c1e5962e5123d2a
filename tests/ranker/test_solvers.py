"""A solver added through the table is chosen, named and used."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

import xmc_jax as xmc
from xmc_jax.config import SOLVERS
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.ranker.parts import keep_weights
from xmc_jax.ranker.problem import cut_chunk, lay_signs
from xmc_jax.ranker.solvers import Call, list_solvers

SMALL = dict(tree=dict(max_leaf_size=8, branching=4), features=dict(min_count=1))


def prepare(work):
    """Mean of the positives less mean of the negatives: no optimum, but weights."""

    def lay_out(k):
        chunk = cut_chunk(work.problem, work.chunks[k], work.penalty.bias)
        signs = lay_signs(work.problem, chunk, work.n_columns)[0].astype(np.float32)

        def read(weights):
            return keep_weights(work.problem, chunk, weights, work.penalty, work.settings)

        return Call(lambda: np.asarray(chunk.slots.T @ signs), (), read)

    return lay_out


def test_a_toy_is_chosen_by_its_estimate_and_named_in_the_metrics(tmp_path, monkeypatch):
    dual = list_solvers()[0]
    toy = replace(
        dual,
        name="toy",
        seconds=lambda sizes, target: np.zeros(len(sizes.n_rows)),
        compile_seconds=0.0,
        prepare=prepare,
        cut=lambda units, target: units,
    )
    monkeypatch.setitem(sys.modules, "toy_solver", SimpleNamespace(SOLVER=toy))
    monkeypatch.setitem(SOLVERS, "toy", "toy_solver")
    corpus = make_corpus(n_train=200, n_test=40, n_labels=32, branching=4, seed=0)
    model = xmc.XRLinear(**SMALL).fit(corpus.train_texts, corpus.train_labels, workdir=tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    levels = [note for note in map(json.loads, lines) if note["stage"] == "level"]
    assert levels and all(set(note["solver"]["units"]) == {"toy"} for note in levels)
    assert set(levels[0]["solver"]["estimated_seconds"]) == {*SOLVERS}
    assert (model.predict(corpus.test_texts, top_k=5).ids[:, 0] >= 0).all()
    # It can be asked for by name, like any other.
    assert xmc.XRLinear(**SMALL, formulation="toy").config.ranker.formulation == "toy"
