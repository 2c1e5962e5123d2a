"""One fine-tuned level on disk: a checkpoint manager with what the level starts from, its last state, its outcome.

| step | holds |
| --- | --- |
| 0 | what the level starts from: its negatives, its head, the linear level before it |
| s | the state after s updates: parameters, both optimisers, data position, random key |
| steps + 1 | the outcome: parameters and head; the level is finished |

Step 0 is kept; of the others the last one is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xmc_jax.parallel import is_first, run_first
from xmc_jax.run.arrays import (
    name_write_errors,
    open_manager,
    read_step,
    silence_orbax,
    write_step,
)

Arrays = Mapping[str, np.ndarray]
_NEVER = 2**62


class TuningStore:
    """The manager of one level, open as long as the level is worked on (a context).

    Opening it waits for no other process; what saves, all of them call together.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self._folder = Path(folder).absolute()
        with name_write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with silence_orbax():
                # Steps that are a multiple of keep_period are kept: the first only.
                self._manager = open_manager(self._folder, max_to_keep=1, keep_period=_NEVER)

    def __enter__(self) -> TuningStore:
        return self

    def __exit__(self, *_: object) -> None:
        with silence_orbax():
            self._manager.close()

    @property
    def last_step(self) -> int | None:
        """The newest whole checkpoint; None: there is none."""
        return self._manager.latest_step()

    def save(self, step: int, arrays: Arrays, note: dict) -> None:
        """Commits a step, and lets the one before it go; of several processes the first one writes, the others wait.

        Raises:
            RunError: the disk is full or not writable.
        """

        def write() -> None:
            with name_write_errors(self._folder), silence_orbax():
                write_step(self._manager, step, arrays, note)

        run_first(write)
        if not is_first():
            with silence_orbax():
                self._manager.reload()

    def load(self, step: int) -> tuple[dict[str, np.ndarray], dict]:
        """Restores a step and its note.

        Raises:
            InputError: it is damaged.
        """
        with silence_orbax():
            return read_step(self._manager, step, self._folder)
