"""The table of processes that hold only their share."""

from __future__ import annotations

from pathlib import Path

from rows import make_table, read_rows


def make_pods(folder: Path) -> str:
    rows = read_rows(folder / "pods.jsonl")
    told = []
    for row in rows:
        levels = [name for name in row["stages"][0] if name.startswith("level")]
        held = max(one[levels[-1]]["held_MB"] for one in row["stages"])
        told.append(
            [
                row["data"],
                str(row["processes"]),
                f"{max(row['documents']):,}",
                f"{max(row['weights_MB']):.1f}",
                f"{held:.0f}",
                f"{row['arrays_MB']:.0f}",
                f"{row['over_start_MB']:.0f}",
                " / ".join(f"{s:.0f}" for s in row["cpu_s"]),
                "yes" if row["same_tree"] and row["same_ids"] == 1 else "no",
            ]
        )
    heads = [
        "set", "processes", "documents of each", "weights, MB", "held after the last level, MB", "arrays at most, MB",
        "memory at most, MB", "processor time, s", "same tree and answers",
    ]  # fmt: skip
    lines = [
        f"Processes that hold only their share ({rows[0]['device']}, gloo; "
        f"`benchmarks/results/{folder.name}/pods.jsonl`): the most of any process, above what it held before it read "
        "anything. `amazon-3m:F` is Amazon-3M's shape at a factor of its size; 515 documents show what does "
        "not depend on the data.",
        "",
    ]
    return "\n".join([*lines, *make_table(heads, told), ""])
