"""A picture of a fine-tuning: loss and learning rate over the steps of all levels."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from xmc_jax.files import replace_file
from xmc_jax.run import group_curves, layout, read_log


def draw_curves(folder: Path) -> Path | None:
    """Draws the curves of a run and returns the file; None if matplotlib (the extra `plot`) is not installed."""
    levels = group_curves(read_log(folder / layout.METRICS))
    if not levels or importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    loss_axes, rate_axes = figure.subplots(2, 1, sharex=True)
    begin = 0
    for level, rows in sorted(levels.items()):
        steps = [begin + step for step in sorted(rows)]
        values = [rows[step] for step in sorted(rows)]
        loss_axes.plot(steps, [v["loss"] for v in values], label=f"level {level}")
        rate_axes.plot(steps, [v["rate"] for v in values])
        begin = steps[-1]
    loss_axes.set_ylabel("loss")
    loss_axes.legend()
    rate_axes.set_ylabel("learning rate")
    rate_axes.set_xlabel("step")
    path = folder / layout.CURVES
    with replace_file(path) as stream:
        figure.savefig(stream, format="png")
    return path
