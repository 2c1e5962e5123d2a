"""The pictures of a report, drawn from values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from xmc_jax.calibrate import OperatingCurve
from xmc_jax.report.findings import Decision
from xmc_jax.report.markup import cut
from xmc_jax.report.picture import WIDTH, Axis, Chart, Picture, frame, paint, percent
from xmc_jax.report.reliability import Bins
from xmc_jax.report.tree_map import Tiles

_MAP = 400, 250
_SCALE = ((178, 60, 23), (232, 184, 120), (242, 239, 230), (140, 190, 214), (16, 95, 155))
"""Colours from nothing found to everything found, which are distinct without seeing red and green."""
_LEVELS = ("a", "b", "c", "d")


def draw_scores(
    values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> Picture:
    """Returns a picture of scores with their intervals, one below the other, in percent."""
    names = list(values)
    n = len(names)
    y = Axis(0, n, "", lambda v: names[n - 1 - int(v)], [i + 0.5 for i in range(n)])
    height = 74 + 18 * n
    chart = Chart("scores with 95 % intervals", Axis(0, 100, "percent"), y, height, left=84)
    for i, name in enumerate(names):
        at = n - i - 0.5
        low, high = intervals[name]
        chart.span(at, low, high, "a")
        chart.point(
            values[name],
            at,
            "a",
            hint=f"{name} {values[name]:.2f} ({low:.2f} to {high:.2f})",
            size=3,
        )
    return chart.finish()


def draw_frequencies(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Returns a picture of precision and recall of the first five results, by number of training documents."""
    names = ["precision@5", "recall@5"]
    top = max(max(float(row[name]) for row in rows for name in names), 1.0)
    x = Axis(
        0, len(rows), "training documents of a label, from", lambda v: _say_first(rows[int(v)]),
        [i + 0.5 for i in range(len(rows))],
    )  # fmt: skip
    chart = Chart("precision and recall by label frequency", x, Axis(0, top * 1.05, "percent"))
    for i, row in enumerate(rows):
        for j, (name, color) in enumerate(zip(names, ("a", "b"), strict=True)):
            left = i + 0.12 + 0.38 * j
            said = f"{row['documents']} training documents: {name} {row[name]:.1f}, {row['labels']:,} labels"
            chart.bar(left, left + 0.36, float(row[name]), color, hint=said, label=name)
    return chart.finish()


def _say_first(row: Mapping[str, Any]) -> str:
    return str(row["documents"]).partition("-")[0].rstrip("+")


def draw_reliability(first: Bins, five: Bins, what: str) -> Picture:
    """Returns a picture of how often labels of a probability are right, at rank 1 and among the first five."""
    title = "reliability diagram"
    say = percent if what == "probability" else "{:.3g}".format
    chart = Chart(title, Axis(0, 1, what, say), Axis(0, 1, "share that is right", percent))
    chart.line([0, 1], [0, 1], "dim", dashed=True)
    for bins, color, label in ((five, "b", "ranks 1 to 5"), (first, "a", "rank 1")):
        chart.line(bins.confidence.tolist(), bins.share.tolist(), color, label=label)
        for mean, share, low, high, n in zip(*(part.tolist() for part in bins), strict=True):
            chart.whisker(mean, low, high, color)
            said = f"{label}: {100 * share:.1f} % of {n:,} are right, {100 * mean:.1f} % were said"
            chart.point(mean, share, color, hint=said, size=3.5)
    return chart.finish()


def draw_confidence(values: np.ndarray, hits: np.ndarray, what: str) -> Picture:
    """Returns a histogram of the first labels' values, from 0 to 1, with the number that is right."""
    say = percent if what == "probability" else "{:.3g}".format
    edges = np.linspace(0, 1, 11)
    counts, right = (np.histogram(part, edges)[0] for part in (values, values[hits]))
    top = max(int(counts.max(initial=0)), 1)
    chart = Chart(
        f"{what} of the first label",
        Axis(0, 1, f"{what} of the first label", say),
        Axis(0, top * 1.05, "documents", "{:,.0f}".format),
    )
    for low, n, n_right in zip(edges.tolist(), counts.tolist(), right.tolist(), strict=False):
        said = f"{say(low)} to {say(low + 0.1)}: {n:,} documents, {n_right:,} right"
        chart.bar(low + 0.006, low + 0.094, n, "b", hint=said, label="wrong")
        chart.bar(low + 0.006, low + 0.094, n_right, "a", hint=said, label="right")
    return chart.finish()


