"""PECOS's format: SciPy matrices `X.trn.npz` and `Y.trn.npz` (`tst`, `val`), and raw texts `X.trn.txt` if present."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.matrices import check_features, check_labels
from xmc_jax.data.split import SHORT_NAMES, find_file
from xmc_jax.data.texts import TextStore, TextStoreBuilder
from xmc_jax.errors import InputError

_DAMAGE = (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error)
"""What reading a file raises that is not an npz file of numbers."""

Three = tuple[Path | None, Path | None, Path]
"""Features, texts (one of the two may be missing), labels."""


def find_splits(folder: Path) -> Files:
    """Returns the files of each split that the folder holds in this format.

    The published sets keep AttentionXML's TF-IDF in a folder of its own, `tfidf-attnxml/X.trn.npz`, which is used if
    there is no `X.trn.npz` beside the labels.

    Raises:
        InputError: X without Y or Y without X.
    """
    splits: Files = {}
    for split, ending in SHORT_NAMES.items():
        labels = find_file(folder, [f"Y.{ending}.npz"])
        features = find_file(folder, [f"X.{ending}.npz"])
        texts = find_file(folder, [f"X.{ending}.txt", f"X.{ending}.txt.gz"])
        if labels:
            features = features or find_file(folder / "tfidf-attnxml", [f"X.{ending}.npz"])
            if not (features or texts):
                raise InputError(
                    f"{labels}: stands alone; X.{ending}.npz or X.{ending}.txt is needed beside it"
                )
            splits[split] = (features, texts, labels)
        elif features or texts:
            raise InputError(
                f"{features or texts}: stands alone; Y.{ending}.npz is needed beside it"
            )
    return splits


def read_matrices(files: Three, rows: slice | None = None) -> Matrices:
    """Returns features [N, D] and texts (None where there is no file) and labels [N, L].

    Args:
        files: of a split.
        rows: only these documents; None: all.

    Raises:
        InputError: a file that is not a matrix of finite numbers, or files with different numbers of documents.
    """
    feature_path, text_path, label_path = files
    matrix, n_rows = _load_rows(label_path, rows)
    labels = check_labels(matrix, str(label_path))
    features = texts = None
    if feature_path:
        matrix, n_features = _load_rows(feature_path, rows)
        if n_features != n_rows:
            raise InputError(
                f"{feature_path}: {n_features} rows, but {label_path} has {n_rows}; "
                "both need one row per document"
            )
        first = rows.start if rows else 0
        features = check_features(
            matrix, str(feature_path), lambda i: f"{feature_path}, row {first + i + 1}"
        )
    if text_path:
        texts = _read_texts(text_path, label_path, n_rows, rows or slice(0, n_rows))
    return Matrices(features, texts, labels, n_rows if rows else None)


def read_part(files: Three, number: int, n_parts: int) -> Matrices:
    """Returns a part of the documents; of CSR matrices no other rows are kept. Errors are those of `read_matrices`."""
    try:
        n_rows = _load_rows(files[2], slice(0, 0))[1]
        rows = slice(n_rows * number // n_parts, n_rows * (number + 1) // n_parts)
        if rows.stop > rows.start:
            return read_matrices(files, rows)
    except InputError:
        raise
    except _DAMAGE:  # not CSR, or damaged, which is told where it is read whole
        pass
    features, texts, labels, _ = read_matrices(files)
    n_rows = labels.shape[0]
    rows = slice(n_rows * number // n_parts, n_rows * (number + 1) // n_parts)
    return Matrices(
        None if features is None else features[rows],
        None if texts is None else texts[rows],
        labels[rows],
        n_rows,
    )


def _load_rows(path: Path, rows: slice | None) -> tuple[Any, int]:
    """Returns the matrix in an npz file, or some of its rows, and how many rows it has.

    Raises:
        InputError: as `load_matrix`, for all rows.
        ValueError, KeyError, OSError, ...: for some rows, a file that is damaged or holds another matrix than CSR.
    """
    if rows is None:
        matrix = load_matrix(path)
        return matrix, matrix.shape[0]
    with zipfile.ZipFile(path) as members:
        if _read_array(members, "format").item() not in (b"csr", "csr"):
            raise ValueError("not CSR")
        n_rows, n_columns = _read_array(members, "shape").tolist()
        offsets = _read_array(members, "indptr")
        if len(offsets) != n_rows + 1:
            raise ValueError("another number of rows")
        offsets = offsets[rows.start : rows.stop + 1]
        inside = slice(int(offsets[0]), int(offsets[-1]))
        data, indices = (_read_array(members, name, inside) for name in ("data", "indices"))
        part = (data, indices, offsets - offsets[0])
        return sp.csr_matrix(part, (len(offsets) - 1, n_columns)), n_rows


def _read_array(members: zipfile.ZipFile, name: str, inside: slice | None = None) -> np.ndarray:
    """Returns an array of an npz file, or some of its numbers; it is unpacked as it is read, and never whole."""
    with members.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[version[0]](stream)
        if dtype.hasobject or len(shape) > 1:
            raise ValueError("no numbers")
        n = int(np.prod(shape))
        first, stop = (0, n) if inside is None else (inside.start, inside.stop)
        if not 0 <= first <= stop <= n:
            raise ValueError("fewer numbers than its rows need")
        stream.seek(first * dtype.itemsize, 1)
        wanted = (stop - first) * dtype.itemsize
        return np.frombuffer(stream.read(wanted), dtype, stop - first).reshape(
            shape if inside is None else -1
        )


def load_matrix(path: Path) -> Any:
    """Returns the scipy matrix in an npz file; pickled objects are refused, not loaded.

    Raises:
        InputError: anything but a matrix written by `scipy.sparse.save_npz`.
    """
    try:
        with open(path, "rb") as stream:  # numpy would leave a broken file open
            return sp.load_npz(stream)
    except _DAMAGE as error:
        reason = str(error).strip("'\" ") or type(error).__name__
        if "pickle" in reason:
            reason = "it holds pickled objects, which are never loaded"
        raise InputError(
            f"{path}: not a sparse matrix ({reason}); write it with scipy.sparse.save_npz"
        ) from None


def _read_texts(path: Path, label_path: Path, n_rows: int, rows: slice) -> TextStore:
    """Reads one text per line, those of some rows; lines beyond the last row must be blank."""
    texts, number = TextStoreBuilder(), 0
    for number, line in enumerate(read_lines(path), 1):
        if rows.start < number <= rows.stop:
            texts.add(line)
        elif number > n_rows and line.strip():
            raise InputError(
                f"{path}:{number}: a text, but {label_path} has {n_rows} rows; one line per row needed"
            )
    if number < n_rows:
        raise InputError(
            f"{path}: {number} lines, but {label_path} has {n_rows} rows; one line per row needed"
        )
    return texts.build()


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return Reader(
        "SciPy matrices",
        matrices=lambda split: read_matrices(files[split]),
        part_matrices=lambda split, *part: read_part(files[split], *part),
    )


FORMAT = Format(
    "pecos", "PECOS", "Y.trn.npz + X.trn.npz or X.trn.txt", open_files, find=find_splits
)
