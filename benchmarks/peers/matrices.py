"""What a rival trains on, and how its predictions are scored; runs in the rival's environment, so without our package.

Features are those of scikit-learn's TfidfVectorizer (sublinear_tf, min_df=2, strip_accents), labels those that occur
in training. They are kept as X, Y, Xt, Yt in the working folder, so that we are timed on the same matrices.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

KS = (1, 3, 5, 10)
A, B = 0.55, 1.5  # of the propensities (Jain et al. 2016)


class Matrices(NamedTuple):
    """Rows of training and test: features [N, D] and labels [N, L], as CSR with sorted columns."""

    X: sp.csr_matrix
    Y: sp.csr_matrix
    Xt: sp.csr_matrix
    Yt: sp.csr_matrix


def load_matrices(data: Path, work: Path, documents: int | None = None) -> Matrices:
    """Returns the matrices of a data folder from `work`, where they are written if they are not there."""
    paths = [work / f"{name}.npz" for name in Matrices._fields]
    if not all(path.exists() for path in paths):
        work.mkdir(parents=True, exist_ok=True)
        for path, matrix in zip(paths, make_matrices(data, work, documents), strict=True):
            sp.save_npz(path, matrix)
    loaded = [sp.load_npz(path).tocsr().astype(np.float32) for path in paths]
    for matrix in loaded:
        matrix.sort_indices()
    return Matrices(*loaded)


def make_matrices(data: Path, work: Path, documents: int | None) -> Matrices:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, names = read_split(data, "train", documents)
    test_texts, test_names = read_split(data, "test", documents)
    vectorizer = TfidfVectorizer(
        sublinear_tf=True, min_df=2, dtype=np.float32, strip_accents="unicode"
    )
    X = vectorizer.fit_transform(texts)
    vocabulary = {n: i for i, n in enumerate(sorted({n for row in names for n in row}))}
    lines = "".join(n.replace("\n", " ") + "\n" for n in vocabulary)
    (work / "labels.txt").write_text(lines, encoding="utf-8")
    Y, Yt = (mark_labels(rows, vocabulary) for rows in (names, test_names))
    return Matrices(X, Y, vectorizer.transform(test_texts), Yt)


def read_split(data: Path, split: str, documents: int | None) -> tuple[list[str], list[list[str]]]:
    with gzip.open(data / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][:documents]
    return [row["text"] for row in rows], [row["labels"] for row in rows]


def mark_labels(names: list[list[str]], vocabulary: dict[str, int]) -> sp.csr_matrix:
    rows = [sorted({vocabulary[n] for n in row if n in vocabulary}) for row in names]
    ends = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([np.asarray(row, np.int32) for row in rows])
    shape = (len(rows), len(vocabulary))
    return sp.csr_matrix((np.ones(len(ids), np.float32), ids, ends), shape)


def score(ids: np.ndarray, truth: sp.csr_matrix, train: sp.csr_matrix) -> dict[str, float]:
    """Returns P@k, R@k and PSP@k in percent of ranked ids [N, R], -1 where there is none."""
    n, n_labels = truth.shape
    counts = np.asarray(train.sum(axis=0)).ravel()
    c = (np.log(train.shape[0]) - 1) * (B + 1) ** A
    weight = 1 + c * (counts + B) ** -A  # one over the propensity
    dense_row = np.zeros(n_labels, bool)
    found = {name: 0.0 for k in KS for name in (f"P@{k}", f"R@{k}", f"PSP@{k}")}
    best = dict.fromkeys(KS, 0.0)
    for i in range(n):
        true = truth.indices[truth.indptr[i] : truth.indptr[i + 1]]
        dense_row[true] = True
        row = ids[i][ids[i] >= 0]
        ideal = np.sort(weight[true])[::-1]
        for k in KS:
            hit = row[:k][dense_row[row[:k]]]
            found[f"P@{k}"] += len(hit) / k
            found[f"R@{k}"] += len(hit) / max(len(true), 1)
            found[f"PSP@{k}"] += weight[hit].sum()
            best[k] += ideal[:k].sum()
        dense_row[true] = False
    per = {f"PSP@{k}": best[k] for k in KS}
    return {name: round(100 * value / per.get(name, n), 2) for name, value in found.items()}
