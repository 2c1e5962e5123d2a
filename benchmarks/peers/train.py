"""Trains a rival on a data folder with its default settings and prints one JSON object: times, size, scores.

    PEER_PYTHON benchmarks/peers/train.py pecos DATA --work DIR [--documents 8000]

DATA holds train.jsonl.gz and test.jsonl.gz. `install.py` makes PEER_PYTHON. pecos, omikuji and napkinxc train on the
matrices that `matrices.py` keeps in DIR; fastText has features of its own and reads the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from matrices import Matrices, load_matrices, read_split, score

TOP_K = 20
Ranked = list[tuple[int, float]]
"""Labels of a document and their scores, best first."""
ONLINE = 200  # single queries to time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=RIVALS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for matrices and models")
    parser.add_argument("--documents", type=int, help="only the first so many")
    parser.add_argument("--seed", type=int, default=0, help="seed of libpecos' tree")
    parser.add_argument(
        "--save", type=Path, help="file for ranked ids and scores of the test documents, .npz"
    )
    named = parser.parse_args()
    m = load_matrices(named.data, named.work, named.documents)
    row = {"data": named.data.name, "N": m.X.shape[0], "D": m.X.shape[1], "L": m.Y.shape[1]}
    measured, ranked = RIVALS[named.name](named, m)
    ids, scores = pad(ranked)
    if named.save:
        np.savez(named.save, ids=ids, scores=scores)
    row |= {name: round(v, 4) if isinstance(v, float) else v for name, v in measured.items()}
    print(json.dumps(row | score(ids, m.Yt, m.Y)))


def train_pecos(named: argparse.Namespace, m: Matrices) -> tuple[dict, list[Ranked]]:
    from pecos.utils.smat_util import sorted_csr
    from pecos.xmc import Indexer, LabelEmbeddingFactory
    from pecos.xmc.xlinear.model import XLinearModel

    began, worked = time.perf_counter(), time.process_time()
    embedding = LabelEmbeddingFactory.create(m.Y, m.X, method="pifa")
    tree = Indexer.gen(embedding, indexer_type="hierarchicalkmeans", nr_splits=16, seed=named.seed)
    built, worked = time.perf_counter(), time.process_time() - worked
    model = XLinearModel.train(m.X, m.Y, tree, threshold=0.1)
    trained = time.perf_counter()
    folder = named.work / "pecos-model"
    model.save(str(folder))
    fast = XLinearModel.load(str(folder), is_predict_only=True)
    asked = {"only_topk": TOP_K, "beam_size": 10}
    measured, found = time_queries(
        lambda: fast.predict(m.Xt, **asked),
        lambda i: fast.predict(m.Xt[i], threads=1, **asked),
        m.Xt.shape[0],
    )
    measured |= {
        "tree": [level.shape[0] for level in tree],
        "tree_s": built - began,
        "tree_cpu_s": worked,
        "train_s": trained - built,
        "model_MB": measure_size(folder),
    }
    return measured, rows_of(sorted_csr(found.tocsr()))


def train_omikuji(named: argparse.Namespace, m: Matrices) -> tuple[dict, list[Ranked]]:
    import omikuji

    path = named.work / "train.xmc.txt"
    with open(path, "w", encoding="utf-8") as stream:
        rows = zip(rows_of(m.Y), rows_of(m.X), strict=True)
        rows = [row for row in rows if all(row)]  # it reads no line without labels or features
        stream.write(f"{len(rows)} {m.X.shape[1]} {m.Y.shape[1]}\n")
        for labels, pairs in rows:
            values = " ".join(f"{i}:{v:.6f}" for i, v in pairs)
            stream.write(",".join(str(i) for i, _ in labels) + " " + values + "\n")
    began, cpu = time.perf_counter(), time.process_time()
    model = omikuji.Model.train_on_data(str(path))
    trained, cpu = time.perf_counter(), time.process_time() - cpu
    folder = named.work / "omikuji-model"
    model.save(str(folder))
    queries = list(rows_of(m.Xt))
    measured, found = time_queries(
        lambda: [model.predict(q, top_k=TOP_K) for q in queries],
        lambda i: model.predict(queries[i], top_k=TOP_K),
        len(queries),
    )
    measured |= {"train_s": trained - began, "train_cpu_s": cpu, "model_MB": measure_size(folder)}
    return measured, found


def train_napkinxc(named: argparse.Namespace, m: Matrices) -> tuple[dict, list[Ranked]]:
    from napkinxc.models import PLT

    folder = named.work / "napkinxc-model"
    model = PLT(str(folder))
    began = time.perf_counter()
    model.fit(m.X, [[i for i, _ in row] for row in rows_of(m.Y)])
    trained = time.perf_counter()
    measured, found = time_queries(
        lambda: model.predict_proba(m.Xt, top_k=TOP_K),
        lambda i: model.predict_proba(m.Xt[i], top_k=TOP_K),
        m.Xt.shape[0],
    )
    measured |= {"train_s": trained - began, "model_MB": measure_size(folder)}
    return measured, found


def train_fasttext(named: argparse.Namespace, m: Matrices) -> tuple[dict, list[Ranked]]:
    import fasttext

    texts, _ = read_split(named.data, "train", named.documents)
    queries, _ = read_split(named.data, "test", named.documents)
    path = named.work / "train.fasttext.txt"
    with open(path, "w", encoding="utf-8") as stream:
        for labels, text in zip(rows_of(m.Y), texts, strict=True):
            names = "".join(f"__label__{i} " for i, _ in labels)
            stream.write(names + " ".join(text.split()) + "\n")
    began = time.perf_counter()
    model = fasttext.train_supervised(str(path), loss="hs")  # the loss that it has for many labels
    trained = time.perf_counter()
    queries = [" ".join(text.split()) for text in queries]
    measured, found = time_queries(
        lambda: model.predict(queries, k=TOP_K),
        lambda i: model.predict(queries[i], k=TOP_K),
        len(queries),
    )
    file = named.work / "fasttext-model.bin"
    model.save_model(str(file))
    measured |= {"train_s": trained - began, "model_MB": file.stat().st_size / 1e6}
    return measured, [
        [(int(name.removeprefix("__label__")), p) for name, p in zip(*row, strict=True)]
        for row in zip(*found, strict=True)
    ]


RIVALS: dict[str, Callable[[argparse.Namespace, Matrices], tuple[dict, list[Ranked]]]] = {
    "pecos": train_pecos,
    "omikuji": train_omikuji,
    "napkinxc": train_napkinxc,
    "fasttext": train_fasttext,
}


def time_queries(batch: Callable, single: Callable[[int], object], n: int) -> tuple[dict, object]:
    """Returns milliseconds per query, all at once and one by one, and what the batch returned."""
    began = time.perf_counter()
    found = batch()
    took = time.perf_counter() - began
    few = min(ONLINE, n)
    began = time.perf_counter()
    for i in range(few):
        single(i)
    online = time.perf_counter() - began
    measured = {"predict_ms_per_query": 1e3 * took / n, "online_ms_per_query": 1e3 * online / few}
    return measured, found


def rows_of(matrix: sp.csr_matrix) -> list[Ranked]:
    """Returns the (column, value) pairs of each row of a CSR matrix."""
    ends = matrix.indptr
    pairs = list(zip(matrix.indices.tolist(), matrix.data.tolist(), strict=True))
    return [pairs[a:b] for a, b in pairwise(ends)]


def pad(rows: list[Ranked]) -> tuple[np.ndarray, np.ndarray]:
    """Returns ranked ids and scores [N, TOP_K], -1 and 0 where a row has fewer."""
    ids, scores = (
        np.full((len(rows), TOP_K), -1, np.int64),
        np.zeros((len(rows), TOP_K), np.float32),
    )
    for i, row in enumerate(rows):
        for j, pair in enumerate(row[:TOP_K]):
            ids[i, j], scores[i, j] = pair
    return ids, scores


def measure_size(folder: Path) -> float:
    """Returns megabytes of all files below a folder."""
    return sum(os.path.getsize(p) for p in folder.rglob("*") if p.is_file()) / 1e6


if __name__ == "__main__":
    main()
