"""XR-Linear beside libpecos on the same matrices: scores, time, memory, size on disk.

    python benchmarks/linear.py --peer .peers/pecos/bin/python --work DIR \
        --out benchmarks/results/DEVICE DATA [DATA ...]

`benchmarks/peers/install.py` makes the peer's Python. For each data folder `benchmarks/peers/train.py` makes the
matrices X, Y, Xt, Yt in DIR/NAME and times libpecos on them; then a fresh process of ours trains on the same matrices
(twice: the first run compiles, the second is warm) and, from the raw texts, with our own TF-IDF. Each line of
DEVICE/linear.jsonl holds both. Times are medians of --repeats runs in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

KS = (1, 3, 5)
PEER = Path(__file__).parent / "peers" / "train.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", type=Path)
    parser.add_argument("--peer", help="Python with libpecos")
    parser.add_argument("--work", type=Path, required=True, help="folder for matrices and models")
    parser.add_argument("--out", type=Path, help="folder for results")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--once", action="store_true", help="no second, warm training")
    parser.add_argument("--ours", choices=("matrices", "text"), help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.ours:
        print(json.dumps(run_ours(named.data[0], named.work, named.ours, warm=not named.once)))
        return
    named.out.mkdir(parents=True, exist_ok=True)
    for data in named.data:
        row = compare(named, data.resolve())
        with open(named.out / "linear.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row, indent=1), flush=True)


def compare(named: argparse.Namespace, data: Path) -> dict:
    """Runs the peer and us in turn on one data set."""
    work = named.work.resolve() / data.name
    work.mkdir(parents=True, exist_ok=True)
    rounds: list[tuple[dict, dict]] = []
    for _ in range(named.repeats):
        peer = run_child([named.peer, str(PEER), "pecos", str(data), "--work", str(work)])
        flags = ["--once"] if named.once else []
        command = [sys.executable, __file__, str(data), "--work", str(work), *flags]
        ours = run_child([*command, "--ours", "matrices"])
        rounds.append((peer, ours))
    text = run_child([sys.executable, __file__, str(data), "--work", str(work), "--ours", "text"])
    return {
        "data": data.name,
        "device": describe_device(),
        "date": time.strftime("%Y-%m-%d"),
        "repeats": named.repeats,
        "libpecos": take_medians([peer for peer, _ in rounds]),
        "ours": take_medians([ours for _, ours in rounds]),
        "ours_from_text": text,
    }


def run_child(command: list[str]) -> dict:
    """Runs a program and returns the last JSON line that it prints, with its peak memory."""
    before = time.monotonic()
    # No compiled programs from earlier runs: "cold" means cold.
    env = os.environ | {"XMC_JAX_CACHE": "off"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed with status {status}: {' '.join(command)}")
    row = json.loads([line for line in out.splitlines() if line.startswith("{")][-1])
    row["process_s"] = time.monotonic() - before
    row["peak_MB"] = usage.ru_maxrss / 1024
    return row


def take_medians(rows: list[dict]) -> dict:
    """Returns the median of every number and the last of everything else."""
    out = {}
    for name, value in rows[-1].items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        out[name] = round(statistics.median(r[name] for r in rows), 4) if is_number else value
    return out


def describe_device() -> str:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} cores of {model}"


def run_ours(data: Path, work: Path, kind: str, warm: bool) -> dict:
    """Trains and scores in this process; the caller measures its memory."""
    import numpy as np
    import scipy.sparse as sp

    import xmc_jax as xmc
    from xmc_jax.data import open_dataset

    stages = Stages()
    if kind == "matrices":
        x, y, xt, yt = (sp.load_npz(work / f"{n}.npz").tocsr() for n in ("X", "Y", "Xt", "Yt"))
    else:
        dataset = open_dataset(data)
        train, test = (dataset.load_split(n) for n in ("train", "test"))
        x, y = train.texts, train.labels
        xt, yt = test.texts, test.labels
    model = xmc.XRLinear().fit(x, y, progress=stages)
    out: dict = {"cold": stages.seconds}
    trained_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if kind == "matrices" and warm:
        stages = Stages()
        model = xmc.XRLinear().fit(x, y, progress=stages)
        out["warm"] = stages.seconds
        out["tree_s"] = stages.seconds["tree"]
        out["train_s"] = sum(s for n, s in stages.seconds.items() if n.startswith("level"))
    assert model.model is not None
    out["tree"] = list(model.model.tree.level_sizes)
    model.predict(xt, top_k=20)
    began = time.perf_counter()
    predictions = model.predict(xt, top_k=20)
    out["predict_ms_per_query"] = 1e3 * (time.perf_counter() - began) / yt.shape[0]
    report = xmc.metrics.evaluate(predictions, yt, k=(*KS, 10), train_labels=y)
    for k in (*KS, 10):
        out |= {f"P@{k}": round(report[f"P@{k}"], 2), f"R@{k}": round(report[f"recall@{k}"], 2)}
        out[f"PSP@{k}"] = round(report[f"PSP@{k}"], 2)
    out["trained_peak_MB"] = trained_peak
    if kind == "matrices":
        endpoint = model.endpoint().warm_up()
        rows = [xt[i] for i in range(min(200, xt.shape[0]))]
        for row in rows:
            endpoint(row)
        began = time.perf_counter()
        for row in rows:
            endpoint(row)
        out["online_ms_per_query"] = 1e3 * (time.perf_counter() - began) / len(rows)
        folder = work / f"ours-{os.getpid()}"
        model.save(folder)
        files = [f for f in folder.rglob("*") if f.is_file()]
        out["model_MB"] = sum(f.stat().st_size for f in files) / 1e6
        again = xmc.load(folder).predict(xt[:100], top_k=20)
        assert np.array_equal(again.ids, predictions.ids[:100])
    return out


class Stages:
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._began = "", 0.0

    def start(self, stage: str, total: int) -> None:
        del total
        self._stage, self._began = stage, time.perf_counter()

    def advance(self, n: int) -> None:
        del n

    def finish(self, note: str) -> None:
        del note
        self.seconds[self._stage] = time.perf_counter() - self._began


if __name__ == "__main__":
    main()
