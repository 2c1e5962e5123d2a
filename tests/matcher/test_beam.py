from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax import matcher
from xmc_jax.matcher import (
    Beam,
    find_nodes,
    find_positions,
    select_beam,
    select_nodes,
    start_beam,
)
from xmc_jax.types import PAD

score_beam = jax.jit(matcher.score_beam, static_argnames=("kind", "first"))


def test_the_root_has_no_say(tools):
    made = tools.level("bitmaps", sizes=(5,))
    sparse, ids, values, dense = tools.queries(2, 50)
    scores = score_beam(made.level, "noop", ids, values, dense, start_beam(2), first=True)
    expected = sparse @ made.weights + dense @ made.dense.T + made.bias
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_scores_meet_their_parents(tools):
    made = tools.level("bitmaps")
    _, ids, values, dense = tools.queries(1, 50)
    beam = Beam(jnp.array([[0, 3, PAD]]), jnp.array([[0.5, 0.25, -jnp.inf]]))
    own = score_beam(made.level, "sigmoid", ids, values, dense, beam, first=True)
    scores = score_beam(made.level, "sigmoid", ids, values, dense, beam, first=False)
    scores, own = (np.asarray(x).reshape(3, 30) for x in (scores, own))
    np.testing.assert_allclose(scores[0, :3], own[0, :3] * 0.5)
    np.testing.assert_allclose(scores[1, :7], own[1, :7] * 0.25)
    assert (scores[2] == -np.inf).all() and (scores[0, 3:] == -np.inf).all()


def test_a_table_scores_the_children_of_the_beam_alike(tools):
    _, ids, values, dense = tools.queries(1, 50)
    beam = Beam(jnp.array([[0, 3, PAD]]), jnp.array([[0.5, -0.25, -jnp.inf]]))
    found = []
    for layout in ("bitmaps", "table"):
        level = tools.level(layout).level
        scores = score_beam(level, "log-l1-hinge", ids, values, dense, beam, first=False)
        found.append(select_nodes(level, beam, scores, 12))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    assert found[0][1].tolist() == found[1][1].tolist()
    assert sorted(found[0][1].tolist()[0])[:2] == [PAD, PAD]


def test_where_candidates_stand(tools):
    beam = Beam(jnp.array([[0, 3, PAD]]), jnp.zeros((1, 3)))
    node, cluster = jnp.array([[2, 40, 5, 3]]), jnp.array([[0, 3, 2, 1]])
    level = tools.level("bitmaps").level
    position = find_positions(level, beam, node, cluster)
    assert position.tolist() == [[2, 36, PAD, PAD]]
    assert find_nodes(level, beam, position)[0, :2].tolist() == [2, 40]
    table = tools.level("table").level
    assert find_positions(table, beam, node, cluster).tolist() == node.tolist()
    assert find_nodes(table, beam, node).tolist() == node.tolist()


def test_the_best_of_equal_scores_has_the_smaller_id(tools):
    level = tools.level("bitmaps").level  # clusters of 3, 1, 30 and 7
    beam = Beam(jnp.array([[0, 3]]), jnp.array([[1.0, 1.0]]))
    scores = jnp.full((1, 2, 30), -jnp.inf).at[0, 0, :3].set(jnp.array([1.0, 2.0, 1.0]))
    scores = scores.at[0, 1, :7].set(1.0).at[0, 1, 6].set(2.0)
    scores = scores.reshape(1, -1)
    best, node = select_nodes(level, beam, scores, 4)
    assert node.tolist() == [[1, 40, 0, 2]] and best.tolist() == [[2.0, 2.0, 1.0, 1.0]]
    kept = select_beam(level, beam, scores, 4)
    assert kept.node.tolist() == [[0, 1, 2, 40]] and kept.score.tolist() == [[1.0, 2.0, 1.0, 2.0]]


def test_a_beam_that_is_not_full_ends_with_padding(tools):
    level = tools.level("bitmaps").level
    beam = Beam(jnp.array([[1, PAD]]), jnp.array([[1.0, -jnp.inf]]))
    scores = jnp.full((1, 2, 30), -jnp.inf).at[0, 0, 0].set(0.0)
    kept = select_beam(level, beam, scores.reshape(1, -1), 3)
    assert kept.node.tolist() == [[3, PAD, PAD]]
    assert kept.score.tolist() == [[0.0, -np.inf, -np.inf]]