def draw_precision_recall(curve: OperatingCurve, decisions: Sequence[Decision]) -> Picture:
    """Returns a picture of precision over recall for all thresholds, with points for the decisions."""
    top = min(1.0, float(curve.recall.max(initial=0.0)) * 1.05 + 0.02)
    chart = Chart(
        "precision and recall", Axis(0, top, "recall", percent), Axis(0, 1, "precision", percent)
    )
    kept = curve.returned >= max(10, 0.002 * curve.returned.max(initial=0))
    chart.line(curve.recall[kept].tolist(), curve.precision[kept].tolist(), "a", label="thresholds")
    taken: list[tuple[float, float]] = []
    for decision in sorted(decisions, key=lambda d: not d.chosen):
        x, y = decision.recall / 100, decision.precision / 100
        left, down = chart.at(x, y)
        is_free = all(abs(left - a) > 60 or abs(down - b) > 13 for a, b in taken)
        taken.append((left, down))
        said = f"{decision.name}: precision {decision.precision:.1f}, recall {decision.recall:.1f}"
        color = "b" if decision.chosen else "dim"
        chart.point(x, y, color, hint=said, label=decision.name if is_free else "")
    return chart.finish()


def draw_thresholds(curve: OperatingCurve, marks: Mapping[str, float], what: str) -> Picture:
    """Returns a picture of precision, recall and F1 of each threshold, with vertical lines at the marks."""
    low, high = 0.0, 1.0
    if len(curve.threshold) and not (curve.threshold[-1] >= 0 and curve.threshold[0] <= 1):
        low, high = float(curve.threshold[-1]), float(curve.threshold[0])
    say = percent if what == "probability" else "{:.3g}".format
    chart = Chart(f"thresholds on the {what}", Axis(low, high, what, say), Axis(0, 1, "", percent))
    parts = (
        ("precision", curve.precision, "a"),
        ("recall", curve.recall, "b"),
        ("micro-F1", curve.f1, "c"),
    )
    for label, values, color in parts:
        chart.line(curve.threshold.tolist(), values.tolist(), color, label=label)
    chart.add(f'<g class="cursor" stroke="{paint("ink")}" stroke-dasharray="2 3"></g>')
    ordered = sorted(marks.items(), key=lambda item: item[1])
    last = -100.0
    for i, (name, value) in enumerate(ordered):
        chart.line([value, value], [0, 1], "d", dashed=True)
        left, top = chart.at(value, 1.0)
        down = top + 12 + (14 * (i % 3) if left - last < 90 else 0)
        last = left
        is_far = left > WIDTH - 110
        chart.write(
            name,
            left - 4 if is_far else left + 4,
            down,
            anchor="end" if is_far else "start",
            color="d",
        )
    return chart.finish()


def draw_curves(
    levels: Mapping[int, Mapping[int, Mapping[str, Any]]], key: str, title: str
) -> Picture:
    """Returns a picture of the course of a fine-tuning over the updates of all levels in turn."""
    runs, begin = [], 0
    for level, rows in sorted(levels.items()):
        steps = sorted(rows)
        shown = [step for step in steps if np.isfinite(rows[step][key])]
        runs.append(
            (level, [begin + step for step in shown], [float(rows[step][key]) for step in shown])
        )
        begin += steps[-1]
    values = [v for _, _, ys in runs for v in ys] or [0.0]
    is_log = key == "loss" and min(values) > 0  # losses of levels differ by powers of ten
    top = max(values) * 1.05 or 1.0
    say: Callable[[float], str] = "{:.0e}".format if top < 0.01 else "{:.3g}".format
    scale = Axis(0, top, "", say)
    if is_log:
        title += " (logarithmic)"
        runs = [(level, xs, [math.log10(v) for v in ys]) for level, xs, ys in runs]
        scale = Axis(math.log10(min(values)), math.log10(top), "", lambda v: f"{10**v:.2g}")
        say = scale.say
    chart = Chart(title, Axis(0, begin, "updates"), scale)
    for i, (level, xs, ys) in enumerate(runs):
        name = f"level {level}" if len(runs) > 1 else title
        color = _LEVELS[i % len(_LEVELS)]
        chart.line(xs, ys, color, label=name)
        for x, y in zip(xs, ys, strict=True):
            chart.point(x, y, color, hint=f"{name}, update {x:,}: {say(y)}", size=2.5)
    return chart.finish()


