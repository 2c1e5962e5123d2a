"""What each part of XR-Transformer is worth, on the case of `transformer.py`; started by its `--ablation`.

| row | differs from `fine-tuned, tf-idf` in |
| --- | --- |
| tf-idf | no encoder: XR-Linear |
| frozen, tf-idf; frozen | no fine-tuning; and no TF-IDF features in the final levels |
| fine-tuned | no TF-IDF features in the final levels |
| no bootstrap | heads begin with small random weights |
| tfn | no matcher-aware negatives in the fine-tuning |
| one level | X-Transformer: as many steps as on all levels, on one level of clusters |

Each run is a fresh process and adds its rows to `ablation.jsonl`; rows that stand there already, of as many documents
and the same settings, are not computed again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

KS = (1, 3, 5)
TREE = dict(branching=16, max_leaf_size=100)
RANKER = dict(negatives="tfn")
FINAL: dict[str, Any] = dict(ranker=dict(negatives="tfn", threshold=0.001), search=dict(beam=20))
"""The final levels of XR-Transformer as settings of XR-Linear."""
WHOLE = "fine-tuned, tf-idf"

RUNS: dict[str, dict[str, Any]] = {
    "tf-idf": {},
    WHOLE: {},
    "frozen, tf-idf": dict(steps=0),
    "no bootstrap": dict(bootstrap="none"),
    "tfn": dict(negatives="tfn"),
    "one level": {},
}
"""Runs, with what they change in `tuning`; `one level` needs the row of the whole."""
ALONE = {WHOLE: "fine-tuned", "frozen, tf-idf": "frozen"}
"""Runs whose vectors are ranked once more without TF-IDF features → the name of that row."""


def read_rows(path: Path, documents: int, settings: list[str]) -> dict[str, dict]:
    """Returns the rows of a file that hold for these documents and settings, by name."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = documents, settings
    return {r["row"]: r for r in rows if (r["documents"], r["settings"]) == wanted}


def find_missing(rows: dict[str, dict]) -> list[str]:
    """Returns the runs that some row is missing of, in order."""
    return [run for run in RUNS if not {run, ALONE.get(run, run)} <= rows.keys()]


def choose_tuning(run: str, tuning: dict[str, Any], n_levels: int) -> dict[str, Any]:
    """Returns the settings of the fine-tuning in a run.

    Args:
        run: of `RUNS`.
        tuning: of the whole.
        n_levels: that the whole fine-tunes.
    """
    if run == "one level":
        # Loss and bootstrap of the whole: only the levels differ.
        own = dict(steps=tuning["steps"] * n_levels, weighted=True, bootstrap="linear")
        return tuning | own
    return tuning | RUNS[run]


def run_ablation(
    run: str, case: list, encoder: Path, tuning: dict[str, Any], n_levels: int
) -> list[dict]:
    """Trains and scores a run in this process; returns its rows.

    Args:
        run: of `RUNS`.
        case: of `read_case`.
        encoder: its folder.
        tuning: settings of the fine-tuning in the whole.
        n_levels: that the whole fine-tunes, for `one level`.
    """
    import xmc_jax as xmc

    (texts, _, labels), (test_texts, _, truth) = case
    progress = make_counter()
    if run == "tf-idf":
        model: Any = xmc.XRLinear(**FINAL)
        return [measure(run, model, (texts, labels), (test_texts, truth), progress)]
    tuning = choose_tuning(run, tuning, n_levels)
    shared = dict(encoder=dict(name=str(encoder), max_length=32), tuning=tuning, ranker=RANKER)
    if run == "one level":
        model = xmc.XTransformer(tree=TREE, **shared)
    else:
        model = xmc.XRTransformer(preliminary=TREE, **shared)
    rows = [measure(run, model, (texts, labels), (test_texts, truth), progress)]
    rows[0]["tuned_levels"] = progress.levels
    if run in ALONE:
        vectors = [scale_rows(model.encode(t)) for t in (texts, test_texts)]
        linear = xmc.XRLinear(**FINAL)
        rows.append(
            measure(ALONE[run], linear, (vectors[0], labels), (vectors[1], truth), progress)
        )
    return rows


def make_counter() -> Any:
    """Returns what tells the progress and counts the levels that are fine-tuned."""
    from xmc_jax.progress import LineProgress

    class Counter(LineProgress):
        levels = 0

        def start(self, stage: str, total: int) -> None:
            self.levels += stage.startswith("tuning level")
            super().start(stage, total)

    return Counter()


def read_tuning(settings: list[str]) -> dict[str, Any]:
    """Returns `tuning.NAME=VALUE` settings by name."""
    out = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        section, _, field = name.partition(".")
        if section != "tuning" or not value:
            raise SystemExit(f"{setting!r} given with --ablation, tuning.NAME=VALUE needed")
        try:
            out[field] = json.loads(value)
        except ValueError:
            out[field] = value
    return out


def scale_rows(vectors: Any) -> Any:
    """Returns vectors of norm 1, as the final levels see them beside TF-IDF features."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, np.float32(1e-12))


def measure(row: str, model: Any, training: tuple, test: tuple, progress: Any) -> dict:
    """Trains a model and scores it."""
    import xmc_jax as xmc

    began, cpu = time.perf_counter(), time.process_time()
    model.fit(*training, progress=progress)
    out: dict[str, Any] = {
        "row": row,
        "train_s": round(time.perf_counter() - began, 1),
        "train_cpu_s": round(time.process_time() - cpu, 1),
    }
    report = xmc.metrics.evaluate(model.predict(test[0], top_k=10), test[1], k=KS)
    return out | {f"P@{k}": round(report[f"P@{k}"], 2) for k in KS}
