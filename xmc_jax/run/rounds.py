"""Rounds of disentangling on disk: which folders hold the newest tree and its levels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from xmc_jax.run.arrays import is_committed, load_arrays


def round_folder(workdir: str | os.PathLike, number: int) -> Path:
    """Returns where a round of disentangling keeps its tree and the levels that it trains; 0: the run's folder."""
    return Path(workdir) / f"round_{number:02d}" if number else Path(workdir)


class Parts(NamedTuple):
    """Which folders hold the model of a run.

    Attributes:
        workdir: the run's folder.
        first_levels: of the first training (0) and of each round after it, the first level that it trains; those
            above are older.
    """

    workdir: Path
    first_levels: tuple[int, ...]

    @property
    def round(self) -> int:
        """Number of the newest round whose tree is in use; 0: the first training."""
        return len(self.first_levels) - 1

    def find_tree(self) -> Path:
        """Returns the folder that holds `tree/`."""
        return round_folder(self.workdir, self.round)

    def find_level(self, level: int) -> Path:
        """Returns the folder that holds `level_NN/`, trained or not."""
        newest = max(r for r, first in enumerate(self.first_levels) if first <= level)
        return round_folder(self.workdir, newest)


def find_parts(workdir: str | os.PathLike) -> Parts:
    """Finds the newest tree of a run and the levels that go with it.

    Raises:
        InputError: a round's tree is damaged.
    """
    firsts = [note["first_level"] for note in list_rounds(workdir) if not note["stop"]]
    return Parts(Path(workdir), (0, *firsts))


def list_rounds(workdir: str | os.PathLike) -> list[dict]:
    """Returns the notes of the rounds whose tree is committed; one with `stop` is the last and changed nothing.

    Raises:
        InputError: a round's tree is damaged.
    """
    notes: list[dict] = []
    while is_committed(round_folder(workdir, len(notes) + 1) / "tree"):
        notes.append(load_arrays(round_folder(workdir, len(notes) + 1) / "tree")[1])
    return notes
