"""Updates: a tenth more documents with a twentieth more labels, and smaller changes, beside trainings from scratch.

    python benchmarks/update.py --out benchmarks/results/DEVICE DATA [DATA ...]

DATA is a folder with train.jsonl.gz and test.jsonl.gz. For each, in a process of its own: some labels of few documents
are taken for new; their documents and others, a tenth in all, come later. A model of the rest is updated with them; for
comparison the same tree is trained from scratch, and a new tree (and vectoriser) of all documents. Then one document in
a hundred and in a thousand comes to a model of the others. Everything is done twice in the process, and times are
processor times of the second turn, in which nothing is compiled. A line per set is added to DEVICE/update.jsonl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from linear import describe_device

NEW_LABELS, NEW_DOCUMENTS = 0.05, 0.1
FEW = 20
"""Documents of a label that may be taken for new, at most."""
SMALL = (0.01, 0.001)
TURNS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        print(json.dumps(run_set(named.data[0])))
        return
    named.out.mkdir(parents=True, exist_ok=True)
    for data in named.data:
        command = [sys.executable, __file__, str(data), "--out", str(named.out), "--child"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
        row |= {"device": describe_device(), "date": time.strftime("%Y-%m-%d")}
        with open(named.out / "update.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def choose_new(labels: Any, seed: int = 0) -> np.ndarray:
    """Returns which documents come later, bool [N]: those of labels taken for new, and others."""
    rng = np.random.default_rng(seed)
    n, n_labels = labels.shape
    counts = np.bincount(labels.indices, minlength=n_labels)
    few = rng.permutation(np.flatnonzero((counts > 0) & (counts <= FEW)))
    chosen = few[: round(NEW_LABELS * n_labels)]
    is_new = np.diff(labels[:, chosen].tocsr().indptr) > 0
    rest = rng.permutation(np.flatnonzero(~is_new))
    is_new[rest[: max(0, round(NEW_DOCUMENTS * n) - int(is_new.sum()))]] = True
    return is_new


def measure(work: Callable[[], Any]) -> tuple[Any, float]:
    """Returns what work gives, and its processor time."""
    began = time.process_time()
    return work(), time.process_time() - began


def compare(a: Any, b: Any) -> list[float]:
    """Returns for each level how far its weights are from another's, relative to them."""
    from xmc_jax.model import to_matrix

    out = []
    for x, y in zip(a.levels, b.levels, strict=True):
        one, other = (to_matrix(level, a.n_sparse) for level in (x, y))
        gap = (one - other).power(2).sum() + np.square(x.bias - y.bias).sum()
        out.append(float(np.sqrt(gap / (other.power(2).sum() + np.square(y.bias).sum()))))
    return out


def run_set(data: Path) -> dict[str, Any]:
    """Returns the figures of a set."""
    from xmc_jax.data import open_dataset
    from xmc_jax.errors import Note

    warnings.simplefilter("ignore", Note)
    dataset = open_dataset(data)
    train = dataset.load_split("train")
    test = dataset.load_split("test", train.vocabulary)
    is_new = choose_new(train.labels)
    row: dict[str, Any] = {"data": data.resolve().name}
    for _ in range(TURNS):
        row |= run_large(train, test, is_new)
        row["small"] = [run_small(train, share) for share in SMALL]
    return row


def take(split: Any, rows: np.ndarray) -> Any:
    return split.take(rows, "train", None)


def run_large(train: Any, test: Any, is_new: np.ndarray) -> dict[str, Any]:
    """Returns the figures of the large update."""
    import xmc_jax as xmc
    from xmc_jax.features import as_features
    from xmc_jax.linear.recursion import train_levels
    from xmc_jax.linear.training import Training
    from xmc_jax.run import Run
    from xmc_jax.types import NoProgress

    old, new = (take(train, np.flatnonzero(which)) for which in (~is_new, is_new))
    model, old_s = measure(
        lambda: xmc.XRLinear().fit(old.texts, old.labels, label_names=old.vocabulary)
    )
    newer, update_s = measure(
        lambda: model.update(new.texts, new.labels, label_names=new.vocabulary, same="add")
    )
    done = newer._updates[-1]
    texts, labels, _ = newer._known

    def train_tree() -> Any:
        features = as_features(newer.vectorizer.transform(texts))
        training = Training(newer.config, texts, None, labels)
        return train_levels(training, newer.model.tree, features, Run(), NoProgress())

    same, same_s = measure(train_tree)
    fresh, fresh_s = measure(
        lambda: xmc.XRLinear().fit(texts, labels, label_names=newer.label_names)
    )
    gaps = compare(newer.model, same)
    scratch = xmc.XRLinear()
    scratch._take(newer._give(), None)
    scratch.models = (same,)
    found = [m.predict(test.texts, top_k=5) for m in (newer, scratch, fresh, model)]
    scores = {}
    for name, answers in zip(("update", "same tree", "new tree", "before"), found, strict=True):
        truth = [[test.vocabulary[i] for i in test.labels[j].indices] for j in range(len(test))]
        report = xmc.metrics.evaluate(answers, truth, k=(1, 3, 5))
        scores[name] = [round(report[f"P@{k}"], 2) for k in (1, 3, 5)]
    return {
        "documents": [len(old), len(new)],
        "labels": [old.labels.shape[1], done["new_labels"]],
        "done": done,
        "cpu_s": {
            "before": round(old_s, 2),
            "update": round(update_s, 2),
            "same tree": round(same_s, 2),
            "new tree": round(fresh_s, 2),
        },
        "weights_apart": [round(gap, 6) for gap in gaps],
        "same_first": round(100 * float((found[0].ids[:, 0] == found[1].ids[:, 0]).mean()), 3),
        "scores": scores,
    }


def run_small(train: Any, share: float) -> dict[str, Any]:
    """Returns the figures of an update with this share of the documents."""
    import xmc_jax as xmc

    rng = np.random.default_rng(1)
    n = len(train)
    late = np.sort(rng.permutation(n)[: max(1, round(share * n))])
    old, new = take(train, np.setdiff1d(np.arange(n), late)), take(train, late)
    model = xmc.XRLinear().fit(old.texts, old.labels, label_names=old.vocabulary)
    newer, seconds = measure(
        lambda: model.update(new.texts, new.labels, label_names=new.vocabulary, same="add")
    )
    done = newer._updates[-1]
    return {
        "share": share,
        "solved": done["solved"],
        "nodes": done["nodes"],
        "cpu_s": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
