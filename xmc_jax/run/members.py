"""A forest on disk: a folder for each tree, laid out as the run of one tree."""

from __future__ import annotations

import os
from pathlib import Path


def member_folder(workdir: str | os.PathLike, number: int) -> Path:
    """Returns where a forest keeps the tree of this number, 0 for the first."""
    return Path(workdir) / f"member_{number:02d}"


def list_member_folders(workdir: str | os.PathLike, n_trees: int) -> list[Path]:
    """Returns the folders of a run's trees; of one tree that is the run's folder itself."""
    if n_trees == 1:
        return [Path(workdir)]
    return [member_folder(workdir, i) for i in range(n_trees)]
