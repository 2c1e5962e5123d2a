"""Rivals' scores taken for probabilities: calibration error, and F1 of the best fixed number of labels.

    python benchmarks/rivals.py --out benchmarks/results/DEVICE --work DIR --data DATA --peer NAME=PYTHON […]

`peers/install.py` makes each PYTHON. A rival is trained with its defaults on the matrices in DIR/DATA, as by
`linear.py`, and its scores of the test documents are evaluated as ours are by `answers.py`. A line per set and rival is
appended to `rivals.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import scipy.sparse as sp
from answers import choose_fixed, rounded
from linear import PEER, describe_device

from xmc_jax.metrics import evaluate
from xmc_jax.predict import FewResultsWarning, Predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--peer", nargs="+", required=True, help="NAME=PYTHON of each rival")
    parser.add_argument("--work", type=Path, required=True, help="folder for matrices and models")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    named = parser.parse_args()
    warnings.simplefilter("ignore", FewResultsWarning)
    for data in named.data:
        for peer in named.peer:
            name, _, python = peer.partition("=")
            row = {"data": data.name, "peer": name}
            row |= measure(name, python, data, named.work / data.name)
            row["device"] = describe_device()
            with open(named.out / "rivals.jsonl", "a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def measure(name: str, python: str, data: Path, work: Path) -> dict[str, Any]:
    """Trains a rival and returns what its scores are worth."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{name}.npz"
    command = [python, str(PEER), name, str(data), "--work", str(work), "--save", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found, truth = np.load(file), sp.load_npz(work / "Yt.npz").tocsr()
    scores = np.where(found["ids"] < 0, 0, found["scores"])
    ranked = Predictions(found["ids"], scores, None, truth.shape[1])
    given = evaluate(ranked, truth, (1, 3, 5), metrics=["P", "ECE", "Brier"])
    kept = {
        k: v for k, v in given.items() if k.partition("@")[0] in ("P", "ECE", "Brier") and "@" in k
    }
    return rounded(kept | choose_fixed(ranked, truth))


if __name__ == "__main__":
    main()
