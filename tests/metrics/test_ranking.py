"""Metrics: values as formulas, parity with a slow implementation of its own, invariants, errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax import metrics
from xmc_jax.errors import InputError

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
    tp, fp, fn = [0] * n_labels, [0] * n_labels, [0] * n_labels
    for row, labels in zip(ids.tolist(), true, strict=True):
        top = row[:k]
        hit = [label in labels for label in top]
        p += sum(hit) / k
        r += sum(hit) / len(labels) if labels else 0
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
        "macro": (
            sum(share(t, t + f) for t, f in zip(tp, fp, strict=True)) / n_labels,
            sum(share(t, t + m) for t, m in zip(tp, fn, strict=True)) / n_labels,
            sum(f1) / n_labels,
        ),
        "micro": (
            share(sum(tp), sum(tp) + sum(fp)),
            share(sum(tp), sum(tp) + sum(fn)),
            share(2 * sum(tp), 2 * sum(tp) + sum(fp) + sum(fn)),
        ),
    }


def fast(ids, labels, inverse, k):
    hits, n_true = metrics.find_hits(ids, labels), metrics.count_true(labels)
    return {
        "P": metrics.precision(hits, n_true, k=k),
        "recall": metrics.recall(hits, n_true, k=k),
        "nDCG": metrics.ndcg(hits, n_true, k=k),
        "PSP": metrics.psprecision(hits, ids, labels, inverse, k=k),
        "PSnDCG": metrics.psndcg(hits, ids, labels, inverse, k=k),
        "coverage": metrics.coverage(hits, ids, labels, k=k),
        "macro": tuple(metrics.label_scores(hits, ids, labels, k=k)),
        "micro": tuple(metrics.label_scores(hits, ids, labels, k=k, average="micro")),
    }


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name in got:
        assert got[name] == pytest.approx(want[name], rel=1e-12, abs=1e-14), name


def test_hits():
    want = [[True, False, True], [False, False, False], [False, False, False]]
    np.testing.assert_array_equal(metrics.find_hits(IDS, LABELS), want)
    np.testing.assert_array_equal(metrics.count_true(LABELS), [3, 1, 0])


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
    assert got["macro"] == pytest.approx((3 / 10, 2 / 5, (2 / 3 + 1) / 5))  # 2: 1/2, 1; 4: 1, 1
    assert got["micro"] == pytest.approx((2 / 8, 2 / 4, 2 * 2 / (8 + 4)))


def test_a_cut_beyond_the_results_counts_misses():
    hits, n_true = metrics.find_hits(IDS, LABELS), metrics.count_true(LABELS)
    assert metrics.precision(hits, n_true, k=10) == pytest.approx(2 / 10 / 3)
    assert metrics.recall(hits, n_true, k=10) == pytest.approx(2 / 3 / 3)
    assert metrics.ndcg(hits, n_true, k=10) == pytest.approx(
        (d(1) + d(3)) / (d(1) + d(2) + d(3)) / 3
    )


def test_unlabelled_documents_may_be_dropped():
    hits, n_true = metrics.find_hits(IDS, LABELS), metrics.count_true(LABELS)
    got = metrics.precision(hits, n_true, k=3, drop_unlabelled=True)
    assert got == pytest.approx((2 / 3 + 0) / 2)
    got = metrics.evaluate(IDS, LABELS, k=3, drop_unlabelled=True)
    assert got["recall@3"] == pytest.approx(100 * (2 / 3 + 0) / 2)


@pytest.mark.parametrize("k", [1, 3, 5, 20])
@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_parity_with_the_slow_implementation(k, block, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", block)
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


def test_rows_are_independent():
    ids, true, counts = random_case(6)
    labels = to_csr(true, len(counts))
    rows = [metrics.find_hits(ids[i : i + 1], labels[i : i + 1])[0] for i in range(len(ids))]
    np.testing.assert_array_equal(metrics.find_hits(ids, labels), rows)


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
        assert value == (0 if name not in ("macro", "micro") else (0, 0, 0)), name


def test_no_labels_in_the_set_at_all():
    nothing = sp.csr_matrix((2, 0))
    got = fast(np.full((2, 3), -1), nothing, np.zeros(0), 3)
    assert got["P"] == 0
    assert got["macro"] == (0, 0, 0)


def test_perfect_predictions_score_one():
    ids = np.array([[0, 1], [2, -1]])
    labels = to_csr([{0, 1}, {2}], 3)
    got = fast(ids, labels, np.array([3.0, 2.0, 5.0]), 2)
    assert got["P"] == pytest.approx((2 / 2 + 1 / 2) / 2)  # k below, though one label is true
    for name in ("recall", "nDCG", "PSP", "PSnDCG", "coverage"):
        assert got[name] == pytest.approx(1), name
    assert got["macro"] == got["micro"] == (1, 1, 1)


def test_counts_stored_zeros_and_duplicates_in_labels():
    entries = ([4.0, 0.0, 1.0, 1.0], [2, 0, 4, 4], [0, 4, 4, 4])
    labels = sp.csr_matrix(entries, shape=(3, 5))
    before = labels.copy()
    np.testing.assert_array_equal(metrics.find_hits(IDS, labels)[0], [True, False, True])
    np.testing.assert_array_equal(metrics.count_true(labels), [2, 0, 0])
    for name in ("data", "indices", "indptr"):  # the caller's matrix is left as it was
        np.testing.assert_array_equal(getattr(labels, name), getattr(before, name))


def test_scores_are_ranked_and_ties_go_to_the_smaller_id():
    scores = sp.csr_matrix(
        ([0.5, -1.0, 0.5, 0.0, 2.0], [4, 0, 1, 3, 2], [0, 4, 4, 5]), shape=(3, 5)
    )
    want = [[1, 4, 3, 0], [-1, -1, -1, -1], [2, -1, -1, -1]]
    np.testing.assert_array_equal(metrics.top_ids(scores, 10), want)
    np.testing.assert_array_equal(metrics.top_ids(scores, 2), np.array(want)[:, :2])
    by_scores = metrics.evaluate(scores, LABELS, k=(1, 3))
    assert by_scores == metrics.evaluate(np.array(want), LABELS, k=(1, 3))
    with pytest.raises(InputError, match="nan"):
        metrics.top_ids(sp.csr_matrix([[np.nan, 1.0]]), 1)


def test_inverse_propensities():
    a, b, n = 0.6, 2.6, 1000
    c = (math.log(n) - 1) * (b + 1) ** a
    got = metrics.inverse_propensities(np.array([0, 1, 999]), n, a=a, b=b)
    assert got == pytest.approx([1 + c * (x + b) ** -a for x in (0, 1, 999)])
    np.testing.assert_array_equal(metrics.inverse_propensities(np.array([0, 1]), 2), [1, 1])


@pytest.mark.parametrize(
    ("counts", "n_train", "constants"),
    [([1, 11], 10, {}), ([-1], 10, {}), ([float("nan")], 10, {}), ([0], 0, {}), ([[1]], 3, {}),
     ([1], 10, {"b": 0.0}), ([1], 10, {"a": -1.0}), ([1], 10, {"a": float("nan")})],
)  # fmt: skip
def test_bad_counts_and_constants_are_refused(counts, n_train, constants):
    with pytest.raises(InputError, match="needed"):
        metrics.inverse_propensities(np.array(counts), n_train, **constants)


@pytest.mark.parametrize(
    ("constants", "names"),
    [
        ((0.5, 0.4), ["Wikipedia-500K", "wiki-500k", "LF-Wikipedia-500K", "WikiLSHTC-325K",
                      "WikiTitles-500K", "LF-WikiTitles-500K", "WikipediaLarge-500K"]),
        ((0.6, 2.6), ["Amazon-670K", "amazon_3m", "AmazonTitles-670K", "LF-Amazon-131K",
                      "LF-AmazonTitles-131K", "LF-AmazonTitles-1.3M", "AmazonTitles-3M"]),
        ((0.55, 1.5), ["Eurlex-4K", "Wiki10-31K", "wiki10-31k", "AmazonCat-13K", "AmazonCat-14K",
                       "LF-WikiSeeAlso-320K", "LF-WikiSeeAlsoTitles-320K", "Bibtex", ""]),
    ],
)  # fmt: skip
def test_propensity_constants(constants, names):
    assert {name: metrics.propensity_constants(name) for name in names} == dict.fromkeys(
        names, constants
    )


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


def test_evaluate_reads_lists_of_names_and_ids():
    names = ("a", "b", "c", "d", "é")
    pred = SimpleNamespace(ids=IDS, label_names=names)
    want = metrics.evaluate(IDS, LABELS)
    assert metrics.evaluate(pred, [["c", "é", "d"], ("a", "a"), set()]) == want
    assert metrics.evaluate(pred, [[2, 4, 3], [0], []]) == want
    unknown = metrics.evaluate(pred, [["c", "é", "d", "new"], ["a"], ["newer"]])
    assert unknown == want | {"unknown_labels": 2}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cd", "a", ""], r"labels of document 0 are 'cd', a list needed"),
        ([["c"], [9], []], r"label 9 given for document 1, an id below 5 or a name needed"),
        ([["c"], [None], []], r"label None given for document 1"),
        ([["c"], ["a"]], r"3 documents predicted, 2 labelled"),
        (LABELS[:2], r"3 documents predicted, 2 labelled"),
        (LABELS[:, :4], r"5 labels predicted, 4 labelled"),
        (-LABELS, r"negative values or nan"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    pred = SimpleNamespace(ids=IDS, label_names=("a", "b", "c", "d", "e"))
    with pytest.raises(InputError, match=message):
        metrics.evaluate(pred, labels)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([[0, 1], [2, 3], [4, 4]]), r"id 4 twice in row 2 of the predictions"),
        (np.array([[0, 1], [2, 5], [4, -1]]), r"id 5 in row 1 .*ids from 0 to 4 \(or -1\)"),
        (np.array([[0, 1], [2, -2], [4, -1]]), r"id -2 in row 1"),
        (np.zeros((3, 5)), r"type float64 and shape \(3, 5\) given, integer ids"),
        (np.array([1, 2, 3]), r"shape \(3,\) given"),
    ],
)
def test_bad_predictions_are_refused(ids, message, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 1)
    with pytest.raises(InputError, match=message):
        metrics.evaluate(ids, LABELS)


def test_unused_slots_may_repeat():
    hits = metrics.find_hits(np.array([[-1, -1, 2], [0, -1, -1], [-1, -1, -1]]), LABELS)
    np.testing.assert_array_equal(hits, [[False, False, True], [True, False, False], [False] * 3])


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "3", (), (1, 0), (1, 2.5), None])
def test_bad_cuts_are_refused(k):
    with pytest.raises(InputError, match="a whole number of 1 or more"):
        metrics.evaluate(IDS, LABELS, k=k)
    if not isinstance(k, tuple):
        with pytest.raises(InputError, match="a whole number of 1 or more"):
            metrics.precision(metrics.find_hits(IDS, LABELS), metrics.count_true(LABELS), k=k)


def test_half_of_the_training_statistics_is_refused():
    with pytest.raises(InputError, match="both needed"):
        metrics.evaluate(IDS, LABELS, train_counts=np.ones(5))
    with pytest.raises(InputError, match=r"5 labels \(in training\) predicted, 4 labelled"):
        metrics.evaluate(IDS, LABELS, train_counts=np.ones(4), n_train=9)
    with pytest.raises(InputError, match="label matrix or Predictions needed"):
        metrics.evaluate(IDS, [["a"], [], []])
    with pytest.raises(InputError, match="average='weighted' given"):
        metrics.label_scores(metrics.find_hits(IDS, LABELS), IDS, LABELS, k=1, average="weighted")
