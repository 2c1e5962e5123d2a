"""Tables of linear models: beside libpecos, labels under several clusters, forests, kernels."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median, pstdev

from rows import join_scores, make_table, read_rows


def make_linear(folder: Path) -> str:
    rows = read_rows(folder / "linear.jsonl")
    scores, costs = [], []
    for row in rows:
        peer, ours, text = row["libpecos"], row["ours"], row["ours_from_text"]
        triples = [join_scores(r, "P") for r in (peer, ours, text)]
        pairs = [f"{peer[name]:.1f} → {ours[name]:.1f}" for name in ("R@10", "PSP@5")]
        scores.append([row["data"], f"{peer['L']:,}", *triples, *pairs])
        train = peer["tree_s"] + peer["train_s"]
        warm, cold = (sum_training(ours[kind]) for kind in ("warm", "cold"))
        digits = {"predict_ms_per_query": 3, "online_ms_per_query": 2, "model_MB": 1}
        shown = [f"{peer[name]:.{n}f} → {ours[name]:.{n}f}" for name, n in digits.items()]
        shown.append(f"{peer['peak_MB']:,.0f} → {ours['trained_peak_MB']:,.0f}")
        costs.append([row["data"], f"{train:.1f} → {warm:.1f}", f"{cold:.1f}", *shown])
    heads = [
        "set",
        "labels",
        "P@1/3/5 libpecos",
        "P@1/3/5 ours",
        "ours, from text",
        "R@10",
        "PSP@5",
    ]
    cost_heads = [
        "set", "tree + training, s", "the same, first time", "batch search, ms per query", "single query, ms",
        "model, MB", "peak memory, MB",
    ]  # fmt: skip
    lines = [
        f"Beside libpecos 1.2.8 on the same matrices ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/linear.jsonl`):",
        "",
        *make_table(heads, scores),
        "",
        *make_table(cost_heads, costs),
        "",
        "Figures are libpecos → ours, run in turn. The first training on a machine also compiles its programs (the "
        "compilation cache was empty). Of our memory, Python and the libraries take 0.4 GB, and 0.66 GB together with "
        "the compiled programs.",
        "",
    ]
    flat = folder / "one_vs_rest.jsonl"
    if flat.exists():
        beside = [
            [row["data"], *(join_scores(row[who], "P") for who in ("LinearSVC", "ours"))]
            for row in read_rows(flat)
        ]
        lines += [
            "Without a tree, beside one LinearSVC of scikit-learn per label "
            f"(`benchmarks/results/{folder.name}/one_vs_rest.jsonl`):",
            "",
            *make_table(["set", "P@1/3/5 LinearSVC", "P@1/3/5 ours"], beside),
            "",
        ]
    return "\n".join(lines)


def sum_training(stages: dict[str, float]) -> float:
    """Returns the seconds of tree and levels, without those of features."""
    return sum(seconds for stage, seconds in stages.items() if stage != "features")


def make_starts(folder: Path) -> str:
    rows = read_rows(folder / "starts.jsonl")
    found = {(row["data"], row["by"], row["seed"]): row for row in rows}
    cells = []
    for name, by in dict.fromkeys((r["data"], r["by"]) for r in rows if r["by"] != "libpecos"):
        seeds = [s for d, b, s in found if (d, b) == (name, by) and (d, "libpecos", s) in found]
        parts = [[found[name, who, seed] for seed in seeds] for who in ("libpecos", by)]
        means = [[mean(r[f"P@{k}"] for r in part) for k in (1, 3, 5)] for part in parts]
        shown = {
            "tree": ["-".join(map(str, part[0]["tree"][:-1])) for part in parts],
            "spread": [f"{pstdev(r['P@1'] for r in part):.2f}" for part in parts],
            "took": [f"{median(r['tree_cpu_s'] for r in part):.1f}" for part in parts],
        }
        tree, spread, took = (" → ".join(pair) for pair in shown.values())
        scores = [" / ".join(f"{p:.2f}" for p in part) for part in means]
        gaps = " / ".join(f"{b - a:+.2f}" for a, b in zip(*means, strict=True))
        cells.append([name, by, len(seeds), tree, *scores, gaps, spread, took])
    heads = [
        "set", "by", "seeds", "clusters", "P@1/3/5 libpecos", "P@1/3/5 ours", "difference", "P@1, deviation over seeds",
        "tree, processor s",
    ]  # fmt: skip
    lines = [
        f"Means over seeds of the tree, on the same matrices ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/starts.jsonl`; libpecos → ours; our levels "
        "trained on libpecos' trees score as libpecos does, so what differs is the tree):",
        "",
        *make_table(heads, cells),
    ]
    return "\n".join([*lines, ""])


def make_disentangle(folder: Path) -> str:
    rows = {(r["data"], r["copies"]): r for r in read_rows(folder / "disentangle.jsonl")}
    cells = []
    for (name, copies), row in rows.items():
        if (name, 1) not in rows:
            continue
        cost = row["rounds_s"] / row["first_training_s"], row["search_cost"]
        cells.append(
            [
                name_row(row),
                copies,
                join_scores(row, "P"),
                f"{row['R@10']:.1f}",
                join_scores(row, "PSP"),
                *(f"{c:.1f}" if copies > 1 else "" for c in cost),
            ]
        )
    heads = [
        "set", "clusters per label, at most", "P@1/3/5", "R@10", "PSP@1/3/5", "cost of the round", "of search",
    ]  # fmt: skip
    lines = [
        f"Labels under several clusters ({next(iter(rows.values()))['device']}; "
        f"`benchmarks/results/{folder.name}/disentangle.jsonl`; costs are the time of the round relative to the "
        "first training, and that of a batch search relative to one cluster per label):",
        "",
        *make_table(heads, cells),
    ]
    return "\n".join([*lines, ""])


def make_forest(folder: Path) -> str:
    rows = read_rows(folder / "forest.jsonl")
    cells = [
        [name_row(r), r["trees"], r["copies"], join_scores(r, "P"), f"{r['R@10']:.1f}"]
        for r in rows
    ]
    heads = ["set", "trees", "clusters per label, at most", "P@1/3/5", "R@10"]
    lines = [
        f"Forests ({rows[0]['device']}; `benchmarks/results/{folder.name}/forest.jsonl`):",
        "",
        *make_table(heads, cells),
    ]
    return "\n".join([*lines, ""])


def make_forest_peer(folder: Path) -> str:
    rows = read_rows(folder / "forest_peer.jsonl")
    cells = []
    for name in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == name]
        peer, ours = ([row[who] for row in mine] for who in ("omikuji", "ours"))
        seconds = [median(r["train_cpu_s"] for r in some) for some in (peer, ours)]
        scores = [join_scores(some[-1], "P") for some in (peer, ours)]
        ratio = seconds[1] / seconds[0]
        cells.append([name, len(mine), *(f"{s:.1f}" for s in seconds), f"{ratio:.2f}", *scores])
    times = ["processor s, omikuji", "ours", "ratio"]
    heads = ["set", "rounds", *times, "P@1/3/5 omikuji", "ours"]
    lines = [
        "Three trees beside omikuji 0.5.2's three, with defaults, in turn, in fresh processes with "
        f"compiled programs ({rows[0]['device']}, which others used too, so only processor time counts; "
        f"`benchmarks/results/{folder.name}/forest_peer.jsonl`; medians):",
        "",
        *make_table(heads, cells),
    ]
    return "\n".join([*lines, ""])


def name_row(row: dict) -> str:
    """Returns the data set, and the settings that differ from the defaults."""
    settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
    return row["data"] + (f" ({settings})" if settings else "")


def make_kernels(folder: Path) -> str:
    rows = read_rows(folder / "kernels.jsonl")
    first = rows[0]
    cells = [
        [
            *(row[name] for name in ("kernel", "shape", "ms", "GB_s", "Gflop_s")),
            f"{100 * row['fraction']:.0f} % ({row['bound']})",
        ]
        for row in rows
    ]
    lines = [
        f"Kernels beside a copy of {first['copy_GB_s']} GB/s and a product of "
        f"{first['product_Gflop_s']} Gflop/s ({first['device']}, jax {first['jax']}, load average "
        f"{first['load']}; "
        f"`benchmarks/results/{folder.name}/kernels.jsonl`; a kernel beyond 100 % is kept in cache):",
        "",
        *make_table(["kernel", "shape", "ms", "GB/s", "Gflop/s", "of the ceiling"], cells),
    ]
    return "\n".join([*lines, ""])
