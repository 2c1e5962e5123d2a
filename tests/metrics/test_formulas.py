"""Metrics: values as formulas, parity with a slow implementation of its own, invariants, errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score

from xmc_jax import metrics
from xmc_jax.errors import InputError
from xmc_jax.metrics import METRICS, counts, report, truth

# Three documents, five labels: two hits of three true labels; a miss; no true label at all.
IDS = np.array([[2, 0, 4], [1, 3, -1], [0, 1, 2]], np.int32)
TRUE = [{2, 4, 3}, {0}, set()]
LABELS = sp.csr_matrix(np.array([[0, 0, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]))
INVERSE = np.array([1.0, 2.0, 3.0, 5.0, 7.0])


def d(rank):
    return 1 / math.log2(rank + 1)


def random_case(seed, n=40, n_labels=30, width=8):
    """Predictions with tie-free scores; some rows without true labels, some with fewer results."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n * n_labels).reshape(n, n_labels) - 300.0
    ids = np.argsort(-scores, axis=1)[:, :width].astype(np.int32)
    for row in range(0, n, 7):
        ids[row, rng.integers(0, width) :] = -1
    true = [set(rng.permutation(n_labels)[: rng.integers(0, 12)].tolist()) for _ in range(n)]
    counts = rng.integers(0, 50, n_labels)
    return ids, true, counts


def to_csr(true, n_labels):
    matrix = sp.lil_matrix((len(true), n_labels))
    for row, labels in enumerate(true):
        for label in labels:
            matrix[row, label] = 1
    return matrix.tocsr()


def slow(ids, true, inverse, k):
    """All metrics by loops over sets, written from the definitions and not from the module."""
    n, n_labels = len(true), len(inverse)
    p = r = g = 0.0
    gained = most = gained_dcg = most_dcg = 0.0
    example = 0.0
    tp, fp, fn = [0] * n_labels, [0] * n_labels, [0] * n_labels
    for row, labels in zip(ids.tolist(), true, strict=True):
        top = row[:k]
        hit = [label in labels for label in top]
        p += sum(hit) / k
        r += sum(hit) / len(labels) if labels else 0
        parts = sum(label >= 0 for label in top) + len(labels)
        example += 2 * sum(hit) / parts if parts else 0
        ideal = sum(d(rank) for rank in range(1, min(k, len(labels)) + 1))
        best = sorted((inverse[label] for label in labels), reverse=True)[:k]
        gained += sum(inverse[label] for label in top if label in labels)
        most += sum(best)
        if labels:
            g += sum(d(rank) for rank, h in enumerate(hit, 1) if h) / ideal
            worth = [inverse[x] * d(rank) for rank, x in enumerate(top, 1) if x in labels]
            gained_dcg += sum(worth) / ideal
            most_dcg += sum(w * d(rank) for rank, w in enumerate(best, 1)) / ideal
        for label in range(n_labels):
            tp[label] += label in top and label in labels
            fp[label] += label in top and label not in labels
            fn[label] += label not in top and label in labels

    def share(part, whole):
        return part / whole if whole else 0.0

    f1 = [share(2 * t, 2 * t + f + m) for t, f, m in zip(tp, fp, fn, strict=True)]
    return {
        "P": p / n,
        "recall": r / n,
        "nDCG": g / n,
        "PSP": gained / most,
        "PSnDCG": gained_dcg / most_dcg,
        "coverage": sum(t > 0 for t in tp) / len(set().union(*true)),
        "macro-F1": sum(f1) / n_labels,
        "micro-F1": share(2 * sum(tp), 2 * sum(tp) + sum(fp) + sum(fn)),
        "example-F1": example / n,
    }


RANKED = ("P", "recall", "nDCG", "PSP", "PSnDCG", "coverage", "macro-F1", "micro-F1", "example-F1")


