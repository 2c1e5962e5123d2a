"""What an accelerator makes of every program, in one command of 20 minutes: correctness, kernels, speed of training.

    python benchmarks/accelerator.py [--out benchmarks/results/DEVICE] [--peer .peers/pecos/bin/python] [DATA ...]

Run on the machine with the device, from the root of a clone, with `pip install -e ".[gpu]"` (or `.[tpu]`). DEVICE is
what the device calls itself, unless --out names the folder. Each part has its process, until --minutes are over:

1. `agreement.jsonl`: every program on the device beside the CPU of the same machine, on the same random data.
2. `kernels.jsonl`: of `kernels.py`.
3. `tuning.jsonl`: updates of bert-base with random weights, and the share of the device's peak that they reach.
4. `linear.jsonl`: of `linear.py` beside libpecos on that machine's cores, if --peer and data folders are given.

`python benchmarks/report.py` makes tables of them. --small rehearses it with tiny shapes, on a CPU too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    r"\bL4\b": 121e12,
    "v4": 275e12,
    "v5 ?(lite|e)": 197e12,
    "v5": 459e12,
    "v6": 918e12,
}
"""What a device calls itself → flops a second of dense bfloat16 products, from its data sheet; the first that fits."""
SAME = 1e-3
"""Scores that differ by so much are the same: sums are in another order."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", type=Path, help="data folders for the linear table")
    parser.add_argument("--out", type=Path, help="folder for results")
    parser.add_argument("--peer", help="Python with libpecos")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--small", action="store_true", help="tiny shapes, to rehearse it")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        CHILDREN[named.child](named.work, named.small)
        return
    stop = time.monotonic() + 60 * named.minutes
    with tempfile.TemporaryDirectory() as folder:
        device = run_child(named, Path(folder), "name", stop)[-1]["device"]
        out = named.out or HERE / "results" / re.sub(r"\W+", "-", device).strip("-").lower()
        out.mkdir(parents=True, exist_ok=True)
        print(f"{device}: results go to {out}", flush=True)
        compare_devices(named, Path(folder), device, out, stop)
        kernels = [str(HERE / "kernels.py"), "--out", str(out), "--repeats", "3"]
        run_command(kernels if not named.small else [], stop, "kernels")
        rows = run_child(named, Path(folder), "tuning", stop)
        write_rows(out / "tuning.jsonl", [row | {"device": device} for row in rows])
        linear = [str(HERE / "linear.py"), "--out", str(out), "--work", folder, "--once"]
        if named.peer and named.data:
            linear += ["--peer", named.peer, *map(str, named.data)]
            run_command(linear, stop, "linear")
        else:
            print("linear: left out, as --peer and data folders are not both given", flush=True)


