"""Calibration error on test documents by what the probabilities were fitted to: a share held out once, or folds.

    python benchmarks/calibration.py --out benchmarks/results/DEVICE DATA [DATA ...]

For each data folder, setting and method, XR-Linear is trained as a user trains it and asked for probabilities of the
test documents. `floor` is what a perfectly calibrated model would show at rank 1 on so many documents: the mean error
of hits that are drawn from the probabilities. A row per set, setting and method is added to DEVICE/calibration.jsonl;
rows that are there already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from linear import describe_device
from rows import read_rows

HELD: dict[str, dict[str, Any]] = {"a tenth": {"share": 0.1}, "5 folds": {"folds": 5}}
METHODS = ("isotonic-rank", "beta")
DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    named = parser.parse_args()
    path = named.out / "calibration.jsonl"
    for data in named.data:
        for held in HELD:
            for method in METHODS:
                facts = {"data": data.name, "held_out": held, "method": method}
                if any(facts.items() <= row.items() for row in read_rows(path)):
                    continue
                row = facts | measure(data, HELD[held], method)
                row |= {"device": describe_device(), "date": time.strftime("%Y-%m-%d")}
                print(json.dumps(row), flush=True)
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def measure(data: Path, held: dict[str, Any], method: str) -> dict[str, Any]:
    """Returns errors, mean probability and precision at rank 1, and processor seconds of the training."""
    import xmc_jax as xmc
    from xmc_jax.data import open_dataset

    opened = open_dataset(str(data))
    train = opened.load_split("train")
    test = opened.load_split("test", train.vocabulary)
    began = time.process_time()
    model = xmc.XRLinear(calibrate=held | {"method": method}).fit(train.texts, train.labels)
    took = time.process_time() - began
    found = model.predict_proba(test.texts, top_k=10)
    scores = xmc.metrics.evaluate(found, test.labels, k=(1, 5), metrics=["ECE", "Brier", "P"])
    first = np.nan_to_num(found.probabilities[:, 0])
    random, floor = np.random.default_rng(0), []
    for _ in range(DRAWS):
        hits = random.random(len(first)) < first
        # A document's only label is its first one, or none of those that were found.
        ids = np.where(hits, found.ids[:, 0], (found.ids[:, 0] + 1) % found.n_labels)
        truth = xmc.Predictions(
            ids[:, None], np.ones((len(ids), 1), np.float32), None, found.n_labels
        )
        one = replace(
            found,
            ids=found.ids[:, :1],
            scores=found.scores[:, :1],
            probabilities=found.probabilities[:, :1],
        )
        floor.append(xmc.metrics.evaluate(one, truth.to_csr(), k=(1,), metrics=["ECE"])["ECE@1"])
    shown = {name: round(float(scores[name]), 2) for name in ("ECE@1", "ECE@5", "Brier@5", "P@1")}
    shown |= {
        "floor": round(float(np.mean(floor)), 2),
        "confidence": round(100 * float(first.mean()), 2),
    }
    return shown | {"training_cpu_s": round(took, 1)}


if __name__ == "__main__":
    main()
