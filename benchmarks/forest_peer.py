"""Three trees of ours beside omikuji's three, in turn, each in a fresh process with compiled programs.

    python benchmarks/forest_peer.py --peer .peers/omikuji/bin/python --work DIR --out benchmarks/results/HERE DATA ...

DATA is a folder with train.jsonl.gz and test.jsonl.gz; `peers/train.py` makes its matrices in DIR. Times are those of
the training alone, without reading the matrices and without starting Python (`train_on_data` reads omikuji's text
file). Processor time is that of all threads; wall time means nothing unless the machine is quiet. Each round adds a
line per set to HERE/forest_peer.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from linear import describe_device

PEER = Path(__file__).parent / "peers" / "train.py"
TIMES = ("train_s", "train_cpu_s")
SHOWN = (*TIMES, "P@1", "P@3", "P@5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--peer", help="Python with omikuji")
    parser.add_argument("--work", type=Path, required=True, help="folder for matrices and models")
    parser.add_argument("--out", type=Path, help="folder for results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        print(json.dumps(train_ours(named.work)))
        return
    for _ in range(named.rounds):
        for data in named.data:
            row = compare(data.resolve(), named) | {
                "device": describe_device(),
                "date": time.strftime("%Y-%m-%d"),
            }
            with open(named.out / "forest_peer.jsonl", "a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def compare(data: Path, named: argparse.Namespace) -> dict:
    """Trains both once; ours before that too if its programs are not compiled yet."""
    work = named.work.resolve() / data.name
    compiled = work / "compiled"
    ours = [sys.executable, __file__, str(data), "--work", str(work), "--child"]
    peer = [named.peer, str(PEER), "omikuji", str(data), "--work", str(work)]
    env = os.environ | {"XMC_JAX_CACHE": str(compiled)}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    theirs = run_child(peer, env)
    if not compiled.exists():
        run_child(ours, env)
    found = {"omikuji": theirs, "ours": run_child(ours, env)}
    return {"data": data.name} | {
        name: {key: round(row[key], 2) for key in SHOWN} for name, row in found.items()
    }


def run_child(command: list[str], env: dict[str, str]) -> dict:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def train_ours(work: Path) -> dict:
    import scipy.sparse as sp

    import xmc_jax as xmc

    x, y, xt, yt = (sp.load_npz(work / f"{n}.npz").tocsr() for n in ("X", "Y", "Xt", "Yt"))
    model = xmc.XRLinear(trees=3)
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(x, y)
    measured = {
        "train_s": round(time.perf_counter() - began, 2),
        "train_cpu_s": round(time.process_time() - cpu, 2),
    }
    report = xmc.metrics.evaluate(model.predict(xt, top_k=20), yt, k=(1, 3, 5), train_labels=y)
    return measured | {f"P@{k}": round(report[f"P@{k}"], 2) for k in (1, 3, 5)}


if __name__ == "__main__":
    main()
