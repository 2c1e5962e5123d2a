"""One level without a tree beside scikit-learn's LinearSVC, one label after the other, on the same vectors.

python benchmarks/one_vs_rest.py --out benchmarks/results/DEVICE DATA [DATA ...]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

import xmc_jax as xmc
from xmc_jax.data import open_dataset

KS = (1, 3, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    named = parser.parse_args()
    named.out.mkdir(parents=True, exist_ok=True)
    for data in named.data:
        row = compare(data)
        with open(named.out / "one_vs_rest.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row))


def compare(data: Path) -> dict:
    dataset = open_dataset(data)
    train, test = dataset.load_split("train"), dataset.load_split("test")
    used = np.flatnonzero(np.bincount(train.labels.indices, minlength=train.labels.shape[1]))
    began = time.perf_counter()
    svc = OneVsRestClassifier(LinearSVC(C=1.0)).fit(train.features, train.labels[:, used])
    svc_s = time.perf_counter() - began
    scores = np.full(test.labels.shape, -np.inf, np.float32)
    scores[:, used] = svc.decision_function(test.features)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(KS)]
    began = time.perf_counter()
    model = xmc.XRLinear(tree={"kind": "flat"}, threshold=0.0)
    model.fit(train.features, train.labels)
    ours_s = time.perf_counter() - began
    predictions = model.predict(test.features, top_k=max(KS))
    return {
        "data": data.name,
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "LinearSVC": score(best, test.labels) | {"train_s": round(svc_s, 2)},
        "ours": score(predictions, test.labels) | {"train_s_with_compilation": round(ours_s, 2)},
    }


def score(predictions, labels) -> dict:
    report = xmc.metrics.evaluate(predictions, labels, k=KS)
    return {f"P@{k}": round(report[f"P@{k}"], 2) for k in KS}


if __name__ == "__main__":
    main()
