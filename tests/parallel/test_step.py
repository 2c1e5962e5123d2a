"""The wrapper's gradient: the mean over shards that a step writes is the mean, not a multiple of it."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax.config import ParallelConfig
from xmc_jax.parallel import (
    WHOLE,
    choose_spec,
    fetch,
    gather_columns,
    gather_rows,
    make_mesh,
    place,
    shard_step,
    take_largest,
)


def check(mesh) -> None:
    """Plain gradient descent and the gathers, beside NumPy."""
    x, w = np.arange(16.0, dtype=np.float32).reshape(8, 2), np.ones(2, np.float32)

    def step(w, x):
        grad = jax.grad(lambda w: jnp.mean(jnp.square(x @ w)))(w)
        return w - 0.01 * jax.lax.pmean(grad, "data")

    move = jax.jit(shard_step(step, mesh, (WHOLE, choose_spec("B")), WHOLE))
    moved = fetch(move(place(w, mesh), place(x, mesh, choose_spec("B"))))
    np.testing.assert_allclose(moved, w - 0.01 * 2 * x.T @ (x @ w) / 8, rtol=1e-5)

    def collect(rows, part):
        return gather_rows(rows), gather_columns(part[0]), take_largest(jnp.sum(part))

    parts = np.arange(mesh.shape["label"] * 3.0, dtype=np.float32).reshape(-1, 1, 3)
    specs = choose_spec("B"), choose_spec("C")
    collected = jax.jit(shard_step(collect, mesh, specs, WHOLE))
    rows, columns, largest = collected(place(x, mesh, specs[0]), place(parts, mesh, specs[1]))
    np.testing.assert_array_equal(fetch(rows), x)
    np.testing.assert_array_equal(fetch(columns), parts.reshape(1, -1))
    assert fetch(largest) == parts[-1].sum()


def test_one_device():
    check(make_mesh(ParallelConfig(), jax.devices()[:1]))


def test_eight_devices(processes):
    code = (
        "from test_step import check\n"
        "from xmc_jax.config import ParallelConfig\n"
        "from xmc_jax.parallel import make_mesh\n"
        "check(make_mesh(ParallelConfig(data=4, label=2)))\n"
        "check(make_mesh(ParallelConfig(label=8)))\n"
    )
    processes.finish(processes.start(code, devices=8, beside=Path(__file__).parent))
