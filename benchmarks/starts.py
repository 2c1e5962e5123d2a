"""XR-Linear beside libpecos on the same matrices over several seeds of the tree: means of scores, time of the tree.

    python benchmarks/starts.py --peer PYTHON --work DIR --out benchmarks/results/DEVICE DATA [DATA …] [--seeds 0 1 2]

`peers/install.py` makes PYTHON; the matrices are those of `linear.py`, in DIR/DATA. Times are processor times, of ours
without what the first seed compiles. A line per set and seed is appended to `starts.jsonl`; lines that stand there
already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from linear import KS, PEER, describe_device, run_child
from rows import read_rows

KEPT = ("tree", "tree_cpu_s", *(f"P@{k}" for k in KS), "R@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--peer", required=True, help="Python with libpecos")
    parser.add_argument("--work", type=Path, required=True, help="folder for matrices and models")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--start", default="auto", help="tree.start of ours")
    named = parser.parse_args()
    file = named.out / "starts.jsonl"
    done = {(row["data"], row["seed"], row["by"]) for row in read_rows(file)}
    ours = "ours" if named.start == "auto" else f"ours, start={named.start}"
    for data, seed, by in product(named.data, named.seeds, ("libpecos", ours)):
        if (data.name, seed, by) in done:
            continue
        is_peer = by == "libpecos"
        run = partial(run_peer, named.peer, data) if is_peer else partial(run_ours, named.start)
        found = run(named.work / data.name, seed)
        row = {"data": data.name, "seed": seed, "by": by, "device": describe_device()}
        row |= {name: found[name] for name in KEPT}
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def run_peer(python: str, data: Path, work: Path, seed: int) -> dict[str, Any]:
    command = [python, str(PEER), "pecos", str(data), "--work", str(work), "--seed", str(seed)]
    return run_child(command)


def run_ours(start: str, work: Path, seed: int) -> dict[str, Any]:
    """Returns scores of a model with this seed, and the time of its tree."""
    import scipy.sparse as sp

    import xmc_jax as xmc
    from xmc_jax.features import as_features, embed_labels
    from xmc_jax.tree import build_tree

    x, y, xt, yt = (sp.load_npz(work / f"{name}.npz").tocsr() for name in ("X", "Y", "Xt", "Yt"))
    model = xmc.XRLinear(seed=seed, tree=dict(start=start))
    config = model.config.tree
    began = time.process_time()
    tree = build_tree(embed_labels(as_features(x), y, config=config, seed=seed), config, seed)
    took = time.process_time() - began
    model.fit(x, y, tree=tree)
    report = xmc.metrics.evaluate(model.predict(xt, top_k=10), yt, k=(*KS, 10))
    found = {"tree": list(tree.level_sizes), "tree_cpu_s": round(took, 3)}
    scores = {f"P@{k}": round(report[f"P@{k}"], 2) for k in KS}
    return found | scores | {"R@10": round(report["recall@10"], 2)}


if __name__ == "__main__":
    main()
