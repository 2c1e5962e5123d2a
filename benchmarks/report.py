"""Writes the tables of benchmarks/README.md, the summary in README.md and its picture from `benchmarks/results/`.

    python benchmarks/report.py            # --check: writes nothing, fails if a page is not up to date

Tables stand between two markers; what is around them is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from heads_report import draw_heads, make_heads, make_static
from rows import join_scores, read_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMPILED = RESULTS / "compiled"
SUMMARY = "cpu-2-cores"  # the device of README's table and picture
PICTURE = RESULTS / SUMMARY / "summary.svg"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    named = parser.parse_args()
    stale = []
    for page, name, make in PAGES:
        old = page.read_text(encoding="utf-8")
        new = replace_part(old, name, make())
        if new != old:
            stale.append(str(page.relative_to(ROOT)))
            if not named.check:
                page.write_text(new, encoding="utf-8")
    if not named.check:
        draw_summary(PICTURE)
        draw_heads(PICTURE.parent)
    elif stale:
        print(f"out of date, run benchmarks/report.py: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


def replace_part(text: str, name: str, part: str) -> str:
    """Returns a page with what stands between the two markers of this name replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"the page lacks the markers {begin.strip()} and {end}")
    return before + begin + part + end + after


def make_devices() -> str:
    """Returns the tables of every device, each under a heading."""
    devices = [folder for folder in sorted(RESULTS.iterdir()) if folder != COMPILED]
    return "\n".join([*map(make_part, devices), make_compiled()])


