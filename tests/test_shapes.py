"""The shapes in the signatures of functions are those of their arrays: the rooms' tests with every shape checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CHECKED = (
    *("ops", "matcher", "ranker", "tree", "predict", "scores", "metrics", "calibrate"),
    *("disentangle", "rerank", "features"),
)

WRONG = """
import os
os.environ["XMC_TEST_SHAPES"] = "1"
import conftest
import jax.numpy as jnp
from jaxtyping import TypeCheckError
from xmc_jax.ops.accumulate import accumulate

ids, values = jnp.zeros((2, 3), jnp.int32), jnp.ones((2, 3))
print(accumulate(ids, values, jnp.ones((4, 5))).shape)
for wrong in ((ids, values[:1]), (values, values), (ids, ids)):
    try:
        accumulate(*wrong, jnp.ones((4, 5)))
    except TypeCheckError:
        continue
    raise AssertionError("taken")
print("refused")
"""


def test_a_wrong_shape_or_type_is_found(processes):
    assert processes.finish(processes.start(WRONG, beside=TESTS)) == ["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("room", CHECKED)
def test_shapes_in_signatures_hold(room):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / room)]
    env = os.environ | {"XMC_TEST_SHAPES": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, env=env, cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
