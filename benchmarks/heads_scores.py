"""Scores of the rows of `heads.py`, and mixtures with a linear ranker and neighbours."""

from __future__ import annotations

import time
from typing import Any

from ablation import FINAL

N_NEIGHBOURS = 200


def to_matrix(ids: Any, scores: Any, n_labels: int) -> Any:
    from xmc_jax.predict import Predictions

    return Predictions(ids, scores, None, n_labels).to_csr()


def score(matrix: Any, case: Any, part: str) -> dict[str, float]:
    """Returns P@1,3,5, PSP@1,3,5 and R@10 in percent."""
    import numpy as np

    from xmc_jax.metrics.report import report
    from xmc_jax.predict.mixture import rank_scores

    counts = np.asarray(case.labels["train"].getnnz(axis=0), np.int32)
    n_train = case.labels["train"].shape[0]
    full = report(rank_scores(matrix, 10), case.labels[part], train_counts=counts, n_train=n_train)
    wanted = [f"{m}@{k}" for m in ("P", "PSP") for k in (1, 3, 5)] + ["recall@10"]
    return {name: round(float(full[name]), 2) for name in wanted}


def score_unseen(outcome: Any, vectors: Any, case: Any, part: str) -> dict[str, Any]:
    """Returns P@1 and R@10 among labels without documents, and among all labels, on documents that have one of them."""
    import numpy as np

    from xmc_jax.metrics import evaluate
    from xmc_jax.predict import Predictions
    from xmc_jax.predict.nearest import build_nearest, find_nearest

    truth = case.labels[part].multiply(case.unseen[None].astype(np.float32)).tocsr()
    truth.eliminate_zeros()
    rows = np.flatnonzero(truth.getnnz(axis=1))
    out: dict[str, Any] = {"documents": len(rows), "labels": int(case.unseen.sum())}
    for name, shown in (("among them", np.flatnonzero(case.unseen)), ("among all", None)):
        index = build_nearest(outcome.prototypes, shown=shown)
        ids, scores, _ = find_nearest(
            index, vectors[rows], len(case.names), top_k=10, scores=outcome.prototypes.scores
        )
        found = evaluate(Predictions(ids, scores, None, len(case.names)), truth[rows], k=(1, 10))
        out[name] = {metric: round(float(found[metric]), 2) for metric in ("P@1", "recall@10")}
    return out


def make_sources(case: Any, vectors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the scores of XR-Linear on TF-IDF and vectors, and the votes of neighbours, of each part but `train`."""
    import xmc_jax as xmc
    from xmc_jax.features import fit_vectorizer, normalize_rows
    from xmc_jax.rerank import find_neighbours, make_keys
    from xmc_jax.types import Features

    vectorizer = fit_vectorizer(case.texts["train"])
    features = {
        k: Features(vectorizer.transform(t), normalize_rows(vectors[k]))
        for k, t in case.texts.items()
    }
    ranker = xmc.XRLinear(**FINAL, data=dict(vector_norm="none")).fit(
        features["train"], case.labels["train"]
    )
    keys = make_keys(features["train"], 1.0)
    sources: dict[str, dict[str, Any]] = {"ranker": {}, "neighbours": {}}
    for part in vectors:
        if part == "train":
            continue
        sources["ranker"][part] = ranker.predict(features[part], top_k=50).to_csr()
        found = find_neighbours(keys, features[part], N_NEIGHBOURS)
        sources["neighbours"][part] = count(found, case.labels["train"])
    return sources


def mix(case: Any, vectors: dict[str, Any], sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the scores of the linear ranker, of neighbours, and of mixtures with weights of held-out documents."""
    from xmc_jax.predict.mixture import choose_weights, mix_scores

    began = time.process_time()
    sources |= make_sources(case, vectors)
    parts = [part for part in vectors if part != "train"]
    row: dict[str, Any] = {"mixing_cpu_s": round(time.process_time() - began, 1)}
    for name in ("ranker", "neighbours"):
        row[name] = {part: score(m, case, part) for part, m in sources[name].items()}
    mixtures = [("ranker", "head"), ("ranker", "neighbours"), ("head", "neighbours")]
    for names in [*mixtures, ("ranker", "head", "neighbours")]:
        if not sources.keys() >= set(names):
            continue
        weights, _ = choose_weights(
            [sources[n]["held out"] for n in names], case.labels["held out"]
        )
        mixed = {p: mix_scores([sources[n][p] for n in names], weights) for p in parts}
        scores = {part: score(m, case, part) for part, m in mixed.items()}
        row[" + ".join(names)] = {"weights": weights} | scores
    return row


def count(found: tuple[Any, Any], labels: Any) -> Any:
    """Returns the votes of neighbours, weighed by softmax(cosine / 0.05), as scores [N, L]."""
    import scipy.sparse as sp

    from xmc_jax.rerank.votes import count_votes

    votes = count_votes(*found, labels)
    row, label = votes.key // votes.n_labels, votes.key % votes.n_labels
    return sp.csr_matrix((votes.wide, (row, label)), (len(found[0]), votes.n_labels))