def make_compiled() -> str:
    """Returns the table of programs that were compiled for machines that are not here."""
    lines = [
        "## Compiled, not run",
        "",
        "Programs compiled for machines that are not here (`benchmarks/compiled.py`, `benchmarks/results/compiled/`): "
        "memory per chip of a small case, kernels (operations, of a TPU) of the program, and what chips exchange.",
        "",
        "| target | program | memory, MB | kernels | collectives |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path in sorted(COMPILED.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for name, row in found["programs"].items():
            exchanged = ", ".join(f"{n} {kind}" for kind, n in row["collectives"].items())
            cells = [found["target"], name, f"{row['memory'] / 1e6:.1f}", row["kernels"], exchanged]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def make_part(folder: Path) -> str:
    """Returns the tables of one device; empty if it has none."""
    made = [make(folder) for name, make in TABLES.items() if (folder / name).exists()]
    return "\n".join([f"## {folder.name}", "", *made]) if made else ""


def make_summary() -> str:
    """Returns README's table: a line per data set."""
    folder = RESULTS / SUMMARY
    copies = {
        row["data"]: row for row in read_rows(folder / "disentangle.jsonl") if row["copies"] == 2
    }
    lines = [
        "| data set | labels | P@1 / 3 / 5 PECOS | xmc_jax | two clusters per label | training, s | "
        "search, ms per query | model, MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in read_rows(folder / "linear.jsonl"):
        peer, ours = row["libpecos"], row["ours"]
        scores = [join_scores(r, "P") for r in (peer, ours, copies[row["data"]])]
        pairs = [
            (peer["tree_s"] + peer["train_s"], sum_training(ours["warm"]), 1),
            (peer["predict_ms_per_query"], ours["predict_ms_per_query"], 3),
            (peer["model_MB"], ours["model_MB"], 0),
        ]
        cells = [row["data"], f"{peer['L']:,}", *scores]
        cells += [f"{a:.{digits}f} → {b:.{digits}f}" for a, b, digits in pairs]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def draw_summary(path: Path) -> None:
    """Draws precision above libpecos' and training time beside it, per data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder = path.parent
    rows = read_rows(folder / "linear.jsonl")
    names = [row["data"] for row in rows]
    base = [row["libpecos"]["P@1"] for row in rows]
    copies = {(r["data"], r["copies"]): r["P@1"] for r in read_rows(folder / "disentangle.jsonl")}
    forests = {(r["data"], r["trees"], r["copies"]): r for r in read_rows(folder / "forest.jsonl")}
    bars = {
        "one tree": [row["ours"]["P@1"] for row in rows],
        "two clusters per label": [copies[name, 2] for name in names],
        "three trees, two clusters per label": [
            forests[name, 3, 2]["P@1"] if (name, 3, 2) in forests else None for name in names
        ],
    }
    # Text stays text and no date is written: the same results give the same file.
    style = {"svg.fonttype": "none", "svg.hashsalt": "xmc_jax", "font.size": 9}
    with plt.rc_context(style):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9.6, 3.0), width_ratios=(1.3, 1), layout="constrained"
        )
        colours = ("#9ab8d9", "#3b75af", "#1b3a5c")
        for i, (label, values) in enumerate(bars.items()):
            at = [j + 0.27 * (i - 1) for j, v in enumerate(values) if v is not None]
            gains = [v - b for v, b in zip(values, base, strict=True) if v is not None]
            left.bar(at, gains, 0.25, label=label, color=colours[i])
        left.axhline(0, color="black", linewidth=0.8)
        left.set_ylabel("P@1 minus PECOS', points")
        left.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        seconds = [
            [row["libpecos"]["tree_s"] + row["libpecos"]["train_s"] for row in rows],
            [sum_training(row["ours"]["warm"]) for row in rows],
        ]
        shown = zip(seconds, ("PECOS", "xmc_jax, one tree"), ("#c9c9c9", colours[0]), strict=True)
        for i, (values, label, colour) in enumerate(shown):
            right.bar(
                [j + 0.4 * i - 0.2 for j in range(len(rows))],
                values,
                0.38,
                label=label,
                color=colour,
            )
        right.set_ylabel("tree and training, s")
        right.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        for axis in (left, right):
            axis.set_xticks(range(len(names)), [n.replace("_", "\n") for n in names], fontsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def make_disentangle(folder: Path) -> str:
    rows = {(r["data"], r["copies"]): r for r in read_rows(folder / "disentangle.jsonl")}
    lines = [
        f"Labels under several clusters ({next(iter(rows.values()))['device']}; "
        f"`benchmarks/results/{folder.name}/disentangle.jsonl`; the cost is the time of the round "
        "beside the first training, and of a batch search beside that with one cluster per label):",
        "",
        "| set | clusters per label, at most | P@1/3/5 | R@10 | PSP@1/3/5 | cost of the round | of search |",
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
        "| set | trees | clusters per label, at most | P@1/3/5 | R@10 |",
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


def make_update(folder: Path) -> str:
    rows = read_rows(folder / "update.jsonl")
    lines = [
        f"Updates ({rows[0]['device']}; `benchmarks/results/{folder.name}/update.jsonl`): a tenth more documents with "
        "further labels, beside a training from scratch on the same tree and one with a new tree; processor seconds "
        "(nothing is compiled); documents whose first label is that of the same tree:",
        "",
        "| set | new documents, labels | nodes solved | P@1/3/5 update | same tree | new tree | first label | "
        "s update | same tree | new tree |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    smaller = [
        "And a hundredth or a thousandth of the documents:",
        "",
        "| set | share | nodes solved | s update |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        done, seconds = row["done"], row["cpu_s"]
        scores = [
            " / ".join(f"{p:.2f}" for p in row["scores"][name])
            for name in ("update", "same tree", "new tree")
        ]
        cells = [row["data"], f"{done['added']:,}, {done['new_labels']:,}", share_solved(done)]
        cells += [*scores, f"{row['same_first']:.2f} %"]
        cells += [f"{seconds[name]:.1f}" for name in ("update", "same tree", "new tree")]
        lines.append("| " + " | ".join(cells) + " |")
        for part in row["small"]:
            cells = [row["data"], f"{part['share']:.1%}", share_solved(part)]
            smaller.append("| " + " | ".join([*cells, f"{part['cpu_s']:.1f}"]) + " |")
    return "\n".join([*lines, "", *smaller, ""])


def share_solved(done: dict) -> str:
    return f"{done['solved']:,} of {done['nodes']:,}"


def make_kernels(folder: Path) -> str:
    rows = read_rows(folder / "kernels.jsonl")
    first = rows[0]
    lines = [
        f"Kernels beside a copy of {first['copy_GB_s']} GB/s and a product of "
        f"{first['product_Gflop_s']} Gflop/s ({first['device']}, jax {first['jax']}, load average "
        f"{first['load']}; "
        f"`benchmarks/results/{folder.name}/kernels.jsonl`; a kernel beyond 100 % is kept in cache):",
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
        "| glosses | updates per level | P@1/3/5 libpecos | P@1/3/5 XR-Linear | P@1/3/5 ours | training, s |",
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
        f"`benchmarks/results/{folder.name}/ablation.jsonl`; "
        "`benchmarks/ablation.py` says what each row leaves out; a row without tf-idf ranks the vectors of the row "
        "above, and its time is that of the linear levels):",
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


def make_answers(folder: Path) -> str:
    rows = read_rows(folder / "answers.jsonl")
    lines = [
        f"Memory and re-ranker, as `rerank.mode=auto` chose on held-out documents ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/answers.jsonl`; processor time per query, search included):",
        "",
        "| set | clusters per label | chosen | P@1/3/5 | R@10 | PSP@5 | ms per query | memory MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        plain, anew, took = row["plain"], row["trees"], row["processor_ms_per_query"]
        cells = [row["data"], row["copies"], anew["chosen"]]
        cells += [" → ".join(join_scores(r, "P") for r in (plain, anew))]
        cells += [f"{plain[k]:.1f} → {anew[k]:.1f}" for k in ("recall@10", "PSP@5")]
        cells += [f"{took['search']:.2f} → {took['search trees']:.2f}"]
        cells += [f"{row['bytes']['memory'] / 1e6:.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        "Probabilities and decisions of the model alone: calibration error of scores and of probabilities, and F1 of "
        "the best fixed number of labels (chosen on the test documents) and of the rule that asks for it:",
        "",
        "| set | clusters per label | ECE@1 | ECE@5 | micro-F1 | example-F1 | macro-F1 | PSP@1, `decide=psp` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        plain, decided = row["plain"], row["decisions"]
        cells = [row["data"], row["copies"]]
        cells += [
            f"{plain['scores'][k]:.1f} → {plain['probabilities'][k]:.1f}"
            for k in ("ECE@1", "ECE@5")
        ]
        for name in ("micro-F1", "example-F1", "macro-F1"):
            cells.append(
                f"{decided[f'fixed {name}'][name]:.1f} → {decided[name.lower()][name]:.1f}"
            )
        cells.append(f"{plain['PSP@1']:.1f} → {decided['psp']['PSP@1']:.1f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
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
        "| set | tree + training, s | the same, first time | batch search, ms per query | single query, ms | "
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
        "Figures are libpecos → ours, run in turn. The first training of a machine also compiles its programs (the "
        "compilation cache was empty). Of our memory, Python and the libraries take 0.4 GB, with the compiled "
        "programs 0.66 GB.",
        "",
    ]
    flat = folder / "one_vs_rest.jsonl"
    if flat.exists():
        lines += [
            "Without a tree, beside one LinearSVC of scikit-learn per label "
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


TABLES: dict[str, Callable[[Path], str]] = {
    "linear.jsonl": make_linear,
    "disentangle.jsonl": make_disentangle,
    "forest.jsonl": make_forest,
    "transformer.jsonl": make_transformer,
    "ablation.jsonl": make_ablation,
    "heads.jsonl": make_heads,
    "static.jsonl": make_static,
    "answers.jsonl": make_answers,
    "update.jsonl": make_update,
    "kernels.jsonl": make_kernels,
}
PAGES: tuple[tuple[Path, str, Callable[[], str]], ...] = (
    (ROOT / "benchmarks" / "README.md", "results", make_devices),
    (ROOT / "README.md", "summary", make_summary),
)

if __name__ == "__main__":
    sys.exit(main())
