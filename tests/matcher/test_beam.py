from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax import matcher
from xmc_jax.matcher import Beam, select_beam, select_nodes, start_beam
from xmc_jax.types import PAD

score_beam = jax.jit(matcher.score_beam, static_argnames=("kind", "first"))


def test_the_root_has_no_say(tools):
    made = tools.level("rows", sizes=(5,))
    sparse, ids, values, dense = tools.queries(2, 50)
    scores = score_beam(made.level, "noop", ids, values, dense, start_beam(2), first=True)
    expected = sparse @ made.weights + dense @ made.dense.T + made.bias
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_scores_meet_their_parents(tools):
    made = tools.level("rows")
    _, ids, values, dense = tools.queries(1, 50)
    beam = Beam(jnp.array([[0, 3, PAD]]), jnp.array([[0.5, 0.25, -jnp.inf]]))
    own = score_beam(made.level, "sigmoid", ids, values, dense, beam, first=True)
    scores = score_beam(made.level, "sigmoid", ids, values, dense, beam, first=False)
    np.testing.assert_allclose(scores[0, 0, :3], own[0, 0, :3] * 0.5)
    np.testing.assert_allclose(scores[0, 1, :7], own[0, 1, :7] * 0.25)
    assert (np.asarray(scores)[0, 2] == -np.inf).all() and (scores[0, 0, 3:] == -jnp.inf).all()


def test_the_best_of_equal_scores_has_the_smaller_id(tools):
    level = tools.level("rows").level  # clusters of 3, 1, 30 and 7
    beam = Beam(jnp.array([[0, 3]]), jnp.array([[1.0, 1.0]]))
    scores = jnp.full((1, 2, 30), -jnp.inf).at[0, 0, :3].set(jnp.array([1.0, 2.0, 1.0]))
    scores = scores.at[0, 1, :7].set(1.0).at[0, 1, 6].set(2.0)
    best, node = select_nodes(level, beam, scores, 4)
    assert node.tolist() == [[1, 40, 0, 2]] and best.tolist() == [[2.0, 2.0, 1.0, 1.0]]
    kept = select_beam(level, beam, scores, 4)
    assert kept.node.tolist() == [[0, 1, 2, 40]] and kept.score.tolist() == [[1.0, 2.0, 1.0, 2.0]]


def test_a_beam_that_is_not_full_ends_with_padding(tools):
    level = tools.level("rows").level
    beam = Beam(jnp.array([[1, PAD]]), jnp.array([[1.0, -jnp.inf]]))
    scores = jnp.full((1, 2, 30), -jnp.inf).at[0, 0, 0].set(0.0)
    kept = select_beam(level, beam, scores, 3)
    assert kept.node.tolist() == [[3, PAD, PAD]]
    assert kept.score.tolist() == [[0.0, -np.inf, -np.inf]]
