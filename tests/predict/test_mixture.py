"""Scores of several sources: their weighted sum, its ranking, weights that held-out documents choose, votes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.predict.mixture import choose_weights, mix_scores, rank_scores
from xmc_jax.types import PAD


def csr(rows):
    return sp.csr_matrix(np.array(rows, np.float32))


def test_sums_and_ranking():
    mixed = mix_scores([csr([[1, 0, 0.5]]), csr([[0, 1, 1]]), csr([[0, 0, 9]])], (0.25, 0.75, 0))
    np.testing.assert_allclose(mixed.toarray(), [[0.25, 0.75, 0.875]])
    found = rank_scores(sp.vstack([mixed, csr([[0, 0.5, 0.5]]), csr([[0, 0, 0]])]).tocsr(), 4)
    assert found.ids.tolist() == [[2, 1, 0, PAD], [1, 2, PAD, PAD], [PAD] * 4]
    np.testing.assert_allclose(found.scores[0], [0.875, 0.75, 0.25, 0])


def test_weights_are_those_of_the_better_source():
    rng = np.random.default_rng(0)
    truth = np.eye(8, dtype=np.float32)[rng.integers(0, 8, 60)]
    noise = [rng.random((60, 8), np.float32) for _ in range(2)]
    good, bad = csr(truth + noise[0]), csr(noise[1])
    weights, score = choose_weights([bad, good], csr(truth))
    assert weights[1] >= 0.9 and sum(weights) == pytest.approx(1)
    alone = choose_weights([good], csr(truth))
    assert alone[0] == (1.0,) and score >= alone[1]


@pytest.mark.parametrize(
    "sources, weights, words",
    [
        ([csr([[1]])], (0.5, 0.5), "2 weights given for 1"),
        ([], (), "0 weights"),
        ([csr([[1]])], (-1,), "0 or more"),
        ([csr([[1]])], (0,), "not all 0"),
        ([csr([[1]]), csr([[1, 2]])], (1, 1), "shapes"),
    ],
)
def test_what_is_refused(sources, weights, words):
    with pytest.raises(InputError, match=words):
        mix_scores(sources, weights)
