"""Probabilities, decisions, and the memory with its re-ranker: what they give and what they cost.

    python benchmarks/answers.py --out benchmarks/results/DEVICE --data DATA [DATA …] [--copies 1 2] [--learners trees]

For each set and number of clusters per label: a model of all training documents, and one of nine tenths of them, whose
other tenth is what everything is fitted to and chosen by. Of the test split are told: P, PSP, recall@10 and the
calibration error of the model and of each way to rank anew (`auto` is the way that the held-out documents chose), F1 of
the decisions beside that of the best fixed number of labels (chosen on the test split, which favours it), PSP of
`decide=psp`, processor time per query, bytes. A row per set, copies and learner is appended to `answers.jsonl`; rows
that stand there already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from linear import describe_device

import xmc_jax as xmc
from xmc_jax.calibrate import METHODS
from xmc_jax.config import RerankConfig
from xmc_jax.data import open_dataset
from xmc_jax.linear.heldout import fit_to, hold_out, learn_answers
from xmc_jax.linear.recursion import train_trees
from xmc_jax.linear.training import Training
from xmc_jax.metrics import evaluate, inverse_propensities, propensity_constants
from xmc_jax.predict import Asked, FewResultsWarning, Predictions, answer
from xmc_jax.rerank import LEARNERS, Reranker
from xmc_jax.run import Run
from xmc_jax.types import NoProgress

DEPTH = 30
F1S = ("micro-F1", "example-F1", "macro-F1")
RULES = ("micro-f1", "example-f1", "macro-f1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", required=True, help="as for xmc train")
    parser.add_argument("--copies", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--learners", nargs="+", default=["trees"], choices=[*LEARNERS])
    parser.add_argument("--test", type=int, default=9021, help="test documents at most")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    named = parser.parse_args()
    warnings.simplefilter("ignore", FewResultsWarning)
    file = named.out / "answers.jsonl"
    done = set()
    if file.exists():
        for line in file.read_text().splitlines():
            row = json.loads(line)
            done.add((row["data"], row["copies"]))
    for data in named.data:
        for copies in named.copies:
            name = Path(data.removeprefix("bundled:")).name
            if (name, copies) in done:
                continue
            row = measure(data, name, copies, named.learners, named.test)
            with open(file, "a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def measure(data: str, name: str, copies: int, learners: list[str], most: int) -> dict[str, Any]:
    """Returns a row of the results."""
    dataset = open_dataset(data)
    train, test = dataset.load_split("train"), dataset.load_split("test")
    model = xmc.XRLinear(disentangle=dict(copies=copies), calibrate=dict(share=0.1))
    x = train.texts if train.features is None else train.features
    queries, truth = test.texts if test.features is None else test.features, test.labels
    if len(test) > most:
        rows = np.sort(np.random.default_rng(1).permutation(len(test))[:most])
        queries, truth = queries[rows], truth[rows]
    seconds: dict[str, float] = {}
    config = replace(model.config, calibrate=type(model.config.calibrate)())
    plain = xmc.XRLinear(config)
    timed(seconds, "training", lambda: plain.fit(x, train.labels))
    features = plain.featurize(x)

    def train_part(rows: np.ndarray, _: str) -> Any:
        part = Training(model.config, None, features, train.labels).take_rows(rows)
        return train_trees(part, features[rows], Run(), NoProgress())

    parts = timed(
        seconds,
        "held-out training",
        lambda: hold_out(model.config, features, train.labels, train_part, NoProgress()),
    )
    a, b = propensity_constants(name)
    facts = {"train_counts": plain.label_counts, "n_train": plain.n_train, "a": a, "b": b}
    learned = learn_answers(model.config, features, train.labels, parts)
    plain.calibration = learned.calibration
    row: dict[str, Any] = {
        "data": name,
        "copies": copies,
        "documents": {
            "train": len(train),
            "test": truth.shape[0],
            "held out": len(parts[0].ranked),
        },
        "plain": score(plain, queries, truth, facts, seconds, "search"),
        "decisions": decide(plain, queries, truth, facts),
        "methods": compare_methods(plain, parts[0], queries, truth),
        "bytes": {"model": sum(w.n_bytes for w in plain.models[0].levels)},
        "device": describe_device(),
    }
    for learner in learners:
        for mode in ("auto", *(("mixture",) if learner == learners[0] else ())):
            settings = RerankConfig(mode=mode, learner=learner)
            chosen = replace(model.config, rerank=settings)
            key = learner if mode == "auto" else mode
            learned = timed(
                seconds,
                f"fit {key}",
                lambda c=chosen: learn_answers(c, features, train.labels, parts),
            )
            plain.calibration, plain.reranker = learned
            row[key] = describe(learned.reranker)
            row[key] |= score(plain, queries, truth, facts, seconds, f"search {key}")
            row["bytes"]["memory"] = learned.reranker.memory.n_bytes
            if mode == "auto":
                row[key]["decisions"] = decide(plain, queries, truth, facts)
    n = truth.shape[0]
    row["processor_ms_per_query"] = {
        k: round(1e3 * v / n, 4) for k, v in seconds.items() if k.startswith("search")
    }
    row["processor_seconds"] = {k: round(v, 1) for k, v in seconds.items()}
    return row


def timed(seconds: dict[str, float], name: str, run: Callable[[], Any]) -> Any:
    """Returns what `run` does and notes the processor seconds that it took."""
    began = time.process_time()
    result = run()
    seconds[name] = time.process_time() - began
    return result


def describe(reranker: Reranker) -> dict[str, Any]:
    return {"chosen": reranker.mode, "held_out": reranker.told["held out"]}


def score(
    model: xmc.XRLinear,
    queries: Any,
    truth: Any,
    facts: dict[str, Any],
    seconds: dict[str, float],
    name: str,
) -> dict[str, Any]:
    """Returns ranking scores, and calibration errors of probabilities and of scores."""
    model.predict_proba(queries, 10)  # compiled before it is timed
    probable = timed(seconds, name, lambda: model.predict_proba(queries, 10))
    ranked = replace(probable, probabilities=None)
    names = ["P", "PSP", "recall"]
    found = evaluate(ranked, truth, (1, 3, 5, 10), metrics=names, **facts)
    kept = {k: v for k, v in found.items() if "@" in k and (k == "recall@10" or "@10" not in k)}
    for key, given in (("probabilities", probable), ("scores", ranked)):
        errors = evaluate(given, truth, (1, 5), metrics=["ECE", "Brier"])
        kept[key] = {k: errors[k] for k in ("ECE@1", "ECE@5", "Brier@5")}
    return rounded(kept)


def decide(model: xmc.XRLinear, queries: Any, truth: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Returns F1s of the rules and of the best fixed numbers of labels, and PSP of the rule that asks for it."""
    result: dict[str, Any] = {}
    ranked = model.predict_proba(queries, DEPTH)
    inverse = inverse_propensities(
        facts["train_counts"], facts["n_train"], a=facts["a"], b=facts["b"]
    )

    def answered(rule: str, top_k: int | None = None) -> Predictions:
        asked = Asked(decide=rule)
        return answer(ranked, asked, model.calibration, top_k=top_k, weights=inverse)

    result |= choose_fixed(ranked, truth)
    for rule in RULES:
        found = evaluate(answered(rule), truth, 1, metrics=F1S)
        result[rule] = {name: found[name] for name in F1S}
    psp = evaluate(answered("psp", 5), truth, (1, 3, 5), metrics=["PSP", "P", "macro-F1"], **facts)
    result["psp"] = {k: v for k, v in psp.items() if "@" in k}
    return rounded(result)


def choose_fixed(ranked: Predictions, truth: Any) -> dict[str, Any]:
    """Returns each F1 of the number of labels per document that gives the best one."""
    fixed = evaluate(ranked, truth, tuple(range(1, 11)), metrics=F1S)
    best = {name: max(range(1, 11), key=lambda k, n=name: fixed[f"{n}@{k}"]) for name in F1S}
    return {f"fixed {name}": {"k": k, name: fixed[f"{name}@{k}"]} for name, k in best.items()}


def compare_methods(model: xmc.XRLinear, part: Any, queries: Any, truth: Any) -> dict[str, Any]:
    """Returns the calibration error of each kind of map."""
    ranked: Predictions = model.predict(queries, 10)
    result = {}
    for method in METHODS:
        maps = fit_to(part.ranked, part.truth, model.label_counts, method)
        given = replace(ranked, probabilities=maps.apply(ranked.ids, ranked.scores))
        errors = evaluate(given, truth, (1, 5), metrics=["ECE", "Brier"])
        result[method] = {k: errors[k] for k in ("ECE@1", "ECE@5", "Brier@5")}
    return rounded(result)


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
