from __future__ import annotations

import jax
import numpy as np
from jax.sharding import PartitionSpec

from xmc_jax.config import ParallelConfig
from xmc_jax.parallel import choose_spec, fetch, make_mesh, place


def test_rules():
    assert choose_spec("B", "J") == PartitionSpec("data", None)
    assert choose_spec("C", None, "B") == PartitionSpec("label", None, "data")
    assert choose_spec() == PartitionSpec()


def test_what_is_placed_can_be_fetched():
    mesh = make_mesh(ParallelConfig(), jax.devices()[:1])
    tree = {"a": np.arange(6.0), "b": None}
    placed = place(tree, mesh, {"a": choose_spec("B"), "b": None})
    assert placed["a"].sharding.spec == PartitionSpec("data")
    np.testing.assert_array_equal(fetch(place(tree, mesh)["a"]), tree["a"])
