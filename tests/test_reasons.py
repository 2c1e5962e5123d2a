"""Explanations of documents that are vectors, and of what is none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError

CORPUS = make_corpus(n_train=150, n_test=20, n_labels=24, branching=4, seed=0)


@pytest.mark.filterwarnings("ignore:rows of features are scaled")
def test_vectors_have_columns_for_names():
    rng = np.random.default_rng(0)
    x = sp.random(60, 12, 0.4, "csr", np.float32, random_state=rng)
    labels = sp.csr_matrix(np.eye(6, dtype=np.float32)[np.arange(60) % 6])
    model = xmc.XRLinear().fit(x, labels)
    made = model.explain(x[3], [2])
    assert made.text == ""
    assert all(term.name.startswith("column ") for step in made.path.steps for term in step.terms)
    assert made.reasons[0].name == "2"
    dense = xmc.XRLinear().fit(x.toarray(), labels)
    step = dense.explain(x[3].toarray()[0]).path.steps[0]
    assert step.terms == ()
    assert step.vector + step.bias == pytest.approx(step.margin, abs=1e-5)


def test_wrong_inputs():
    model = xmc.XRLinear(min_count=1).fit(CORPUS.train_texts, CORPUS.train_labels)
    text = CORPUS.test_texts[0]
    cases = [
        (lambda: model.explain(CORPUS.test_texts), "20 documents given"),
        (lambda: model.explain(text, ["no such label"]), "unknown label"),
        (lambda: model.explain(text, [999]), "0 to 23"),
        (lambda: model.explain(text, []), "at least one"),
        (lambda: model.explain(text, top_k=0), "top_k=0"),
        (lambda: xmc.XRLinear().explain(text), "not trained"),
    ]
    for ask, message in cases:
        with pytest.raises(InputError, match=message):
            ask()
