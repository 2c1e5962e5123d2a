"""Label disentanglement: scores and costs for 1 to 6 copies of a label, and two meanings told apart.

    python benchmarks/disentangle.py --out benchmarks/results/DEVICE DATA [DATA ...] [--copies 1,2,3,4,5,6]
    python benchmarks/disentangle.py --out benchmarks/results/DEVICE --synthetic DATA [DATA ...]
    python benchmarks/disentangle.py --out benchmarks/results/DEVICE            # only draws the pictures again

The first trains for each number of copies, in a fresh process, then searches with all of these models in turn, and
adds lines to DEVICE/disentangle.jsonl; `search_cost` is the median of the turns' ratios to one copy.
The second merges labels of one part of the tree in pairs, trains with and without copies on the merged labels, and
asks whether the two copies of a merged label tell its two meanings apart (variation of information beside 100 random
splits of each label's documents; Liu et al. 2021), by the beams that the copies were chosen by, in which each document
is routed by a matcher that has not seen it: DEVICE/disentangle_synthetic.jsonl. Each file has a picture beside it
(.png).
`--set NAME=VALUE` changes a setting of ours, for example `--set disentangle.positives=routed`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).parent))

from linear import Stages, describe_device

KS = (1, 3, 5, 10)
HEIGHT = 2
"""Merged labels come from one cluster so many levels above the last clusters (the root, where there are fewer)."""
LEAST = 10
"""A meaning counts that has more documents than this."""
TURNS = 15
"""Times that each model searches, in turn with the others: other programs disturb a machine for seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--copies", default="1,2,3,4,5,6")
    parser.add_argument(
        "--synthetic", action="store_true", help="the experiment with merged labels"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    named = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in named.set)
    if named.child:
        if named.synthetic:
            row = run_synthetic(named.data[0], named.child, settings)
        else:
            row = run_copies(named.data[0], named.child, settings, named.models)
        print(json.dumps(row))
        return
    if named.models:
        print(json.dumps(compare_search(named.data[0], named.models)))
        return
    named.out.mkdir(parents=True, exist_ok=True)
    name = "disentangle_synthetic.jsonl" if named.synthetic else "disentangle.jsonl"
    copies = [2] if named.synthetic else sorted({1, *(int(c) for c in named.copies.split(","))})
    for data in named.data:
        with tempfile.TemporaryDirectory() as models:
            rows = [run_child(data.resolve(), n, named, models) for n in copies]
            if not named.synthetic:
                costs = run_child(data.resolve(), 0, named, models)
                for n, row in zip(copies, rows, strict=True):
                    row |= costs[str(n)]
        for row in rows:
            row |= {
                "device": describe_device(),
                "date": time.strftime("%Y-%m-%d"),
                "settings": settings,
            }
            with open(named.out / name, "a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    draw_copies(named.out / "disentangle.jsonl")
    draw_synthetic(named.out / "disentangle_synthetic.jsonl")


def run_child(data: Path, copies: int, named: argparse.Namespace, models: str) -> dict:
    """Runs one training (0 copies: the searches) in a fresh process: nothing is compiled yet, as for a user."""
    command = [sys.executable, __file__, str(data), "--out", str(named.out), "--child", str(copies)]
    command += ["--synthetic"] * named.synthetic + ["--models", models]
    command += [word for pair in named.set for word in ("--set", pair)]
    env = os.environ | {"XMC_JAX_CACHE": "off"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def run_copies(data: Path, copies: int, settings: dict[str, str], models: Path) -> dict:
    """Trains with some number of copies and returns scores, costs and sizes; leaves the model in `models`."""
    import xmc_jax as xmc
    from xmc_jax.data import open_dataset
    from xmc_jax.run import Run, find_manifest, list_rounds

    dataset = open_dataset(data)
    train, test = (dataset.load_split(n) for n in ("train", "test"))
    x, xt = (s.texts if s.features is None else s.features for s in (train, test))
    model, stages = make_model(copies, settings), Stages()
    with tempfile.TemporaryDirectory() as folder:
        model.fit(x, train.labels, workdir=folder + "/run", progress=stages)
        rounds = list_rounds(Run(find_manifest(Path(folder) / "run")))
    assert model.model is not None
    tree = model.model.tree
    sizes = np.sort(np.diff(tree.children_offsets(-1)))
    model.save(models / str(copies))
    predictions = model.predict(xt, top_k=20)
    report = xmc.metrics.evaluate(predictions, test.labels, k=KS, train_labels=train.labels)
    again = [s for name, s in stages.seconds.items() if name.startswith("round")]
    first = [s for name, s in stages.seconds.items() if name.startswith(("tree", "level"))]
    return {
        "data": data.name,
        "copies": copies,
        **score(report),
        "edges_per_label": round(tree.n_edges / tree.n_labels, 4),
        "cluster_sizes": {
            "mean": round(float(sizes.mean()), 2),
            **{f"p{p}": int(np.percentile(sizes, p)) for p in (0, 10, 50, 90, 100)},
        },
        "first_training_s": round(sum(first), 2),
        "rounds_s": round(sum(again), 2),
        "stages_s": {name: round(s, 2) for name, s in stages.seconds.items()},
        "rounds": rounds,
    }


def compare_search(data: Path, folder: Path) -> dict:
    """Searches with all models in turn; returns for each the median time of a query and its ratio to the first."""
    import xmc_jax as xmc
    from xmc_jax.data import open_dataset

    test = open_dataset(data).load_split("test")
    names = sorted((path.name for path in folder.iterdir()), key=int)
    models = [xmc.load(folder / name) for name in names]
    features = models[0].featurize(test.texts if test.features is None else test.features)
    batch = features.sparse if features.n_dense == 0 else features.dense
    for model in models:
        model.predict(batch, top_k=20)
    times = np.zeros((TURNS, len(models)))
    for turn in times:
        for i, model in enumerate(models):
            began = time.perf_counter()
            model.predict(batch, top_k=20)
            turn[i] = 1e3 * (time.perf_counter() - began) / len(features)
    milliseconds, cost = np.median(times, axis=0), np.median(times / times[:, :1], axis=0)
    return {
        name: {"search_ms": round(m, 4), "search_cost": round(c, 3)}
        for name, m, c in zip(names, milliseconds.tolist(), cost.tolist(), strict=True)
    }


def make_model(copies: int, settings: dict[str, str]) -> Any:
    import xmc_jax as xmc

    return xmc.XRLinear(**({"disentangle.copies": copies} | settings))


def score(report: dict) -> dict:
    names = {"P": "P", "PSP": "PSP", "R": "recall"}
    return {f"{short}@{k}": round(report[f"{n}@{k}"], 2) for short, n in names.items() for k in KS}


def run_synthetic(data: Path, copies: int, settings: dict[str, str]) -> dict:
    """Merges labels in pairs, trains with and without copies, and measures what the copies tell apart."""
    from variation import measure_splits

    import xmc_jax as xmc
    from xmc_jax.data import open_dataset
    from xmc_jax.linear.rounds import load_beams
    from xmc_jax.run import Run, find_manifest, find_round, layout

    dataset = open_dataset(data)
    train, test = (dataset.load_split(n) for n in ("train", "test"))
    x, xt = (s.texts if s.features is None else s.features for s in (train, test))
    first = make_model(1, settings).fit(x, train.labels)
    assert first.model is not None
    rng = np.random.default_rng(0)
    merged = merge_labels(first.model.tree, rng)
    fakes = [to_ones(split.labels @ merged) for split in (train, test)]
    row: dict[str, Any] = {"data": data.name, "labels": merged.shape[0], "merged": merged.shape[1]}
    with tempfile.TemporaryDirectory() as folder:
        for name, n in (("before", 1), ("after", copies)):
            run = Path(folder, name)
            model = make_model(n, settings).fit(x, fakes[0], workdir=run)
            predictions = model.predict(xt, top_k=20)
            report = xmc.metrics.evaluate(predictions, fakes[1], k=KS, train_labels=fakes[0])
            row[name] = score(report)
        # The beams that the copies were chosen by: each document's matcher has not seen it.
        beams = find_round(Run(find_manifest(Path(run))), 1).read(layout.BEAMS, load_beams)
    assert model.model is not None and beams is not None
    splits = list(split_documents(model.model.tree, beams, train.labels, merged))
    found = [measure_splits(split, rng) for split in splits]
    row["measured_labels"] = len(found)
    row["vi"] = [round(f.found, 4) for f in found]
    row["vi_random"] = [round(f.random, 4) for f in found]
    row["vi_mean"] = round(float(np.mean(row["vi"])), 4) if found else None
    row["vi_random_mean"] = round(float(np.mean(row["vi_random"])), 4) if found else None
    row["below_random"] = round(float(np.mean([f.found < f.random for f in found])), 4)
    return row


def merge_labels(tree: Any, rng: np.random.Generator) -> sp.csr_matrix:
    """Returns which labels [L] make up which merged label: random pairs of one cluster, a last one alone."""
    level = tree.n_levels - 2 - HEIGHT
    cluster = np.zeros(tree.n_labels, np.int64)
    if level >= 0:
        cluster[tree.edge_label] = tree.edge_ancestor(level)
    order = np.lexsort((rng.random(tree.n_labels), cluster))
    start = np.searchsorted(cluster[order], cluster[order])
    is_new = (np.arange(tree.n_labels) - start) % 2 == 0
    ids = np.cumsum(is_new) - 1
    ones = np.ones(tree.n_labels, np.float32)
    return sp.csr_matrix((ones, (order, ids)), (tree.n_labels, ids[-1] + 1))


def to_ones(matrix: sp.spmatrix) -> sp.csr_matrix:
    out = sp.csr_matrix(matrix, dtype=np.float32)
    out.data[:] = 1.0
    out.sort_indices()
    return out


def split_documents(tree: Any, beams: sp.csr_matrix, labels: sp.csr_matrix, merged: sp.csr_matrix):
    """Yields for each merged label with two copies how its documents fall by meaning and by copy."""
    from variation import Split

    beams = beams.tocsc()
    by_label, parts = labels.tocsc(), merged.tocsc()
    order = np.argsort(tree.edge_label, kind="stable")
    offsets = np.append(0, np.cumsum(tree.copies_per_label))
    for label in range(merged.shape[1]):
        clusters = tree.edge_cluster[order[offsets[label] : offsets[label + 1]]]
        meanings = parts.indices[parts.indptr[label] : parts.indptr[label + 1]]
        if len(clusters) != 2 or len(meanings) != 2:
            continue
        documents = [
            by_label.indices[by_label.indptr[m] : by_label.indptr[m + 1]] for m in meanings
        ]
        if min(map(len, documents)) <= LEAST:
            continue
        rows = np.union1d(*documents)
        scores = [beams[:, [k]].toarray()[rows, 0] for k in clusters]
        meaning = np.stack([np.isin(rows, d) for d in documents], axis=1)
        is_first = scores[0] > scores[1]
        yield Split(meaning, np.stack([is_first, ~is_first], axis=1))


def draw_copies(path: Path) -> None:
    """Draws gains and costs by the number of copies, a line for each data set."""
    rows = read_rows(path)
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for name in sorted({row["data"] for row in rows}):
        by_copies = {row["copies"]: row for row in rows if row["data"] == name}  # the newest wins
        if 1 not in by_copies:
            continue
        base, xs = by_copies[1], sorted(by_copies)
        for panel, metric in zip(panels, ("P@1", "P@5", "R@10", "PSP@5"), strict=False):
            panel.plot(xs, [by_copies[c][metric] - base[metric] for c in xs], "o-", label=name)
            panel.set_title(f"{metric}, points above one copy")
        cost = [by_copies[c]["rounds_s"] / by_copies[c]["first_training_s"] for c in xs]
        panels[4].plot(xs, cost, "o-", label=name)
        panels[4].set_title("time of the round / first training")
        search = [by_copies[c]["search_cost"] for c in xs]
        panels[5].plot(xs, search, "o-", label=name)
        panels[5].set_title("time of a batch search / one copy")
    for panel in panels:
        panel.set_xlabel("copies of a label at most")
        panel.set_xticks(sorted({row["copies"] for row in rows}))
        panel.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def draw_synthetic(path: Path) -> None:
    """Draws the variation of information of each merged label beside that of random splits."""
    rows = {row["data"]: row for row in read_rows(path) if row["measured_labels"]}
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(rows), 4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(rows)))
    for panel, (name, row) in zip(panels, rows.items(), strict=True):
        edges = np.linspace(0, 1.6, 33)
        panel.hist(row["vi"], edges, alpha=0.7, label=f"copies, mean {row['vi_mean']:.2f}")
        label = f"random splits, mean {row['vi_random_mean']:.2f}"
        panel.hist(row["vi_random"], edges, alpha=0.7, label=label)
        panel.set_title(f"{name}: {row['measured_labels']:,} merged labels")
        panel.set_xlabel("variation of information, nats (0: the meanings are told apart)")
        panel.legend()
    figure.savefig(path.with_suffix(".png"), dpi=110)


def read_rows(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
