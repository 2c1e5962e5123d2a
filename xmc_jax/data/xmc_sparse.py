"""The XMC repository's newer matrices: `trn_X_Xf.txt` and `trn_X_Y.txt`, a header `rows columns`, then `id:value`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.lines import read_byte_lines
from xmc_jax.data.matrices import check_features, check_labels
from xmc_jax.data.split import SHORT_NAMES, find_file_pairs
from xmc_jax.data.xmc_raw import FILTERS, read_pairs
from xmc_jax.errors import InputError

_ROW = re.compile(rb"\s*(?:\d{1,10}:[-+.\deE]+\s*)*")


def find_splits(folder: Path) -> Files:
    """Returns the files (features, labels) of each split.

    Raises:
        InputError: one of the two without the other.
    """
    names = {
        split: (f"{short}_X_Xf.txt", f"{short}_X_Y.txt") for split, short in SHORT_NAMES.items()
    }
    return find_file_pairs(folder, names)


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    folder = next(iter(files.values()))[0].parent

    def matrices(split: str) -> Matrices:
        feature_path, label_path = files[split]
        x = check_features(
            read_rows(feature_path), str(feature_path), lambda i: f"{feature_path}:{i + 2}"
        )
        y = check_labels(read_rows(label_path), str(label_path))
        if x.shape[0] != y.shape[0]:
            raise InputError(
                f"{feature_path}: {x.shape[0]} rows, but {label_path} has {y.shape[0]}; both need one row per document"
            )
        return Matrices(x, None, y)

    def excluded(split: str) -> Iterator[tuple[int, str]]:
        filter_file = folder / FILTERS.get(split, "")
        if filter_file.is_file():
            n_labels = int(next(read_byte_lines(files[split][1])).split()[1])
            for row, column in read_pairs(filter_file, n_labels):
                yield row, names[column] if names is not None else str(column)

    return Reader("a file of features, a file of labels", matrices=matrices, excluded=excluded)


def read_rows(path: Path) -> sp.csr_matrix:
    """Returns the matrix in a file of sparse rows.

    Raises:
        InputError: a malformed header or line, counts that disagree, ids out of range; with the line.
    """
    lines = read_byte_lines(path)
    header = next(lines, b"").split()
    if len(header) != 2 or not all(word.isdigit() for word in header):
        raise InputError(f"{path}:1: a header 'rows columns' needed")
    n_rows, n_columns = map(int, header)
    ids: list[np.ndarray] = []
    values: list[np.ndarray] = []
    counts = np.zeros(n_rows, np.int64)
    n_seen = 0
    for number, line in enumerate(lines, 2):
        if n_seen == n_rows:
            if line.strip():
                raise InputError(
                    f"{path}:{number}: more than the {n_rows} rows in the header; correct it"
                )
            continue
        if not _ROW.fullmatch(line):
            raise InputError(
                f"{path}:{number}: {line[:60].decode(errors='replace')!r} given, 'id:value' needed"
            )
        pairs = np.array(line.replace(b":", b" ").split(), np.float64)
        row = pairs[0::2].astype(np.int64)
        if len(row) and row.max() >= n_columns:
            raise InputError(
                f"{path}:{number}: {row.max()} is out of range; the header says {n_columns} columns"
            )
        ids.append(row.astype(np.int32))
        values.append(pairs[1::2].astype(np.float32))
        counts[n_seen] = len(row)
        n_seen += 1
    if n_seen < n_rows:
        raise InputError(
            f"{path}:1: the header says {n_rows} rows, the file holds {n_seen}; copy it again"
        )
    offsets = np.concatenate([[0], np.cumsum(counts)])
    joined = [
        np.concatenate([*part, np.empty(0, kind)])
        for part, kind in ((values, np.float32), (ids, np.int32))
    ]
    return sp.csr_matrix((joined[0], joined[1].astype(np.int32), offsets), (n_rows, n_columns))


FORMAT = Format(
    "xmc_sparse",
    "XMC repository, sparse rows",
    "trn_X_Xf.txt + trn_X_Y.txt",
    open_files,
    find=find_splits,
)