def draw_seconds(stages: Sequence[tuple[str, float]]) -> Picture:
    """Returns a picture of the seconds of each stage of a training, one below the other."""
    names, n = [name for name, _ in stages], len(stages)
    y = Axis(0, n, "", lambda v: names[n - 1 - int(v)], [i + 0.5 for i in range(n)])
    top = max(max(seconds for _, seconds in stages), 1e-3)
    chart = Chart("seconds of each stage", Axis(0, top * 1.25, "seconds"), y, 74 + 20 * n, left=140)
    for i, (_, seconds) in enumerate(stages):
        left, high = chart.at(0, n - i - 0.15)
        right, low = chart.at(seconds, n - i - 0.85)
        chart.add(
            f'<rect x="{left:.1f}" y="{high:.1f}" width="{max(right - left, 1):.1f}" height="{low - high:.1f}"'
            f' fill="{paint("a")}"/>'
        )
        chart.write(f"{seconds:.3g}", right + 4, (high + low) / 2 + 4, anchor="start", color="ink")
    return chart.finish()


def tint(true: int, found: int) -> str:
    """Returns the colour of a tile, from orange (nothing found) to blue (everything found), grey without true
    labels."""
    if not true:
        return "#b9c0c7"
    at = min(found / true, 1.0) * (len(_SCALE) - 1)
    low = min(int(at), len(_SCALE) - 2)
    mixed = (
        round(a + (b - a) * (at - low)) for a, b in zip(_SCALE[low], _SCALE[low + 1], strict=True)
    )
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def draw_map(tiles: Tiles) -> Picture:
    """Returns a picture of the first two levels of a map."""
    width, height = _MAP
    parts, boxes = [], {0: (0.0, 0.0, float(width), float(height))}
    for tile in range(1, len(tiles)):
        parent = tiles.parent[tile]
        if parent not in boxes:
            continue
        left, top, wide, high = boxes[parent]
        x, y, w, h = tiles.place[tile]
        box = (left + x * wide, top + y * high, w * wide, h * high)
        if parent == 0:
            boxes[tile] = box
        edge = 1.0 if parent == 0 else 0.2
        said = f"{tiles.name[tile]}: {tiles.documents[tile]:,} uses in training"
        if tiles.true[tile]:
            said += f", {tiles.found[tile]:,} of {tiles.true[tile]:,} labels found"
        parts.append(
            f'<rect x="{box[0]:.1f}" y="{box[1]:.1f}" width="{box[2]:.1f}" height="{box[3]:.1f}"'
            f' fill="{tint(tiles.true[tile], tiles.found[tile])}" stroke="{paint("paper")}"'
            f' stroke-width="{edge}"><title>{escape(said)}</title></rect>'
        )
    for tile, (left, top, wide, high) in list(boxes.items())[1:]:
        letters = int(wide / 6)
        if letters >= 6 and high >= 16:
            parts.append(
                f'<text x="{left + 4:.1f}" y="{top + 12:.1f}" font-size="10" fill="#14181d" stroke="#ffffff"'
                f' stroke-width="2.5" paint-order="stroke" style="unicode-bidi:plaintext">'
                f"{escape(cut(tiles.name[tile], letters))}</text>"
            )
    return frame("the label tree", height, "".join(parts), width)
