"""The report: equal to the plain metrics, and the same to the last digit however it is batched."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax import metrics
from xmc_jax.errors import InputError
from xmc_jax.metrics import report as evaluate
from xmc_jax.predict.predictions import Predictions

N, L, R, N_TRAIN = 60, 150, 110, 400
CUTS = (1, 3, 5)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((N, L)), axis=1)[:, :R].astype(np.int32)
    ids[::9, 40:] = -1
    dense = rng.random((N, L)) < rng.random((N, 1)) * 0.2
    dense[::11] = False
    for row in range(1, N, 2):  # so that half of the documents have a good first result
        dense[row, ids[row, 0]] = True
    counts = rng.integers(0, 100, L)
    return ids, sp.csr_matrix(dense.astype(np.float32)), counts


def report(ids, labels, counts):
    return evaluate.report(ids, labels, train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)


def test_the_keys_are_the_contract_and_the_extensions(case):
    names = [f"{m}@{k}" for m in ("P", "nDCG", "PSP") for k in CUTS]
    names += [f"recall@{k}" for k in (1, 3, 5, 10, 100)] + ["n", "propensity"]
    extra = [f"{m}@{k}" for m in ("coverage", "macro-F1", "micro-F1", "example-F1") for k in CUTS]
    assert set(report(*case)) == {*names, *extra, "by_frequency", "results_per_document"}


def test_every_value_is_that_of_evaluate(case):
    ids, labels, counts = case
    got = report(*case)
    names = ("P", "nDCG", "PSP", "recall", "coverage", "macro-F1", "micro-F1", "example-F1")
    training = dict(train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)
    want = metrics.evaluate(ids, labels, metrics=names, k=(*CUTS, 10, 100), **training)
    scores = {k: v for k, v in got.items() if "@" in k}
    assert min(scores.values()) > 0
    assert scores == {k: want[k] for k in scores}
    assert got["n"] == N
    assert got["propensity"] == {"A": 0.5, "B": 0.4}
    assert got["results_per_document"] == 100


def test_labels_by_frequency(case):
    ids, labels, counts = case
    rows = report(*case)["by_frequency"]
    assert sum(row["labels"] for row in rows) == L
    assert sum(row["true"] for row in rows) == labels.nnz
    (row,) = [row for row in rows if row["documents"] == "30-99"]
    of = (counts >= 30) & (counts < 100)
    top, hits = ids[:, :5], metrics.find_hits(ids, labels)[:, :5]
    inside = (top >= 0) & of[top]
    assert row["labels"] == of.sum()
    assert row["precision@5"] == pytest.approx(100 * hits[inside].sum() / inside.sum())
    assert row["recall@5"] == pytest.approx(100 * hits[inside].sum() / labels[:, of].nnz)


def test_decisions_are_scored_beside_the_ranking(case):
    ids, labels, counts = case
    decided = np.where(np.arange(R) < np.arange(N)[:, None] % 4, ids, -1)
    total = evaluate.Report(train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)
    for rows in (slice(0, 25), slice(25, N)):
        total.add(ids[rows], labels[rows], decided[rows])
    got, ranked = total.report(), report(*case)
    assert {k: got[k] for k in ranked} == ranked
    want = metrics.evaluate(decided, labels, metrics=["micro-F1", "macro-F1", "example-F1"])
    assert set(got) - set(ranked) == {"micro-F1", "macro-F1", "example-F1"}
    assert all(got[name] == want[name] for name in set(got) - set(ranked))
    assert "decided" in evaluate.format_table(got)


@pytest.mark.parametrize("size", [1, 7, 59])
def test_batches_add_up_exactly(case, size):
    ids, labels, counts = case
    total = evaluate.Report(train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)
    order = np.random.default_rng(size).permutation(N)
    for start in range(0, N, size):
        rows = order[start : start + size]
        total.add(ids[rows], labels[rows])
    assert total.report() == report(*case)  # equal, not close


def test_fewer_results_are_reported(case):
    ids, labels, counts = case
    got = report(ids[:, :4], labels, counts)
    assert got["results_per_document"] == 4
    assert got["recall@100"] == got["recall@10"] == got["recall@5"] > got["recall@3"]
    assert got["P@5"] == pytest.approx(100 * metrics.find_hits(ids[:, :4], labels).sum() / (5 * N))
    total = evaluate.Report(train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)
    for width in (R, 4, 50):
        total.add(ids[:, :width], labels)
    assert total.report()["results_per_document"] == 4
    assert "ranks beyond 4 hold no results" in evaluate.format_table(got)


def test_predictions_and_names(case):
    ids, labels, counts = case
    names = tuple(f"label {i}" for i in range(L))
    pred = Predictions(ids, np.full(ids.shape, -1.0), names, L)
    rows = [[names[j] for j in labels[i].indices] for i in range(N)]
    assert report(pred, rows, counts) == report(ids, labels, counts)
    rows[0] = ["never seen", "nor this"]
    got = report(pred, rows, counts)
    assert got.pop("unknown_labels") == 2
    assert got == report(ids, labels, counts)  # document 0 had no labels before either
    table = evaluate.format_table(report(pred, rows, counts))
    assert "2 true labels unknown to the model were left out" in table


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_to_find_is_zero_everywhere(n):
    nothing = sp.csr_matrix((n, L))
    got = report(np.full((n, 5), -1), nothing, np.zeros(L))
    assert got.pop("n") == n
    assert got.pop("results_per_document") == 5
    got.pop("propensity")
    assert {x for row in got.pop("by_frequency") for x in list(row.values())[2:]} == {0}
    assert set(got.values()) == {0.0}
    empty = evaluate.Report(train_counts=np.zeros(L), n_train=5).report()
    assert json.loads(evaluate.to_json(empty))["n"] == 0
    assert "0 documents" in evaluate.format_table(empty)


def test_a_bad_batch_is_refused_and_adds_nothing(case):
    ids, labels, counts = case
    total = evaluate.Report(train_counts=counts, n_train=N_TRAIN, a=0.5, b=0.4)
    total.add(ids, labels)
    twice = ids.copy()
    twice[5, 1] = twice[5, 0]
    for bad_ids, bad_labels, message in [
        (twice, labels, "twice in row 5"),
        (ids[1:], labels, "59 documents predicted, 60 labelled"),
        (ids, labels[:, : L - 1], f"{L - 1} labels in a batch, {L} as in training needed"),
    ]:
        with pytest.raises(InputError, match=message):
            total.add(bad_ids, bad_labels)
    assert total.report() == report(*case)


def test_json_and_table(case):
    got = report(*case)
    line = evaluate.to_json(got)
    assert "\n" not in line
    assert json.loads(line) == got
    lines = evaluate.format_table(got).splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["@1"] == ["@1", "@3", "@5", "@10", "@100"]
    assert rows["P"] == ["P", *(f"{got[f'P@{k}']:.2f}" for k in CUTS)]
    assert rows["recall"] == ["recall", *(f"{got[f'recall@{k}']:.2f}" for k in (1, 3, 5, 10, 100))]
    assert "propensity constants A = 0.5, B = 0.4" in evaluate.format_table(got)
