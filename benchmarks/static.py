"""An encoder that needs no download, made from the training texts (`encoder.name=static`), beside XR-Linear.

    python benchmarks/static.py --out benchmarks/results/DEVICE [--data DATA]

The case is that of `heads.py`: 8,000 documents, 2,000 others that settings were chosen on, test documents. Rows are
appended to `static.jsonl`; those that stand there already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from heads import Case
from heads_scores import score
from linear import describe_device
from rows import read_rows

ENCODER = dict(name="static", hidden=256, vocabulary=8000, max_length=48)
TUNING: dict[str, Any] = dict(steps=300, batch_size=128, learning_rate=1e-2, warmup=20)
HEAD = dict(scale=10.0)
ROWS = ("XR-Linear", "prototypes", "ensemble of both", "levels on the tuned vectors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="bundled:wordnet")
    parser.add_argument("--labels-text", default="names")
    parser.add_argument("--rows", nargs="*", default=ROWS, choices=ROWS)
    parser.add_argument("--documents", type=int, default=8000)
    parser.add_argument("--test", type=int, default=9021)
    parser.add_argument("--out", type=Path, required=True)
    named = parser.parse_args()
    named.unseen, path = 0.0, named.out / "static.jsonl"
    named.out.mkdir(parents=True, exist_ok=True)
    facts = {"data": Path(named.data).name, "documents": named.documents, "test": named.test}
    known = {r["row"] for r in read_rows(path) if facts.items() <= r.items()}
    case = Case(named)
    made: dict[str, Any] = {}
    spent: dict[str, float] = {}
    for row in [row for row in named.rows if row not in known]:
        began = time.process_time()
        model = make_model(row, case, made)
        spent[row] = time.process_time() - began
        if row.startswith("ensemble"):
            spent[row] += sum(spent.get(member, 0) for member in ROWS[:2])
        took = {"train_cpu_s": round(spent[row], 1)}
        parts = {p: t for p, t in case.texts.items() if p != "train"}
        found = {p: model.predict(t, top_k=20).to_csr() for p, t in parts.items()}
        scores = {p: score(m, case, p) for p, m in found.items()}
        when = {"date": time.strftime("%Y-%m-%d"), "device": describe_device()}
        result = facts | {"row": row} | when | took | {"scores": scores}
        print(json.dumps(result), flush=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


def make_model(row: str, case: Case, made: dict[str, Any]) -> Any:
    """Returns the trained model of a row; those that are `made` are not trained again."""
    import xmc_jax as xmc

    if row in made:
        return made[row]
    if row.startswith("ensemble"):
        return xmc.Ensemble([make_model(member, case, made) for member in ROWS[:2]])
    given: dict[str, Any] = {"label_names": case.names}
    shared = dict(encoder=ENCODER, head=HEAD)
    if row == "XR-Linear":
        model: Any = xmc.XRLinear()
    elif row == "prototypes":
        model = xmc.PrototypeModel(tuning=TUNING, **shared)
    else:
        model = xmc.XRTransformer(tuning=TUNING | {"head": "prototype"}, **shared)
    if row != "XR-Linear":
        given["labels_text"] = case.label_texts
    made[row] = model.fit(case.texts["train"], case.labels["train"], **given)
    return model


if __name__ == "__main__":
    main()
