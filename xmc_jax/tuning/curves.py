"""A picture of a fine-tuning: a panel per level with the loss and, where documents are held out, P@k over its steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.errors import tell
from xmc_jax.files import replace_file
from xmc_jax.run import group_curves, group_scores, layout, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
"""Panels side by side."""


def draw_curves(folder: Path) -> Path | None:
    """Draws the curves of a run and returns the file; None, and a note, if matplotlib is not installed."""
    log = read_log(folder / layout.METRICS)
    levels, scores = group_curves(log), group_scores(log)
    if not levels:
        return None
    if importlib.util.find_spec("matplotlib") is None:
        tell(
            f"{layout.CURVES} is not drawn, because matplotlib is not installed: pip install 'xmc_jax[plot]' (or "
            "matplotlib); xmc report draws the same curves without it"
        )
        return None
    from matplotlib.figure import Figure

    wide = min(_COLUMNS, len(levels))
    high = -(-len(levels) // wide)
    figure = Figure(figsize=(1.5 + 4 * wide, 0.5 + 3 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False).ravel()
    for i, (panel, (level, rows)) in enumerate(zip(panels, sorted(levels.items()), strict=False)):
        panel.set_title(f"level {level}" if len(levels) > 1 else "fine-tuning")
        _draw_loss(panel, rows)
        if level in scores:
            _draw_scores(panel.twinx(), scores[level])
        panel.set_xlabel("update")
        if i % wide == 0:
            panel.set_ylabel("loss (logarithmic)", color="C0")
    for panel in panels[len(levels) :]:
        panel.set_axis_off()
    path = folder / layout.CURVES
    with replace_file(path) as stream:
        figure.savefig(stream, format="png", dpi=120)
    return path


def _draw_loss(panel: Axes, rows: dict[int, dict[str, Any]]) -> None:
    steps = sorted(rows)
    losses = [rows[step]["loss"] for step in steps]
    panel.plot(steps, losses, color="C0", marker="." if len(steps) < 40 else None)
    if min(losses) > 0:  # a loss of exactly 0 has no place on the axis
        panel.set_yscale("log")
        for write in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            write(lambda value, _: f"{value:.2g}")


def _draw_scores(panel: Axes, rows: dict[int, dict[str, Any]]) -> None:
    steps = sorted(rows)
    names = [name for name in rows[steps[0]] if name.startswith("P@")]
    for i, name in enumerate(names):
        values = [rows[step][name] for step in steps]
        panel.plot(
            steps, values, color=f"C{i + 1}", linestyle="--", marker="o", markersize=3, label=name
        )
    panel.set_ylim(0, 100)
    panel.set_ylabel("P@k of held-out documents")
    panel.legend(loc="best", fontsize="small")
