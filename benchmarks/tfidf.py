"""TF-IDF from text beside scikit-learn's, fit and transform of a training set, in turn.

python benchmarks/tfidf.py --out benchmarks/results/DEVICE [--repeats 3] DATA
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from xmc_jax.config import FeaturesConfig
from xmc_jax.data import open_dataset
from xmc_jax.features import fit_transform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    named = parser.parse_args()
    texts = open_dataset(named.data).load_split("train").texts
    theirs_s, ours_s = [], []
    for _ in range(named.repeats):
        # Both read the same list of str, so that neither pays for decoding.
        documents = list(texts)
        began = time.perf_counter()
        vectorizer = TfidfVectorizer(
            sublinear_tf=True, min_df=2, dtype=np.float32, strip_accents="unicode"
        )
        theirs = vectorizer.fit_transform(documents)
        theirs_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        ours = fit_transform(documents, FeaturesConfig())[1]
        ours_s.append(time.perf_counter() - began)
    difference = abs(theirs - ours).max()
    row = {
        "data": named.data.name,
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "documents": len(texts),
        "features": ours.shape[1],
        "scikit_learn_s": [round(s, 2) for s in theirs_s],
        "ours_s": [round(s, 2) for s in ours_s],
        "ratio_of_medians": round(statistics.median(theirs_s) / statistics.median(ours_s), 2),
        "largest_difference": float(difference),
    }
    named.out.mkdir(parents=True, exist_ok=True)
    with open(named.out / "tfidf.jsonl", "a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
