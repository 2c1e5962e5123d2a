"""Prototypes of a whole data set: scores of a run alone, and with a linear ranker and neighbours on its vectors.

    xmc train --data bundled:wordnet --workdir RUN --config configs/prototype_wordnet.py --encoder.name FOLDER
    python benchmarks/heads_whole.py RUN --out benchmarks/results/DEVICE [--data bundled:wordnet]

All training documents were learned, so none is left to choose weights of mixtures on: they are the means of those
that the seeds of `heads.py` chose on held-out documents of its case. The line in DEVICE/heads.jsonl is one of the row
`whole`, with the number of documents of the set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from heads import WHOLE
from heads_scores import make_sources, score
from linear import describe_device
from rows import read_rows

SEEDS = (WHOLE, "seed 1", "seed 2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a prototype run")
    parser.add_argument("--data", default="bundled:wordnet", help="what it was trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder of heads.jsonl")
    named = parser.parse_args()
    path = named.out / "heads.jsonl"
    chosen = find_weights(read_rows(path))
    row = score_run(named.run, named.data, chosen)
    print(json.dumps(row), flush=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def find_weights(rows: list[dict]) -> dict[str, list[float]]:
    """Returns the mean weights of each mixture over the seeds of the case of 8,000 documents."""
    import numpy as np

    rows = [r for r in rows if r["mix"] and r["documents"] == 8000 and r["row"] in SEEDS]
    names = {
        name
        for r in rows
        for name, part in r.items()
        if isinstance(part, dict) and "weights" in part
    }
    return {
        name: np.mean([r[name]["weights"] for r in rows if name in r], axis=0).round(3).tolist()
        for name in sorted(names)
    }


def score_run(run: Path, data: str, chosen: dict[str, list[float]]) -> dict[str, Any]:
    """Returns the row of a run: by its head, by a ranker and neighbours on its vectors, and by mixtures."""
    import numpy as np

    import xmc_jax as xmc
    from xmc_jax.data import open_dataset
    from xmc_jax.predict.mixture import mix_scores

    model = xmc.load(run)
    train = open_dataset(data).load_split("train")
    test = open_dataset(data).load_split("test", train.vocabulary)
    kept = np.flatnonzero(train.labels.getnnz(axis=0))
    case = SimpleNamespace(
        texts={"train": list(train.texts), "test": list(test.texts)},
        labels={"train": train.labels[:, kept].tocsr(), "test": test.labels[:, kept].tocsr()},
    )
    if list(model.label_names) != [train.vocabulary[int(i)] for i in kept]:
        raise SystemExit(f"{run}: was not trained on {data}, its labels are others")
    vectors = {part: np.asarray(model.encode(texts)) for part, texts in case.texts.items()}
    sources = {"head": {"test": model.predict(case.texts["test"], top_k=100).to_csr()}}
    sources |= make_sources(case, vectors)
    row: dict[str, Any] = {"data": Path(data).name, "documents": len(train)}
    row |= {"steps": int(model.config.tuning.steps), "test": len(test), "unseen": 0.0, "mix": True}
    row |= {"date": time.strftime("%Y-%m-%d"), "device": describe_device(), "row": WHOLE}
    row |= {"labels": len(kept), "settings": {}}
    row |= {name: {"test": score(found["test"], case, "test")} for name, found in sources.items()}
    for name, weights in chosen.items():
        mixed = mix_scores([sources[part]["test"] for part in name.split(" + ")], weights)
        row[name] = {"weights": weights, "test": score(mixed, case, "test")}
    return row


if __name__ == "__main__":
    main()
