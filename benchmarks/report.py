"""Writes the README's tables from the files in `benchmarks/results/`.

python benchmarks/report.py          # rewrites the part of README.md between the two markers
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: linear -->", "<!-- end of results -->"


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [make_part(folder) for folder in sorted((ROOT / "benchmarks/results").iterdir())]
    readme.write_text(before + BEGIN + "\n" + "\n".join(parts) + END + after, encoding="utf-8")


def make_part(folder: Path) -> str:
    """Returns the tables of one device."""
    parts = (
        ("linear.jsonl", make_linear),
        ("disentangle.jsonl", make_disentangle),
        ("forest.jsonl", make_forest),
        ("transformer.jsonl", make_transformer),
        ("ablation.jsonl", make_ablation),
        ("kernels.jsonl", make_kernels),
    )
    return "\n".join(make(folder) for name, make in parts if (folder / name).exists())


def make_disentangle(folder: Path) -> str:
    rows = {(r["data"], r["copies"]): r for r in read_rows(folder / "disentangle.jsonl")}
    lines = [
        f"Labels under several clusters ({next(iter(rows.values()))['device']}; "
        f"`benchmarks/results/{folder.name}/disentangle.jsonl`; cost: time of the round beside the first training, "
        "and of a batch search beside that with one cluster a label):",
        "",
        "| set | clusters a label, at most | P@1/3/5 | R@10 | PSP@1/3/5 | cost of the round | of search |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, copies), row in rows.items():
        base = rows.get((name, 1))
        if base is None:
            continue
        cells = [
            name_row(row),
            copies,
            join_scores(row, "P"),
            f"{row['R@10']:.1f}",
            join_scores(row, "PSP"),
        ]
        cost = row["rounds_s"] / row["first_training_s"], row["search_cost"]
        cells += [f"{c:.1f}" if copies > 1 else "" for c in cost]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def make_forest(folder: Path) -> str:
    rows = read_rows(folder / "forest.jsonl")
    lines = [
        f"Forests ({rows[0]['device']}; `benchmarks/results/{folder.name}/forest.jsonl`):",
        "",
        "| set | trees | clusters a label | P@1/3/5 | R@10 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [name_row(row), row["trees"], row["copies"], join_scores(row, "P")]
        lines.append("| " + " | ".join(map(str, [*cells, f"{row['R@10']:.1f}"])) + " |")
    return "\n".join([*lines, ""])


def name_row(row: dict) -> str:
    """Returns the data set, and the settings that differ from the defaults."""
    settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
    return row["data"] + (f" ({settings})" if settings else "")


def join_scores(row: dict, name: str) -> str:
    return " / ".join(f"{row[f'{name}@{k}']:.2f}" for k in (1, 3, 5))


def make_kernels(folder: Path) -> str:
    rows = read_rows(folder / "kernels.jsonl")
    first = rows[0]
    lines = [
        f"Kernels beside a copy of {first['copy_GB_s']} GB/s and a product of "
        f"{first['product_Gflop_s']} Gflop/s ({first['device']}, jax {first['jax']}, load average "
        f"{first['load']}; "
        f"`benchmarks/results/{folder.name}/kernels.jsonl`; beyond 100 %: kept in cache):",
        "",
        "| kernel | shape | ms | GB/s | Gflop/s | of the ceiling |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ceiling = f"{100 * row['fraction']:.0f} % ({row['bound']})"
        cells = [row["kernel"], row["shape"], row["ms"], row["GB_s"], row["Gflop_s"], ceiling]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def make_transformer(folder: Path) -> str:
    # The newest of like runs.
    rows = {(r["documents"], r["steps"]): r for r in read_rows(folder / "transformer.jsonl")}
    lines = [
        "XR-Transformer on WordNet glosses, all-MiniLM-L6-v2 "
        f"(`benchmarks/results/{folder.name}/transformer.jsonl`; libpecos where it ran beside, in turn):",
        "",
        "| glosses | updates a level | P@1/3/5 libpecos | P@1/3/5 XR-Linear | P@1/3/5 ours | training, s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows.values():
        scores = [
            join_scores(row[who], "P") if who in row else ""
            for who in ("libpecos", "linear", "ours")
        ]
        took = [
            f"{row[w]['train_s']:.0f}" for w in ("libpecos", "ours") if "train_s" in row.get(w, {})
        ]
        cells = [f"{row['documents']:,}", row["steps"], *scores, " → ".join(took)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def make_ablation(folder: Path) -> str:
    rows = read_rows(folder / "ablation.jsonl")
    n = max(row["documents"] for row in rows)
    lines = [
        f"XR-Transformer in parts, on {n:,} WordNet glosses ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/ablation.jsonl`; what a row leaves out: "
        "`benchmarks/ablation.py`; a row without tf-idf ranks the vectors of the row above, its time is that of the "
        "linear levels):",
        "",
        "| vectors, features | P@1/3/5 | training, processor s |",
        "| --- | --- | --- |",
    ]
    for row in rows:
        if row["documents"] == n:
            scores = " / ".join(f"{row[f'P@{k}']:.2f}" for k in (1, 3, 5))
            settings = f" ({', '.join(row['settings'])})" if row["settings"] else ""
            cells = [row["row"] + settings, scores, f"{row['train_cpu_s']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def make_linear(folder: Path) -> str:
    rows = read_rows(folder / "linear.jsonl")
    device = rows[0]["device"]
    lines = [
        f"Beside libpecos 1.2.8 on the same matrices ({device}; "
        f"`benchmarks/results/{folder.name}/linear.jsonl`):",
        "",
        "| set | labels | P@1/3/5 libpecos | P@1/3/5 ours | ours, from text | R@10 | PSP@5 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peer, ours, text = row["libpecos"], row["ours"], row["ours_from_text"]
        scores = [join_scores(r, "P") for r in (peer, ours, text)]
        pairs = [f"{peer[name]:.1f} → {ours[name]:.1f}" for name in ("R@10", "PSP@5")]
        lines.append("| " + " | ".join([row["data"], f"{peer['L']:,}", *scores, *pairs]) + " |")
    lines += [
        "",
        "| set | tree + training, s | the same, first time | batch search, ms a query | single query, ms | "
        "model, MB | peak memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peer, ours = row["libpecos"], row["ours"]
        train = peer["tree_s"] + peer["train_s"]
        warm, cold = (sum_training(ours[kind]) for kind in ("warm", "cold"))
        cells = [f"{train:.1f} → {warm:.1f}", f"{cold:.1f}"]
        cells += [
            f"{peer[name]:.{digits}f} → {ours[name]:.{digits}f}"
            for name, digits in (
                ("predict_ms_per_query", 3),
                ("online_ms_per_query", 2),
                ("model_MB", 1),
            )
        ]
        cells.append(f"{peer['peak_MB']:,.0f} → {ours['trained_peak_MB']:,.0f}")
        lines.append("| " + " | ".join([row["data"], *cells]) + " |")
    lines += [
        "",
        "libpecos → ours, in turn in one run. The first time everything is compiled, the compilation cache is "
        "empty. Of our memory 0.4 GB are Python and the libraries, 0.66 GB with the compiled programs.",
        "",
    ]
    flat = folder / "one_vs_rest.jsonl"
    if flat.exists():
        lines += [
            "Without a tree, beside scikit-learn's LinearSVC label by label "
            f"(`benchmarks/results/{folder.name}/one_vs_rest.jsonl`):",
            "",
            "| set | P@1/3/5 LinearSVC | P@1/3/5 ours |",
            "| --- | --- | --- |",
        ]
        for row in read_rows(flat):
            scores = [
                " / ".join(f"{row[who][f'P@{k}']:.2f}" for k in (1, 3, 5))
                for who in ("LinearSVC", "ours")
            ]
            lines.append("| " + " | ".join([row["data"], *scores]) + " |")
        lines.append("")
    return "\n".join(lines)


def sum_training(stages: dict[str, float]) -> float:
    """Returns the seconds of tree and levels, without those of features."""
    return sum(seconds for stage, seconds in stages.items() if stage != "features")


def read_rows(path: Path) -> list[dict]:
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


if __name__ == "__main__":
    main()
