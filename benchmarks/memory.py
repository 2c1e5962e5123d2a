"""Peak memory of a training and a search, stage by stage, beside what `xmc plan` said before.

    python benchmarks/memory.py --work DIR --out benchmarks/results/DEVICE [--memory 8GB] DATA [DATA ...]

Every set is trained and searched in a process of its own, which notes at the end of each stage how long it took and
the most memory that it held meanwhile (`VmHWM`, set back at the start of every stage; Linux only). Each line of
DEVICE/memory.jsonl holds plan and measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from linear import describe_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", help="data sets, as for xmc train")
    parser.add_argument("--work", type=Path, help="folder for runs; a temporary one if not given")
    parser.add_argument("--out", type=Path, help="folder for results; nothing is kept if not given")
    parser.add_argument("--memory", help="budget, as for xmc train")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        print(json.dumps(train_and_search(named.data[0], named.work, named.memory)))
        return
    for data in named.data:
        row = compare(data, named.work, named.memory)
        print(format_row(row), flush=True)
        if named.out is not None:
            append_row(named.out / "memory.jsonl", row)


def compare(data: str, work: Path | None, memory: str | None) -> dict:
    """Plans and measures one data set."""
    from xmc_jax.config import LinearConfig
    from xmc_jax.plan import count_data, make_plan

    measured = measure(data, work, memory)
    config = LinearConfig(memory=memory or "auto")
    plan = make_plan(count_data(data, config), config)
    stages = {stage.name: {"planned_MB": round(stage.memory / 1e6, 1)} for stage in plan.stages}
    for name, facts in measured["stages"].items():
        stages[name] = stages.get(name, {}) | facts
    peak, most = plan.peak.memory / 1e6, max(s["peak_MB"] for s in measured["stages"].values())
    return {
        "data": Path(data).name,
        "device": describe_device(),
        "date": time.strftime("%Y-%m-%d"),
        "memory": memory,
        "planned_MB": round(peak, 1),
        "measured_MB": most,
        "ratio": round(peak / most, 3),
        **{name: value for name, value in measured.items() if name not in ("stages", "peak_MB")},
        "stages": stages,
    }


def measure(data: str, work: Path | None = None, memory: str | None = None) -> dict:
    """Trains and searches in a new process and returns what it noted of itself."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        command = [sys.executable, __file__, "--child", "--work", folder, data]
        command += [] if memory is None else ["--memory", memory]
        # No compiled programs from earlier runs: compiling takes memory, too.
        env = os.environ | {"XMC_JAX_CACHE": "off"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def train_and_search(data: str, work: Path, memory: str | None) -> dict:
    """Does what `xmc train` and `xmc predict` do; the test set is searched if there is one."""
    watch = StageWatch()
    watch.start("program", 0)
    import jax

    from xmc_jax.cli.train import train_run
    from xmc_jax.config import LinearConfig
    from xmc_jax.data import open_dataset

    jax.devices()
    config = LinearConfig(memory=memory or "auto")
    model = train_run(data, str(work / "run"), config, watch)
    watch.start("reading the test set", 0)
    dataset = open_dataset(data)
    found: dict = {"tree": list(model.model.tree.level_sizes)}
    if "test" in dataset.splits:
        from xmc_jax.metrics import evaluate

        test = dataset.load_split("test", model.label_names)
        x = test.texts if test.features is None else test.features
        predictions = model.predict(x, progress=watch)
        watch.finish("")
        scores = evaluate(predictions, test.labels, k=(1, 3, 5))
        found |= {name: round(scores[name], 2) for name in ("P@1", "P@3", "P@5")}
        found["queries"] = len(test)
    watch.finish("")
    shutil.rmtree(work / "run")
    return found | {
        "stages": watch.stages,
        "peak_MB": max(s["peak_MB"] for s in watch.stages.values()),
    }


class StageWatch:
    """Hears of stages (`xmc_jax.types.Progress`) and notes time and peak memory of each, in `stages`."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._stage, self._began = "", 0.0

    def start(self, stage: str, total: int) -> None:
        del total
        self.finish("")
        self._stage, self._began = stage, time.perf_counter()
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is held now

    def advance(self, n: int) -> None:
        del n

    def finish(self, note: str) -> None:
        del note
        if self._stage:
            seconds = round(time.perf_counter() - self._began, 2)
            self.stages[self._stage] = {"seconds": seconds, "peak_MB": read_peak()}
        self._stage = ""


def read_peak() -> float:
    """Returns the most memory held since the last reset, in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1.024e-3, 1)
    raise SystemExit("/proc/self/status names no VmHWM: Linux needed")


def format_row(row: dict) -> str:
    """Returns plan and measurement as a table for reading."""
    lines = [f"{row['data']}{'' if row['memory'] is None else ', in ' + row['memory']}"]
    lines.append(f"{'stage':<24}{'planned, MB':>12}{'measured, MB':>14}{'seconds':>10}")
    for name, facts in row["stages"].items():
        cells = [facts.get(key, "-") for key in ("planned_MB", "peak_MB", "seconds")]
        lines.append(f"{name:<24}{cells[0]:>12}{cells[1]:>14}{cells[2]:>10}")
    lines.append(
        f"{'peak':<24}{row['planned_MB']:>12}{row['measured_MB']:>14}   ratio {row['ratio']}"
    )
    return "\n".join(lines)


def append_row(path: Path, row: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
