"""Tables of fine-tuned encoders: XR-Transformer, and its parts."""

from __future__ import annotations

from pathlib import Path

from rows import join_scores, make_table, read_rows


def make_transformer(folder: Path) -> str:
    # The newest of equal runs counts.
    rows = {(r["documents"], r["steps"]): r for r in read_rows(folder / "transformer.jsonl")}
    cells = []
    for row in rows.values():
        sources = ("libpecos", "linear", "ours")
        scores = [join_scores(row[who], "P") if who in row else "" for who in sources]
        took = [
            f"{row[w]['train_s']:.0f}" for w in ("libpecos", "ours") if "train_s" in row.get(w, {})
        ]
        cells.append([f"{row['documents']:,}", row["steps"], *scores, " → ".join(took)])
    heads = [
        "glosses", "updates per level", "P@1/3/5 libpecos", "P@1/3/5 XR-Linear", "P@1/3/5 ours", "training, s",
    ]  # fmt: skip
    lines = [
        "XR-Transformer on WordNet glosses, all-MiniLM-L6-v2 "
        f"(`benchmarks/results/{folder.name}/transformer.jsonl`; where libpecos was run too, in turn):",
        "",
        *make_table(heads, cells),
    ]
    return "\n".join([*lines, ""])


def make_ablation(folder: Path) -> str:
    rows = read_rows(folder / "ablation.jsonl")
    n = max(row["documents"] for row in rows)
    cells = []
    for row in rows:
        if row["documents"] == n:
            settings = f" ({', '.join(row['settings'])})" if row["settings"] else ""
            took = f"{row['train_cpu_s']:.0f}"
            cells.append([row["row"] + settings, join_scores(row, "P"), took])
    lines = [
        f"XR-Transformer in parts, on {n:,} WordNet glosses ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/ablation.jsonl`; "
        "`benchmarks/ablation.py` says what each row leaves out; a row without tf-idf ranks the vectors of the row "
        "above, and its time is that of the linear levels):",
        "",
        *make_table(["vectors, features", "P@1/3/5", "training, processor s"], cells),
    ]
    return "\n".join([*lines, ""])
