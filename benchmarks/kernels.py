"""The kernels of `xmc_jax/ops/` beside what the machine can do: a streaming copy for bytes, a matrix product for flops.

    python benchmarks/kernels.py --out benchmarks/results/DEVICE [--repeats 9]

Counted are the bytes and flops that a call needs if nothing is kept between two uses of it: a table's row counts every
time that it is gathered, so a table that fits the cache can go beyond the copy. Times are medians; compiling is timed
apart. Both ceilings are measured in the same run, the best of as many repeats. Each line of DEVICE/kernels.jsonl holds
one kernel at one shape; a new run replaces the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from linear import describe_device

from xmc_jax import ops


class Case(NamedTuple):
    """A kernel at a shape: what is called on what, and what that must move and compute."""

    kernel: str
    shape: str
    call: Callable
    arguments: tuple
    n_bytes: int
    n_flops: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for results; nothing is kept if not given")
    parser.add_argument("--repeats", type=int, default=9)
    named = parser.parse_args()
    copy, product = measure_ceilings(named.repeats)
    print(f"copy {copy / 1e9:.1f} GB/s, product {product / 1e9:.1f} Gflop/s", flush=True)
    rows = []
    for case in make_cases(np.random.default_rng(0)):
        rows.append(measure_case(case, copy, product, named.repeats))
        print(json.dumps(rows[-1]), flush=True)
    if named.out is not None:
        named.out.mkdir(parents=True, exist_ok=True)
        part = named.out / "kernels.jsonl.part"
        part.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        os.replace(part, named.out / "kernels.jsonl")


def measure_ceilings(repeats: int) -> tuple[float, float]:
    """Returns bytes a second of a copy and flops a second of a float32 product on the default device."""
    big, n_bytes = jnp.ones((1 << 26,), jnp.float32), 2 * 4 * (1 << 26)
    # In place: the first touch of fresh memory costs the host more than the copy.
    copy = jax.jit(lambda x: x + 1.0, donate_argnums=0)
    copied = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        big = jax.block_until_ready(copy(big))
        copied.append(time.perf_counter() - began)
    square = jnp.ones((4096, 4096), jnp.float32)
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    multiplied = time_calls(jax.jit(product), (square, square), repeats)
    return n_bytes / min(copied), 2 * 4096**3 / min(multiplied)


def measure(call: Callable, arguments: tuple, repeats: int) -> tuple[float, float]:
    """Returns the median seconds of a call, and the seconds of its compilation."""
    began = time.perf_counter()
    compiled = jax.jit(call).lower(*arguments).compile()
    compile_s = time.perf_counter() - began
    return statistics.median(time_calls(compiled, arguments, repeats)), compile_s


def time_calls(compiled: Callable, arguments: tuple, repeats: int) -> list[float]:
    """Returns the seconds of each call after the first."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def measure_case(case: Case, copy: float, product: float, repeats: int) -> dict:
    """Returns a result line: `fraction` is the least time that the ceilings allow, by the time taken."""
    seconds, compile_s = measure(case.call, case.arguments, repeats)
    least = max(case.n_bytes / copy, case.n_flops / product)
    return {
        "kernel": case.kernel,
        "shape": case.shape,
        "device": name_device(),
        "jax": jax.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "bytes": case.n_bytes,
        "flops": case.n_flops,
        "ms": round(1e3 * seconds, 4),
        "compile_s": round(compile_s, 3),
        "GB_s": round(case.n_bytes / seconds / 1e9, 2),
        "Gflop_s": round(case.n_flops / seconds / 1e9, 2),
        "bound": "bytes" if case.n_bytes / copy >= case.n_flops / product else "flops",
        "fraction": round(least / seconds, 3),
        "copy_GB_s": round(copy / 1e9, 1),
        "product_Gflop_s": round(product / 1e9, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def name_device() -> str:
    device = jax.devices()[0]
    return describe_device() if device.platform == "cpu" else device.device_kind


def make_cases(rng: np.random.Generator) -> list[Case]:
    """Returns the kernels at shapes of search and training; ids follow Zipf's law, as features do."""
    cases = [
        # A batch of titles at a small level; of abstracts; long documents with many columns.
        *(make_accumulate(rng, *sizes) for sizes in (
            (4096, 16, 65_536, 32), (1024, 128, 131_072, 32), (512, 512, 65_536, 128),
        )),
        # A step of 64 lanes and 8 rows; the same with short rows; many columns.
        *(make_scatter(rng, *sizes) for sizes in (
            (512, 128, 131_072, 32), (512, 16, 131_072, 32), (512, 64, 32_768, 128),
        )),
        # Queries by beam by slots: one query, a batch, a level of many stored rows.
        *(make_look_up(rng, *sizes) for sizes in (
            (1_280, 100_000, 1_000), (262_144, 1_000_000, 10_000), (262_144, 8_000_000, 50_000),
        )),
        # Candidates of a beam of 10: 32 and 100 children; the flat level of all labels.
        *(make_top(rng, *sizes) for sizes in ((256, 320, 10), (256, 1000, 20), (32, 32_768, 20))),
    ]  # fmt: skip
    return cases


def make_accumulate(rng: np.random.Generator, r: int, j: int, f: int, k: int) -> Case:
    ids, values = draw_ids(rng, (r, j), f), draw(rng, (r, j))
    moved = r * j * 8 + r * j * k * 4 + r * k * 4
    shape = f"R={r} J={j} F={f} K={k}"
    arguments = ids, values, draw(rng, (f, k))
    return Case("accumulate", shape, ops.accumulate, arguments, moved, 2 * r * j * k)


def make_scatter(rng: np.random.Generator, s: int, j: int, f: int, k: int) -> Case:
    """The table is read and written where it is hit only: it is donated to the call in training's loops."""
    ids, values, rows = draw_ids(rng, (s, j), f), draw(rng, (s, j)), draw(rng, (s, k))
    table, turns = draw(rng, (f, k)), 16

    def call(table, ids, values, rows):
        # A loop, as in training: outside it the table would be copied for every call.
        def turn(_, table):
            return ops.scatter_rows(table, ids, values, rows)

        return jax.lax.fori_loop(0, turns, turn, table)

    moved = turns * (s * j * 8 + 2 * s * j * k * 4 + s * k * 4) + 2 * table.nbytes
    shape = f"S={s} J={j} F={f} K={k}, {turns} turns"
    return Case(
        "scatter_rows", shape, call, (table, ids, values, rows), moved, turns * 2 * s * j * k
    )


def make_look_up(rng: np.random.Generator, p: int, f: int, c: int) -> Case:
    """Half of the queries are stored; a query reads two words with their counts."""
    offsets = np.linspace(0, f, c + 1).astype(np.int64)
    cluster = np.repeat(np.arange(c), np.diff(offsets))
    features = (np.arange(f) - offsets[cluster]) * 2
    n_features = int(features.max()) + 2
    stored = ops.build_row_table(features.astype(np.int32), offsets, n_features)
    table = jax.tree.map(jnp.asarray, stored)
    asked = rng.integers(0, f, p)
    feature = features[asked] + rng.integers(0, 2, p)
    arguments = table, jnp.asarray(cluster[asked], jnp.int32), jnp.asarray(feature, jnp.int32)
    return Case("find_rows", f"P={p} F={f} C={c}", ops.find_rows, arguments, p * (8 + 16 + 4), 0)


def make_top(rng: np.random.Generator, b: int, m: int, k: int) -> Case:
    scores = draw(rng, (b, m))
    moved = scores.nbytes + b * k * 8
    shape = f"B={b} M={m} k={k}"
    return Case("select_top", shape, lambda s: ops.select_top(s, k), (scores,), moved, b * m)


def draw_ids(rng: np.random.Generator, size: tuple[int, ...], n: int) -> jax.Array:
    """Returns ids below n: rank r of a random order about as often as 1 / (r + √n)."""
    low = np.log(n**0.5)
    rank = np.exp(low + rng.random(size) * (np.log(n + n**0.5) - low)) - n**0.5
    return jnp.asarray(rng.permutation(n)[np.minimum(rank.astype(np.int64), n - 1)], jnp.int32)


def draw(rng: np.random.Generator, size: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(rng.standard_normal(size, np.float32))


if __name__ == "__main__":
    main()
