"""The maps to probabilities in a run's folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from xmc_jax.calibrate import Calibration
from xmc_jax.parallel import run_first
from xmc_jax.run.arrays import is_committed, load_arrays, save_arrays

_FOLDER = "calibration"


def save_calibration(
    folder: str | os.PathLike, calibration: Calibration, *, replace: bool = False
) -> None:
    """Commits the maps of a run.

    Args:
        folder: of the run.
        calibration: its maps.
        replace: in the place of those that are there, which are left otherwise.

    Raises:
        RunError: the disk is full or not writable.
    """
    at = Path(folder) / _FOLDER
    if replace:
        run_first(lambda: shutil.rmtree(at, ignore_errors=True))
    save_arrays(at, calibration.to_arrays(), calibration.to_note())


def load_calibration(folder: str | os.PathLike) -> Calibration | None:
    """Returns the maps of a run, or None of one without.

    Raises:
        InputError: they are damaged.
    """
    at = Path(folder) / _FOLDER
    return Calibration.from_arrays(*load_arrays(at)) if is_committed(at) else None
