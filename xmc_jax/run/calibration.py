"""The maps to probabilities as a part of a run; they may also be fitted after the run is complete."""

from __future__ import annotations

import os
from pathlib import Path

from xmc_jax.calibrate import Calibration
from xmc_jax.run import layout
from xmc_jax.run.arrays import load_arrays, save_arrays
from xmc_jax.run.opening import find_manifest
from xmc_jax.run.stages import Run


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Commits maps."""
    save_arrays(path, calibration.to_arrays(), calibration.to_note())


def read_calibration(path: Path) -> Calibration:
    """Restores maps.

    Raises:
        InputError: they are damaged.
    """
    return Calibration.from_arrays(*load_arrays(path))


def save_calibration(
    workdir: str | os.PathLike | None, calibration: Calibration, *, replace: bool = False
) -> None:
    """Adds maps to a run.

    Args:
        workdir: the run's folder; None keeps nothing.
        calibration: its maps.
        replace: whether maps that are there already are replaced; otherwise they are kept.

    Raises:
        RunError: another training holds the folder, or it cannot be written.
    """
    run = Run() if workdir is None else Run(find_manifest(Path(workdir)))
    if replace or not run.has(layout.CALIBRATION):
        run.keep(layout.CALIBRATION, lambda path: write_calibration(path, calibration))