def run_child(
    named: argparse.Namespace, work: Path, child: str, stop: float, **environment: str
) -> list[dict[str, Any]]:
    """Returns the JSON lines that a part of this program prints; none if it fails or time is over."""
    command = [__file__, "--child", child, "--work", str(work)]
    out = run_command(command + ["--small"] * named.small, stop, child, **environment)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def run_command(command: list[str], stop: float, name: str, **environment: str) -> str:
    """Returns what a program of Python prints; says on stderr why there is nothing."""
    left = stop - time.monotonic()
    if not command or left < 1:
        print(f"{name}: left out{'' if command else ' of the rehearsal'}", file=sys.stderr)
        return ""
    try:
        done = subprocess.run(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            timeout=left,
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: not finished in the {left / 60:.0f} minutes left", file=sys.stderr)
        return ""
    if done.returncode:
        print(f"{name}: failed with status {done.returncode}", file=sys.stderr)
    return done.stdout


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces a results file, if there are rows."""
    for row in rows:
        print(json.dumps(row), flush=True)
    if rows:
        dated = [row | {"date": time.strftime("%Y-%m-%d")} for row in rows]
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(row) + "\n" for row in dated), encoding="utf-8")
        os.replace(part, path)


def compare_devices(
    named: argparse.Namespace, work: Path, device: str, out: Path, stop: float
) -> None:
    """Writes how far every program is on the device from what it is on the CPU, which goes first: its models are
    searched by both."""
    run_child(named, work, "outcomes", stop, JAX_PLATFORMS="cpu", XMC_OUTCOMES="cpu")
    run_child(named, work, "outcomes", stop, XMC_OUTCOMES="device")
    both = [work / f"{name}.npz" for name in ("cpu", "device")]
    if not all(path.exists() for path in both):
        print("agreement: left out, as a side has no outcome", file=sys.stderr)
        return
    cpu, there = (dict(np.load(path)) for path in both)
    rows = []
    for name, want in cpu.items():
        got = there.get(name)
        row: dict[str, Any] = {"program": name, "device": device}
        if got is None or got.shape != want.shape:
            row |= {"agrees": False, "difference": None}
        elif want.dtype.kind in "iu":
            row |= {"agrees": bool((got == want).mean() > 0.99)}
            row |= {"difference": round(float((got != want).mean()), 6)}
        else:
            scale = max(float(np.abs(want).max()), 1e-6)
            apart = float(np.abs(got - want).max()) / scale
            row |= {"agrees": bool(apart < SAME), "difference": float(f"{apart:.2g}")}
        rows.append(row)
    write_rows(out / "agreement.jsonl", rows)


def name_device(work: Path, small: bool) -> None:
    """Prints what the device calls itself."""
    import jax

    print(json.dumps({"device": jax.devices()[0].device_kind}))


def make_outcomes(work: Path, small: bool) -> None:
    """Runs every program on the default device and keeps what it gives, as arrays by name."""
    side = os.environ["XMC_OUTCOMES"]
    outcomes: dict[str, np.ndarray] = {}
    for part in (run_linear, run_tuning, run_prototypes, run_clustering):
        outcomes |= part(work, small, side)
    np.savez(work / f"{side}.part.npz", **outcomes)  # type: ignore[arg-type]
    os.replace(work / f"{side}.part.npz", work / f"{side}.npz")


def run_linear(work: Path, small: bool, side: str) -> dict[str, np.ndarray]:
    """Trains by each solver and searches; the CPU's model is searched by both sides."""
    import xmc_jax as xmc
    from xmc_jax.data.synthetic import make_corpus

    n = 400 if small else 20_000
    corpus = make_corpus(n_train=n, n_test=n // 4, n_labels=n // 10, branching=4, seed=0)
    x, y, queries = corpus.train_texts, corpus.train_labels, corpus.test_texts
    tree = dict(max_leaf_size=16, branching=8)
    found = {}
    for name in ("primal", "gram"):
        ranker = dict(formulation=name)
        model = xmc.XRLinear(tree=tree, ranker=ranker).fit(x, y, progress=False)
        found[f"solver {name}"] = sort_scores(model.predict(queries, top_k=10))
    if side == "cpu":
        xmc.XRLinear(tree=tree, disentangle=dict(copies=2), rerank=dict(mode="reranker")).fit(
            x, y, progress=False
        ).save(work / "model")
    model = xmc.load(work / "model")
    found["search"] = sort_scores(model.predict(queries, top_k=10))
    return found


def sort_scores(predictions: Any) -> np.ndarray:
    """Returns the sorted scores of each document: labels of equal scores may change places."""
    return np.sort(np.asarray(predictions.scores), axis=1)


def run_tuning(work: Path, small: bool, side: str) -> dict[str, np.ndarray]:
    """Makes some updates of a small BERT in float32, dropout off, and encodes."""
    import jax

    from xmc_jax.encoder import encode, init_params
    from xmc_jax.encoder.architecture import replace_rates
    from xmc_jax.plan.updates import SMALL

    architecture = replace_rates(SMALL, 0.0, 0.0)
    losses, _ = update_steps(architecture, 16, 32, 64, 8, "float32", steps=5)
    apply = jax.jit(lambda p, ids, mask: encode(p, ids, mask, architecture=architecture))
    ids = np.random.default_rng(0).integers(5, 100, (16, 32)).astype(np.int32)
    vectors = apply(init_params(architecture, jax.random.key(0)), ids, ids > 10)
    return {"fine-tuning": np.array(losses), "embedding": np.asarray(vectors)}


def update_steps(
    architecture: Any, texts: int, length: int, nodes: int, candidates: int, dtype: str, steps: int
) -> tuple[list[float], float]:
    """Returns the losses of some updates with random texts, and the median of the seconds between two."""
    import jax

    from xmc_jax.config import TuningConfig
    from xmc_jax.encoder import init_params
    from xmc_jax.encoder.encoder import make_apply
    from xmc_jax.model import init_head
    from xmc_jax.tuning.placement import Placement
    from xmc_jax.tuning.step import BatchPart, configure_step, start_state

    rng = np.random.default_rng(0)
    ids = rng.integers(5, architecture.vocabulary, (texts, length)).astype(np.int32)
    at = np.stack([rng.choice(nodes, candidates, replace=False) for _ in range(texts)])
    values = (rng.random(at.shape) < 0.05).astype(np.float32)
    batch = BatchPart(ids, np.ones(ids.shape, bool), at.astype(np.int32), values)
    config = TuningConfig(batch_size=texts, accumulate=1, warmup=0)
    step_config = configure_step(make_apply(architecture, dtype, False), config, 0, 1000)
    params = init_params(architecture, jax.random.key(0))
    key = jax.random.key_data(jax.random.key(1))
    placement = Placement(None)
    head = init_head(nodes, architecture.width, (0,))
    state = placement.place_state(start_state(params, head, key))
    step, losses, marks = placement.choose_step(), [], []
    for _ in range(steps):
        state, metrics = step(state, (batch,), config=step_config)
        losses.append(float(metrics["loss"]))
        marks.append(time.perf_counter())
    return losses, float(np.median(np.diff(marks)))


def run_prototypes(work: Path, small: bool, side: str) -> dict[str, np.ndarray]:
    """Searches prototypes on the device."""
    from xmc_jax.model import make_prototypes
    from xmc_jax.predict.nearest import Nearest

    rng = np.random.default_rng(0)
    n, hidden = (500, 16) if small else (50_000, 256)
    rows = rng.standard_normal((n, hidden)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[: n // 10] + 0.1 * rng.standard_normal((n // 10, hidden)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    prototypes = make_prototypes(rows, np.zeros(n, np.float32), 20.0, "share")
    found, _ = Nearest(prototypes).find(queries.astype(np.float32), 5)
    return {"search of prototypes": sort_scores(found)}


def run_clustering(work: Path, small: bool, side: str) -> dict[str, np.ndarray]:
    """Clusters dense embeddings, assigns labels to clusters, and finds neighbours."""
    import scipy.sparse as sp

    from xmc_jax.disentangle.assign import assign_clusters
    from xmc_jax.tree.balanced_kmeans import cluster_labels

    rng = np.random.default_rng(0)
    n = 512 if small else 2**15
    centres = rng.standard_normal((16, 32))
    rows = centres[rng.integers(0, 16, n)] + 0.05 * rng.standard_normal((n, 32))
    leaves = cluster_labels(rows.astype(np.float32), 4)
    label, column = np.repeat(np.arange(n), 4), rng.integers(0, 64, 4 * n)
    matches = sp.csr_matrix((rng.integers(1, 9, 4 * n), (label, column)), (n, 64))
    pairs = assign_clusters(matches, np.full(n, 2), np.full(64, 2 * n // 64))
    return {"k-means": leaves, "disentangling": np.stack(pairs)}


def measure_tuning(work: Path, small: bool) -> None:
    """Prints the time of an update, and the share of the peak, for batches of two lengths and both dtypes."""
    import jax

    from xmc_jax.encoder import count_flops
    from xmc_jax.plan.updates import BERT_BASE, SMALL

    kind = jax.devices()[0].device_kind
    peak = next((p for pattern, p in PEAKS.items() if re.search(pattern, kind)), None)
    architecture, steps = (SMALL, 3) if small else (BERT_BASE, 12)
    shapes = [(4, 16)] if small else [(64, 128), (128, 128), (32, 512)]
    for texts, length in shapes:
        for dtype in ("bfloat16", "float32"):
            nodes, candidates = (64, 16) if small else (32_768, 1000)
            shape = texts, length, nodes, candidates
            _, seconds = update_steps(architecture, *shape, dtype, steps)
            flops = 3 * texts * count_flops(architecture, length)
            row = {"encoder": "bert-base" if not small else "small", "dtype": dtype, "texts": texts}
            row |= {"tokens": length, "update_s": round(seconds, 5), "tera_flops": flops / 1e12}
            share = None if peak is None else round(flops / seconds / peak, 4)
            print(json.dumps(row | {"peak_share": share}), flush=True)


CHILDREN: dict[str, Callable[[Path, bool], None]] = {
    "name": name_device,
    "outcomes": make_outcomes,
    "tuning": measure_tuning,
}

if __name__ == "__main__":
    main()
