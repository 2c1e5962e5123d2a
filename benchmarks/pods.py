"""Peak memory of each of several processes that train together and hold only their share, beside one that holds all.

    python benchmarks/pods.py --work DIR --out benchmarks/results/DEVICE [--processes 1,2,4] DATA [DATA ...]

DATA is a data set, or `amazon-3m:FACTOR` for one of Amazon-3M's shape at a factor of its size (see
`shapes.py`). The processes are on one machine and exchange through gloo. For every stage, which begins
where the one before it ends, each notes, above what it held before it read anything,

- `peak_MB`, the most memory that it held (`VmHWM`, set back after every stage; Linux only): with the programs that XLA
  compiles, its buffers and those of the collectives, which do not shrink;
- `arrays_MB`, the most that NumPy's arrays and Python's objects took (`tracemalloc`), and `held_MB`, what of it is left
  at the end of the stage: data and weights.

All search the test set together; ids and scores are compared with those of one process. Each line of DEVICE/pods.jsonl
is one training. A tiny set (`amazon-3m:0.0003`) tells what does not depend on the data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from linear import describe_device
from memory import append_row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", help="data sets, as for xmc train")
    parser.add_argument("--work", type=Path, help="folder for runs; a temporary one if not given")
    parser.add_argument("--out", type=Path, help="folder for results; nothing is kept if not given")
    parser.add_argument("--processes", default="1,2,4", help="numbers of processes, 1 first")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        tracemalloc.start()
        n, process, address, folder = named.child
        print(json.dumps(train(named.data[0], Path(folder), int(n), int(process), address)))
        return
    for data in named.data:
        with tempfile.TemporaryDirectory(dir=named.work) as work:
            first: dict = {}
            source = make_data(data, Path(work) / "data")
            for n in map(int, named.processes.split(",")):
                row = measure(source, Path(work) / str(n), n) | {"data": Path(data).name}
                first = first or row
                row |= compare(Path(work), n, first)
                print(json.dumps(row), flush=True)
                if named.out is not None:
                    append_row(named.out / "pods.jsonl", row)


def make_data(data: str, folder: Path) -> str:
    """Returns where a data set is; one of a shape is made in `folder`."""
    name, _, factor = data.partition(":")
    if name != "amazon-3m":
        return data
    from shapes import AMAZON_3M, write_shape

    write_shape(folder, AMAZON_3M.scale(float(factor)))
    return str(folder)


def measure(data: str, folder: Path, n: int) -> dict:
    """Trains in n new processes and returns what they noted of themselves."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    # No compiled programs from earlier runs: compiling takes memory, too.
    env = os.environ | {"XMC_JAX_CACHE": "off", "JAX_PLATFORMS": "cpu"}
    children = [
        subprocess.Popen(
            [sys.executable, __file__, data, "--child", str(n), str(i), address, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for i in range(n)
    ]
    said = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise SystemExit(f"{data} in {n} processes failed")
    each = [json.loads(text.splitlines()[-1]) for text in said]
    return {
        "device": describe_device(),
        "date": time.strftime("%Y-%m-%d"),
        "processes": n,
        "documents": [one["documents"] for one in each],
        "start_MB": max(one["start_MB"] for one in each),
        "over_start_MB": max(max(s["peak_MB"] for s in one["stages"].values()) for one in each),
        "arrays_MB": max(max(s["arrays_MB"] for s in one["stages"].values()) for one in each),
        "stages": [one["stages"] for one in each],
        "weights_MB": [one["weights_MB"] for one in each],
        "cpu_s": [one["cpu_s"] for one in each],
    }


def compare(work: Path, n: int, first: dict) -> dict:
    """Returns how the predictions of n processes differ from those of the first number of them."""
    one, many = (np.load(work / str(k) / "found.npz") for k in (first["processes"], n))
    return {
        "same_tree": bool((one["tree"] == many["tree"]).all()),
        "same_ids": float((one["ids"] == many["ids"]).mean()),
        "largest_difference": float(np.abs(one["scores"] - many["scores"]).max()),
    }


def train(data: str, folder: Path, n: int, process: int, address: str) -> dict:
    """Trains in this process, with the others, and searches the test set."""
    from xmc_jax.cli.train import train_run, work_together
    from xmc_jax.config import LinearConfig, ParallelConfig
    from xmc_jax.data import open_dataset
    from xmc_jax.parallel import join_processes
    from xmc_jax.types import NoProgress

    if n > 1:
        join_processes(address, n, process)
    import jax

    jax.devices()
    stages: dict[str, dict[str, float]] = {}
    before, arrays_before = read_memory("VmRSS"), tracemalloc.get_traced_memory()[0] / 1e6

    def begin() -> None:
        Path("/proc/self/clear_refs").write_text("5")
        tracemalloc.reset_peak()

    def note(stage: str) -> None:
        held, peak = (n / 1e6 - arrays_before for n in tracemalloc.get_traced_memory())
        memory = read_memory("VmHWM") - before
        facts = {"peak_MB": memory, "arrays_MB": peak, "held_MB": held}
        stages[stage] = {name: round(mb, 1) for name, mb in facts.items()}
        begin()

    class Stages(NoProgress):
        stage = "data"

        def start(self, stage: str, total: int) -> None:
            if stage != "data" and not stages:  # `data` ends without a word
                note(self.stage)
            self.stage = stage

        def finish(self, text: str) -> None:
            note(self.stage)

    began = time.process_time()
    begin()
    config = LinearConfig(parallel=ParallelConfig(holds="share"))
    with work_together(n > 1):
        model = train_run(data, str(folder / "run"), config, Stages())
        note("saving the last level")
        seconds = time.process_time() - began
        test = open_dataset(data).load_split("test", model.label_names)
        found = model.predict(test.features if test.texts is None else test.texts, top_k=10)
        note("search")
    if not process:
        tree = model.model.tree
        order = np.concatenate([tree.edge_label, tree.edge_cluster])
        np.savez(folder / "found.npz", ids=found.ids, scores=found.scores, tree=order)
    levels = [level for tree in model.models for level in tree.levels]
    rows = -(-model.n_train // n)
    shutil.rmtree(folder / "run", ignore_errors=True) if not process else None
    return {
        "documents": rows,
        "start_MB": round(before, 1),
        "stages": stages,
        "weights_MB": round(sum(level.n_bytes for level in levels) / 1e6, 2),
        "cpu_s": round(seconds, 1),
    }


def read_memory(name: str) -> float:
    """Returns a figure of this process's memory, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("memory is read from /proc/self/status, which is not here")


if __name__ == "__main__":
    main()
