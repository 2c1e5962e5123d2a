"""Writes the tables of benchmarks/README.md, the summary in README.md and its pictures from `benchmarks/results/`.

    python benchmarks/report.py            # --check writes nothing, and fails if a page is not up to date

Tables are between two markers; the text around them is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from answers_report import make_answers, make_calibration, make_rivals, make_update
from encoder_report import make_ablation, make_transformer
from heads_report import draw_heads, make_heads, make_static
from linear_report import (
    make_disentangle,
    make_forest,
    make_forest_peer,
    make_kernels,
    make_linear,
    make_starts,
)
from pods_report import make_pods
from rows import make_table
from summary_report import draw_summary, make_summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMPILED = RESULTS / "compiled"
SUMMARY = RESULTS / "cpu-2-cores"
"""The device of README's table and picture."""


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
        draw_summary(SUMMARY)
        draw_heads(SUMMARY)
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
    rows = []
    for path in sorted(COMPILED.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for name, row in found["programs"].items():
            exchanged = ", ".join(f"{n} {kind}" for kind, n in row["collectives"].items())
            memory = f"{row['memory'] / 1e6:.1f}"
            rows.append([found["target"], name, memory, row["kernels"], exchanged])
    lines = [
        "## Compiled, not run",
        "",
        "Programs compiled for machines that are not here (`benchmarks/compiled.py`, `benchmarks/results/compiled/`): "
        "memory per chip of a small case, kernels (on a TPU, operations) of the program, and what the chips exchange.",
        "",
        *make_table(["target", "program", "memory, MB", "kernels", "collectives"], rows),
    ]
    return "\n".join([*lines, ""])


def make_part(folder: Path) -> str:
    """Returns the tables of one device; empty if it has none."""
    made = [make(folder) for name, make in TABLES.items() if (folder / name).exists()]
    return "\n".join([f"## {folder.name}", "", *made]) if made else ""


TABLES: dict[str, Callable[[Path], str]] = {
    "linear.jsonl": make_linear,
    "starts.jsonl": make_starts,
    "disentangle.jsonl": make_disentangle,
    "forest.jsonl": make_forest,
    "forest_peer.jsonl": make_forest_peer,
    "transformer.jsonl": make_transformer,
    "ablation.jsonl": make_ablation,
    "heads.jsonl": make_heads,
    "static.jsonl": make_static,
    "answers.jsonl": make_answers,
    "rivals.jsonl": make_rivals,
    "calibration.jsonl": make_calibration,
    "update.jsonl": make_update,
    "kernels.jsonl": make_kernels,
    "pods.jsonl": make_pods,
}
PAGES: tuple[tuple[Path, str, Callable[[], str]], ...] = (
    (ROOT / "benchmarks" / "README.md", "results", make_devices),
    (ROOT / "README.md", "summary", lambda: make_summary(SUMMARY)),
)

if __name__ == "__main__":
    sys.exit(main())
