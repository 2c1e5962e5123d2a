"""Time and peak memory, stage by stage, on corpora of Amazon-3M's shape at a factor of its size.

    python benchmarks/scale.py --out benchmarks/results/DEVICE [--memory 8GB] FACTOR [FACTOR ...]

Factor 1 is 1,717,899 documents and 2,812,281 labels, which follow from their documents' features (see
`shapes.py`); 0.001 takes a minute. Training and search run in a process of their own. Each line of
DEVICE/scale.jsonl holds one factor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from memory import append_row, compare
from shapes import AMAZON_3M, write_shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("factor", nargs="+", type=float)
    parser.add_argument("--work", type=Path, help="folder for data and runs; 2.5 GB for factor 1")
    parser.add_argument("--out", type=Path, help="folder for results; nothing is kept if not given")
    parser.add_argument("--memory", help="budget, as for xmc train")
    parser.add_argument("--seed", type=int, default=0)
    named = parser.parse_args()
    for factor in named.factor:
        row = run_factor(factor, named.seed, named.work, named.memory)
        print(json.dumps(row, indent=1), flush=True)
        if named.out is not None:
            append_row(named.out / "scale.jsonl", row)


def run_factor(factor: float, seed: int, work: Path | None, memory: str | None) -> dict:
    """Makes a corpus, trains and searches it."""
    shape = AMAZON_3M.scale(factor)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        data = Path(folder) / "data"
        began = time.perf_counter()
        write_shape(data, shape, seed=seed)
        made = time.perf_counter() - began
        row = compare(str(data), Path(folder), memory)
    stages = row["stages"]
    return {
        "factor": factor,
        "seed": seed,
        "shape": asdict(shape),
        "made_s": round(made, 2),
        "train_s": round(
            sum(s.get("seconds", 0.0) for n, s in stages.items() if is_training(n)), 2
        ),
        **row,
    }


def is_training(stage: str) -> bool:
    return stage in ("features", "tree") or stage.startswith("level")


if __name__ == "__main__":
    main()
