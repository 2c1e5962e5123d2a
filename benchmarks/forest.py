"""Forests: scores and costs of one tree, of three, and of three with two clusters for a label.

    python benchmarks/forest.py --out benchmarks/results/DEVICE MATRICES [MATRICES ...] [--runs 1x1,3x1,3x2]

MATRICES is a folder with X.npz, Y.npz (training features and labels, CSR) and Xt.npz, Yt.npz (test), as
`benchmarks/linear.py` leaves them. Each run is `trees x copies of a label`; it is trained in a fresh process and adds a
line to DEVICE/forest.jsonl. A run that stands there with the same settings is not repeated: the command, given again,
goes on after the last line. `--set NAME=VALUE` changes a setting of ours, for example `--set combine=rank_average`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from linear import Stages, describe_device

KS = (1, 3, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--runs", default="1x1,3x1,3x2", help="trees x copies, by commas")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    named = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in named.set)
    if named.child:
        trees, copies = map(int, named.child.split("x"))
        print(json.dumps(run_forest(named.data[0], trees, copies, settings)))
        return
    named.out.mkdir(parents=True, exist_ok=True)
    path = named.out / "forest.jsonl"
    for data in named.data:
        for name in named.runs.split(","):
            if (data.resolve().name, name, settings) in list_done(path):
                continue
            row = run_child(data.resolve(), name, named) | {
                "device": describe_device(),
                "date": time.strftime("%Y-%m-%d"),
                "settings": settings,
            }
            with open(path, "a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def list_done(path: Path) -> list[tuple]:
    """Returns set, run and settings of each line that is there."""
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["data"], f"{row['trees']}x{row['copies']}", row["settings"]) for row in rows]


def run_child(data: Path, name: str, named: argparse.Namespace) -> dict:
    """Runs one training in a fresh process: nothing is compiled yet, as for a user."""
    command = [sys.executable, __file__, str(data), "--out", str(named.out), "--child", name]
    command += [word for pair in named.set for word in ("--set", pair)]
    env = os.environ | {"XMC_JAX_CACHE": "off"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def run_forest(data: Path, trees: int, copies: int, settings: dict[str, str]) -> dict:
    """Trains a forest and returns scores, times and size."""
    import scipy.sparse as sp

    import xmc_jax as xmc

    x, y, xt, yt = (sp.load_npz(data / f"{n}.npz").tocsr() for n in ("X", "Y", "Xt", "Yt"))
    model = xmc.XRLinear(**({"trees": trees, "disentangle.copies": copies} | settings))
    stages, began, cpu = Stages(), time.perf_counter(), time.process_time()
    model.fit(x, y, progress=stages)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    model.predict(xt, top_k=20)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        predictions = model.predict(xt, top_k=20)
        times.append(1e3 * (time.perf_counter() - began) / xt.shape[0])
    report = xmc.metrics.evaluate(predictions, yt, k=KS, train_labels=y)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    names = {"P": "P", "PSP": "PSP", "R": "recall"}
    return {
        "data": data.name,
        "trees": trees,
        "copies": copies,
        **{f"{short}@{k}": round(report[f"{n}@{k}"], 2) for short, n in names.items() for k in KS},
        "training_s": round(seconds, 2),
        "training_cpu_s": round(cpu, 2),
        "search_ms": round(min(times), 4),
        "model_MB": round(size / 1e6, 2),
        "stages_s": {name: round(s, 2) for name, s in stages.seconds.items()},
    }


if __name__ == "__main__":
    main()
