"""Every rule as its formula, ties, missing labels, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.errors import InputError
from xmc_jax.predict import Predictions, combination, combine, combine_candidates
from xmc_jax.types import PAD

L = 6
A = ([[4, 1, 2], [0, PAD, PAD]], [[0.9, 0.5, 0.25], [-2.0, 0, 0]])
B = ([[1, 3], [5, 0]], [[0.5, 0.125], [3.0, 1.0]])
RULES = ("average", "sigmoid_average", "softmax_average", "rank_average", "round_robin")


def make(ids, scores, names=None, n_labels=L) -> Predictions:
    return Predictions(np.array(ids), np.array(scores, np.float32), names, n_labels)


def sigmoid(s: float) -> float:
    return 1 / (1 + math.exp(-s))


def share(s: float, row: list[float]) -> float:
    return math.exp(s) / sum(map(math.exp, row))


EXPECTED = {
    "average": [
        {4: 0.45, 1: 0.5, 2: 0.125, 3: 0.0625},
        {0: (-2.0 + 1.0) / 2, 5: 1.5},
    ],
    "sigmoid_average": [
        {4: sigmoid(0.9) / 2, 1: sigmoid(0.5), 2: sigmoid(0.25) / 2, 3: sigmoid(0.125) / 2},
        {0: (sigmoid(-2) + sigmoid(1)) / 2, 5: sigmoid(3) / 2},
    ],
    "softmax_average": [
        {
            4: share(0.9, [0.9, 0.5, 0.25]) / 2,
            1: (share(0.5, [0.9, 0.5, 0.25]) + share(0.5, [0.5, 0.125])) / 2,
            2: share(0.25, [0.9, 0.5, 0.25]) / 2,
            3: share(0.125, [0.5, 0.125]) / 2,
        },
        {0: (1 + share(1.0, [3.0, 1.0])) / 2, 5: share(3.0, [3.0, 1.0]) / 2},
    ],
    # R = 3: the widest
    "rank_average": [{4: 3 / 2, 1: (2 + 3) / 2, 2: 1 / 2, 3: 2 / 2}, {0: (3 + 2) / 2, 5: 3 / 2}],
    # the first adds 2/3, the second 1/3
    "round_robin": [
        {4: (3 + 2 / 3) / 2, 1: (3 + 1 / 3) / 2, 2: (1 + 2 / 3) / 2, 3: (2 + 1 / 3) / 2},
        {0: (3 + 2 / 3) / 2, 5: (3 + 1 / 3) / 2},
    ],
}


@pytest.mark.parametrize("rule", RULES)
def test_values(rule):
    found = combine([make(*A), make(*B)], rule, top_k=5)
    assert found.ids.shape == (2, 5) and found.n_labels == L
    for i, want in enumerate(EXPECTED[rule]):
        ids = found.ids[i][found.ids[i] != PAD].tolist()
        assert ids == sorted(want, key=lambda label: (-want[label], label))
        np.testing.assert_allclose(found.scores[i, : len(ids)], [want[j] for j in ids], rtol=1e-6)
        assert (found.ids[i, len(ids) :] == PAD).all()
    cut = combine([make(*A), make(*B)], rule)
    np.testing.assert_array_equal(cut.ids, found.ids[:, :3])
    np.testing.assert_array_equal(cut.scores, found.scores[:, :3])


def test_round_robin_takes_turns():
    found = combine(
        [make([[0, 1, 2]], [[9, 8, 7]]), make([[3, 0, 4]], [[1, 0.5, 0.1]])], "round_robin", 9
    )
    assert found.ids[0].tolist() == [0, 3, 1, 2, 4, PAD]  # no wider than there are labels


@pytest.mark.parametrize("rule", RULES)
def test_one_model_keeps_its_order(rule):
    np.testing.assert_array_equal(combine([make(*A)], rule).ids, A[0])


def test_ties_go_to_the_smaller_label():
    a, b = make([[5, 2]], [[1.0, 0.5]]), make([[3, 0]], [[1.0, 0.5]])
    found = combine([a, b], "average", 4)
    assert found.ids.tolist() == [[3, 5, 0, 2]]
    assert found.scores.tolist() == [[0.5, 0.5, 0.25, 0.25]]


@pytest.mark.parametrize("rule", RULES)
def test_extreme_scores_stay_finite(rule):
    big = float(np.finfo(np.float32).max)
    a = make([[0, 1], [PAD, PAD]], [[big, -big], [0, 0]])
    found = combine([a, a, a], rule)
    assert np.isfinite(found.scores).all()
    assert found.ids.tolist() == [[0, 1], [PAD, PAD]]


@pytest.mark.parametrize("rule", RULES)
def test_a_row_depends_on_its_document_alone(rule, monkeypatch):
    rng = np.random.default_rng(0)
    parts = []
    for width in (3, 5, 4):
        ids = np.stack([rng.permutation(20)[:width] for _ in range(11)])
        ids[rng.random(ids.shape) < 0.2] = PAD
        scores = -np.sort(-rng.normal(size=ids.shape), axis=1)
        parts.append(make(ids, scores, None, 20))
    whole = combine(parts, rule, 7)
    monkeypatch.setattr(combination, "_ROWS_AT_ONCE", 4)
    blocks = combine(parts, rule, 7)
    rows = [combine([part[i] for part in parts], rule, 7) for i in range(11)]
    for other in (blocks, combination.Predictions(
        np.concatenate([r.ids for r in rows]), np.concatenate([r.scores for r in rows]), None, 20
    )):  # fmt: skip
        np.testing.assert_array_equal(whole.ids, other.ids)
        np.testing.assert_array_equal(whole.scores, other.scores)


def test_names_in_another_order_are_matched():
    a = make([[0, 1]], [[1.0, 0.5]], ["x", "y", "z"], 3)
    b = make([[0, 2]], [[1.0, 0.5]], ["z", "x", "y"], 3)
    found = combine([a, b], "average", 3)
    assert found.names() == [["x", "y", "z"]]  # 0.5 each: the first's smaller number first
    assert found.scores.tolist() == [[0.5, 0.5, 0.5]]


def test_candidates_have_the_same_values():
    scores = [[0.9, 0.0, 0.25], [0.5, 0.5, 2.0]]
    first, second = (
        sp.csr_matrix((np.array(s, np.float32), [1, 3, 4], [0, 3, 3]), (2, 5)) for s in scores
    )
    for rule in RULES:
        found = combine_candidates([first, second], rule)
        assert found.nnz == 3 and found.indices.tolist() == [1, 3, 4]
        ranked = [
            make([[1, 4, 3]], [[0.9, 0.25, 0.0]], None, 5),
            make([[4, 1, 3]], [[2.0, 0.5, 0.5]], None, 5),
        ]
        dense = combine(ranked, rule, 3).to_csr().toarray()[0]
        np.testing.assert_allclose(found.toarray()[0], dense, rtol=1e-6)


def test_no_documents_and_no_results():
    empty = make(np.zeros((0, 3), int), np.zeros((0, 3)))
    assert combine([empty, empty]).ids.shape == (0, 3)
    none = make(np.zeros((2, 0), int), np.zeros((2, 0)))
    assert combine([none, none], top_k=2).ids.tolist() == [[PAD, PAD]] * 2


def test_the_door():
    assert xmc.combine([make(*A), make(*B)]).ids.shape == (2, 3)


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ([], {}, "none given, a list of Predictions needed"),
        ([make(*A), A], {}, "tuple given"),
        ([make(*A), make(*B)], {"rule": "softmaxaverage"}, "did you mean 'softmax_average'"),
        ([make(*A), make(*B)], {"top_k": 0}, "top_k=0"),
        ([make(*A), make(*B)[:1]], {}, "predictions 1 of 1 documents and predictions 0 of 2"),
        ([make(*A), make(*B, None, 7)], {}, "predictions 1: 7 labels, the first has 6"),
        ([make(*A), make(*B, list("abcdef"))], {}, "with and without names"),
        ([make(*A, list("abcdef")), make(*B, list("abcdeg"))], {}, "label 'g' is none of"),
        ([make(*A, list("abcdef")), make(*B, list("abcdee"))], {}, "a name is repeated"),
        ([make([[1, 1]], [[1, 0.5]])], {}, "document 0: one model names label 1 twice"),
    ],
)  # fmt: skip
def test_refusals(parts, options, message):
    with pytest.raises(InputError, match=message):
        combine(parts, **options)