def fast(ids, labels, inverse, k, drop_unlabelled=False):
    wanted = [(METRICS[name], k) for name in RANKED]
    total = metrics.Accumulator(wanted, inverse=inverse, drop_unlabelled=drop_unlabelled)
    total.add(ids, labels)
    return {name: total.values()[f"{name}@{k}"] / 100 for name in RANKED}


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name in got:
        assert got[name] == pytest.approx(want[name], rel=1e-12, abs=1e-14), name


def test_values_are_the_formulas():
    got = fast(IDS, LABELS, INVERSE, 3)
    assert got["P"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert got["recall"] == pytest.approx((2 / 3 + 0 / 1 + 0) / 3)
    assert got["nDCG"] == pytest.approx((d(1) + d(3)) / (d(1) + d(2) + d(3)) / 3)
    assert got["PSP"] == pytest.approx((3 + 7) / ((7 + 5 + 3) + 1))
    ideal = d(1) + d(2) + d(3)
    most = (7 * d(1) + 5 * d(2) + 3 * d(3)) / ideal + 1 * d(1) / d(1)
    assert got["PSnDCG"] == pytest.approx((3 * d(1) + 7 * d(3)) / ideal / most)
    assert got["coverage"] == pytest.approx(2 / 4)  # 2 and 4, of 0, 2, 3, 4
    assert got["macro-F1"] == pytest.approx((2 / 3 + 1) / 5)  # label 2: 1/2 and 1; label 4: 1 and 1
    assert got["micro-F1"] == pytest.approx(2 * 2 / (8 + 4))
    assert got["example-F1"] == pytest.approx((2 * 2 / (3 + 3) + 0 + 0) / 3)


def test_a_cut_beyond_the_results_counts_misses():
    got = fast(IDS, LABELS, INVERSE, 10)
    assert got["P"] == pytest.approx(2 / 10 / 3)
    assert got["recall"] == pytest.approx(2 / 3 / 3)
    assert got["nDCG"] == pytest.approx((d(1) + d(3)) / (d(1) + d(2) + d(3)) / 3)


def test_unlabelled_documents_may_be_dropped():
    got = fast(IDS, LABELS, INVERSE, 3, drop_unlabelled=True)
    assert got["P"] == pytest.approx((2 / 3 + 0) / 2)
    assert got["example-F1"] == pytest.approx((2 * 2 / (3 + 3) + 0) / 2)
    got = metrics.evaluate(IDS, LABELS, k=3, drop_unlabelled=True)
    assert got["recall@3"] == pytest.approx(100 * (2 / 3 + 0) / 2)


@pytest.mark.parametrize("k", [1, 3, 5, 20])
@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_parity_with_the_slow_implementation(k, block, monkeypatch):
    monkeypatch.setattr(truth, "BLOCK", block)
    for seed in range(3):
        ids, true, counts = random_case(seed)
        inverse = metrics.inverse_propensities(counts, 200)
        assert_same(fast(ids, to_csr(true, len(counts)), inverse, k), slow(ids, true, inverse, k))


def test_permutations_of_labels_and_of_documents_change_nothing():
    ids, true, counts = random_case(5)
    labels, inverse = to_csr(true, len(counts)), metrics.inverse_propensities(counts, 200)
    want = fast(ids, labels, inverse, 3)
    rng = np.random.default_rng(0)
    new = rng.permutation(len(counts))  # label l becomes new[l]
    moved = np.where(ids < 0, -1, new[ids])
    columns = labels[:, np.argsort(new)]
    assert_same(fast(moved, columns, inverse[np.argsort(new)], 3), want)
    order = rng.permutation(len(ids))
    assert_same(fast(ids[order], labels[order], inverse, 3), want)


@pytest.mark.parametrize(
    ("ids", "labels"),
    [
        (np.full((3, 4), -1), LABELS),
        (IDS, sp.csr_matrix((3, 5))),
        (np.zeros((0, 4), int), sp.csr_matrix((0, 5))),
        (np.zeros((3, 0), int), LABELS),
    ],
    ids=["all padded", "no labels", "no documents", "no results"],
)
def test_nothing_found_is_zero_and_never_nan(ids, labels):
    for name, value in fast(ids, labels, INVERSE, 3).items():
        assert value == 0, name


def test_no_labels_in_the_set_at_all():
    nothing = sp.csr_matrix((2, 0))
    got = fast(np.full((2, 3), -1), nothing, np.zeros(0), 3)
    assert set(got.values()) == {0}


def test_perfect_predictions_score_one():
    ids = np.array([[0, 1], [2, -1]])
    labels = to_csr([{0, 1}, {2}], 3)
    got = fast(ids, labels, np.array([3.0, 2.0, 5.0]), 2)
    assert got["P"] == pytest.approx((2 / 2 + 1 / 2) / 2)  # k below, though one label is true
    for name in set(RANKED) - {"P"}:
        assert got[name] == pytest.approx(1), name


def test_evaluate_returns_percent_of_every_metric():
    ids, true, counts = random_case(3)
    labels = to_csr(true, len(counts))
    inverse = metrics.inverse_propensities(counts, 200, a=0.6, b=2.6)
    got = metrics.evaluate(ids, labels, k=(1, 5), train_counts=counts, n_train=200, a=0.6, b=2.6)
    assert got.pop("n") == len(ids)
    assert got.pop("propensity") == {"A": 0.6, "B": 2.6}
    names = ("P", "nDCG", "recall", "PSP", "PSnDCG")
    want = {k: slow(ids, true, inverse, k) for k in (1, 5)}
    assert got == pytest.approx({f"{m}@{k}": 100 * want[k][m] for m in names for k in (1, 5)})
    train = to_csr([{0, 1}, {1}, set(), {4}], len(counts))
    by_labels = metrics.evaluate(ids, labels, train_labels=train)
    by_counts = metrics.evaluate(
        ids, labels, train_counts=np.bincount([0, 1, 1, 4], minlength=30), n_train=4
    )
    assert by_labels == by_counts
    assert set(metrics.evaluate(ids, labels, k=2)) == {"P@2", "nDCG@2", "recall@2", "n"}


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "3", (), (1, 0), (1, 2.5), None])
def test_bad_cuts_are_refused(k):
    with pytest.raises(InputError, match="a whole number of 1 or more"):
        metrics.evaluate(IDS, LABELS, k=k)


