"""README's table and picture: precision, times and sizes beside libpecos, per data set."""

from __future__ import annotations

from pathlib import Path

from linear_report import sum_training
from rows import join_scores, make_table, read_rows

PICTURE = "summary.svg"


def make_summary(folder: Path) -> str:
    """Returns README's table, with a line per data set."""
    copies = {
        row["data"]: row for row in read_rows(folder / "disentangle.jsonl") if row["copies"] == 2
    }
    heads = [
        "data set", "labels", "P@1 / 3 / 5 PECOS", "xmc_jax", "two clusters per label", "training, s",
        "search, ms per query", "model, MB",
    ]  # fmt: skip
    rows = []
    for row in read_rows(folder / "linear.jsonl"):
        peer, ours = row["libpecos"], row["ours"]
        scores = [join_scores(r, "P") for r in (peer, ours, copies[row["data"]])]
        pairs = [
            (peer["tree_s"] + peer["train_s"], sum_training(ours["warm"]), 1),
            (peer["predict_ms_per_query"], ours["predict_ms_per_query"], 3),
            (peer["model_MB"], ours["model_MB"], 0),
        ]
        shown = [f"{a:.{digits}f} → {b:.{digits}f}" for a, b, digits in pairs]
        rows.append([row["data"], f"{peer['L']:,}", *scores, *shown])
    return "\n".join([*make_table(heads, rows), ""])


def draw_summary(folder: Path) -> None:
    """Draws precision minus libpecos' and training time beside it, per data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

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
    # Text stays text and no date is written, so that the same results give the same file.
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
        figure.savefig(folder / PICTURE, metadata={"Date": None})
        plt.close(figure)
