"""The XMC repository's older sets: `NAME_data.txt` with all documents, and `NAME_trSplit.txt` and `NAME_tstSplit.txt`,
whose columns are numbers of documents, counted from 1, one column per split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.xmc_repository import read_matrices
from xmc_jax.errors import InputError, tell

_SPLITS = {"train": ("trSplit", "trainSplit"), "test": ("tstSplit", "testSplit")}


def find_splits(folder: Path) -> Files:
    """Returns the files of each split: the documents, and their numbers.

    Raises:
        InputError: several `*_data.txt`.
    """
    data = sorted([*folder.glob("*_data.txt"), *folder.glob("*_data.txt.gz")])
    data = [p for p in data if list(folder.glob(p.name.partition("_data.")[0] + "_t*Split*"))]
    if len(data) > 1:
        raise InputError(
            f"{folder}: holds {data[0].name} and {data[1].name}; give one in a folder of its own"
        )
    if not data:
        return {}
    stem = data[0].name.partition("_data.")[0]
    found: Files = {}
    for split, kinds in _SPLITS.items():
        path = next((p for k in kinds if (p := folder / f"{stem}_{k}.txt").is_file()), None)
        if path:
            found[split] = (data[0], path)
    return found


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    whole: list[Matrices] = []

    def matrices(split: str) -> Matrices:
        data, path = files[split]
        if not whole:
            whole.append(Matrices(*read_matrices(data)))
        features, labels = whole[0].features, whole[0].labels
        rows = _read_numbers(path, labels.shape[0])
        assert features is not None
        return Matrices(features[rows], None, labels[rows])

    return Reader("all documents in one file, the splits in others", matrices=matrices)


def _read_numbers(path: Path, n_rows: int) -> np.ndarray:
    """Returns the rows, from 0, in the first column of a split file."""
    found: list[int] = []
    width = 1
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if not words[0].isdigit() or not 1 <= int(words[0]) <= n_rows:
            raise InputError(
                f"{path}:{number}: {words[0]!r:.40} given, the number of a document, 1 to {n_rows} needed"
            )
        width = max(width, len(words))
        found.append(int(words[0]) - 1)
    if width > 1:
        tell(f"{path}: holds {width} splits; the first is used")
    return np.array(found, np.int64)


FORMAT = Format(
    "xmc_old",
    "XMC repository, older",
    "NAME_data.txt + NAME_trSplit.txt",
    open_files,
    find=find_splits,
)