def test_half_of_the_training_statistics_is_refused():
    with pytest.raises(InputError, match="both needed"):
        metrics.evaluate(IDS, LABELS, train_counts=np.ones(5))
    with pytest.raises(InputError, match=r"5 labels \(in training\) predicted, 4 labelled"):
        metrics.evaluate(IDS, LABELS, train_counts=np.ones(4), n_train=9)
    with pytest.raises(InputError, match="label matrix or Predictions needed"):
        metrics.evaluate(IDS, [["a"], [], []])
    with pytest.raises(InputError, match="unknown metric 'PSPP'; did you mean 'PSP'"):
        metrics.evaluate(IDS, LABELS, metrics=["PSPP"])
    with pytest.raises(InputError, match=r"metric 'PSP' asked for; train_labels .* needed"):
        metrics.evaluate(IDS, LABELS, metrics=["P", "PSP"])
    with pytest.raises(InputError, match="metric 'ECE' asked for; predictions with probabilities"):
        metrics.evaluate(IDS, LABELS, metrics=["ECE"])


def test_a_metric_of_ones_own_is_one_value_in_the_table(monkeypatch):
    def share_of_documents(scope, documents, hits):
        return 100 * hits.counts.sum() / documents.counts.sum()

    def documents_with_a_hit(batch, k):
        return np.nonzero(batch.hits[:, :k].any(axis=1))[0]

    tallies = (counts.DOCUMENTS, metrics.Tally(documents_with_a_hit))
    toy = metrics.Metric("any-hit", tallies, share_of_documents)
    assert metrics.evaluate(IDS, LABELS, k=1, metrics=[toy]) == {"any-hit@1": 100 / 3, "n": 3}
    monkeypatch.setitem(METRICS, "any-hit", toy)
    monkeypatch.setitem(report.REPORTED, "any-hit", (1, 3))
    got = report.report(IDS, LABELS, train_counts=np.ones(5), n_train=9)
    assert got["any-hit@3"] == 100 / 3
    assert "any-hit" in metrics.format_table(got)


