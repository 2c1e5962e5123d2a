"""Display names of labels as a part of a run; they may also be given after the run is complete."""

from __future__ import annotations

import os
from pathlib import Path

from xmc_jax.data import LabelNames, read_saved_names
from xmc_jax.run import layout
from xmc_jax.run.opening import find_manifest
from xmc_jax.run.stages import Run


def save_display(workdir: str | os.PathLike | None, names: LabelNames) -> None:
    """Adds display names to a run, replacing those that it has; with no folder nothing is kept.

    Raises:
        RunError: another training holds the folder, or it cannot be written.
    """
    if workdir is not None:
        Run(find_manifest(Path(workdir))).keep(layout.NAMES, names.save)


def read_display(workdir: str | os.PathLike) -> LabelNames | None:
    """Returns the display names of a run, or None if it has none.

    Raises:
        InputError: they are damaged.
    """
    run = Run(find_manifest(Path(workdir)))
    return run.read(layout.NAMES, read_saved_names) if run.has(layout.NAMES) else None
