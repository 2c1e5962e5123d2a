from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax.scores import POST_PROCESSORS

VALUES = [
    ("noop", -1.0, -1.0),
    ("sigmoid", 0.5, 1 / (1 + math.exp(-0.5))),
    ("log-sigmoid", 0.5, -math.log(1 + math.exp(-0.5))),
    *((f"l{p}-hinge", -0.5, math.exp(-(1.5**p))) for p in (1, 2, 3, 4)),
    *((f"log-l{p}-hinge", -0.5, -(1.5**p)) for p in (1, 2, 3, 4)),
    *((f"l{p}-hinge", 1.5, 1.0) for p in (1, 4)),
    *((f"log-l{p}-hinge", 1.5, 0.0) for p in (1, 4)),
]


@pytest.mark.parametrize(("kind", "margin", "score"), VALUES)
def test_values(kind, margin, score):
    np.testing.assert_allclose(
        POST_PROCESSORS[kind].transform(jnp.float32(margin)), score, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        ("noop", 3.0),
        ("sigmoid", 6.0),
        ("l3-hinge", 6.0),
        ("log-sigmoid", 5.0),
        ("log-l2-hinge", 5.0),
    ],
)
def test_the_parent_counts(kind, score):
    assert POST_PROCESSORS[kind].combine(3.0, 2.0) == score


def test_far_margins_give_no_nan():
    margins = jnp.array([-1e30, -200.0, 200.0, 1e30])
    for kind in ("sigmoid", "log-sigmoid", "l4-hinge", "log-l4-hinge"):
        assert not np.isnan(POST_PROCESSORS[kind].transform(margins)).any()