def test_sets_of_labels_are_scored_whole():
    names = ("micro-F1", "macro-F1", "example-F1", "recall")
    for seed in range(3):
        ids, true, n = random_case(seed)
        labels = to_csr(true, len(n))
        got = metrics.evaluate(ids, labels, k=ids.shape[1], metrics=names)
        assert {m: got[m] for m in names} == {m: got[f"{m}@{ids.shape[1]}"] for m in names}
        predicted = np.zeros((len(ids), len(n) + 1), int)
        np.put_along_axis(predicted, ids, 1, axis=1)  # -1: a column behind the others
        truth, predicted = labels.toarray().astype(int), predicted[:, :-1]
        for mine, theirs in (("micro", "micro"), ("macro", "macro"), ("example", "samples")):
            want = f1_score(truth, predicted, average=theirs, zero_division=0)
            assert got[f"{mine}-F1"] == pytest.approx(100 * want)


def calibration_case(seed, width=4, ties=False):
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((80, 30)), axis=1)[:, :width]
    scores = -np.sort(-rng.random(ids.shape).astype(np.float32), axis=1)
    scores = np.round(scores * 4) / 4 if ties else scores
    ids[::4, 1:] = -1
    labels = sp.csr_matrix(rng.random((80, 30)) < 0.4)
    return SimpleNamespace(ids=ids, scores=scores.astype(np.float32)), labels


@pytest.mark.parametrize("k", [1, 2])
def test_calibration_is_the_formula(k):
    pred, labels = calibration_case(0)
    got = metrics.evaluate(pred, labels, k=k, metrics=["ECE", "Brier"])
    pairs = sorted(
        (float(score), float(labels[i, label]))
        for i in range(80)
        for label, score in zip(pred.ids[i, :k], pred.scores[i, :k], strict=True)
        if label >= 0
    )
    bins = np.array(pairs).reshape(20, -1, 2)
    gaps = np.abs(bins.sum(axis=1) @ [1, -1]).sum() / len(pairs)
    assert got[f"ECE@{k}"] == pytest.approx(100 * gaps)
    brier = np.mean([(score - hit) ** 2 for score, hit in pairs])
    assert got[f"Brier@{k}"] == pytest.approx(100 * brier)


def test_equal_confidences_are_no_matter_of_order():
    # Half of the pairs hit and all say one half: perfectly calibrated, however they are cut.
    ids = np.tile(np.arange(1), (64, 1))
    labels = sp.csr_matrix((np.arange(64) < 32).astype(int)[:, None])
    pred = SimpleNamespace(ids=ids, scores=np.full((64, 1), 0.5, np.float32))
    assert metrics.evaluate(pred, labels, k=1, metrics=["ECE"])["ECE@1"] == pytest.approx(0)
    pred, labels = calibration_case(1, ties=True)
    order = np.random.default_rng(0).permutation(80)
    moved = SimpleNamespace(ids=pred.ids[order], scores=pred.scores[order])
    names = ["ECE", "Brier"]
    want = metrics.evaluate(pred, labels, metrics=names)
    assert metrics.evaluate(moved, labels[order], metrics=names) == want


def test_probabilities_come_before_scores():
    pred, labels = calibration_case(2)
    by_scores = metrics.evaluate(pred, labels, k=1, metrics=["Brier"])
    pred.probabilities, pred.scores = pred.scores, pred.scores * -3
    assert metrics.evaluate(pred, labels, k=1, metrics=["Brier"]) == by_scores
