"""PECOS's format: SciPy matrices `X.trn.npz` and `Y.trn.npz` (`tst`, `val`), and raw texts `X.trn.txt` if present."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.matrices import check_features, check_labels
from xmc_jax.data.split import find_file
from xmc_jax.data.texts import TextStore, TextStoreBuilder
from xmc_jax.errors import InputError

ENDINGS = {"train": "trn", "test": "tst", "valid": "val"}

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
    for split, ending in ENDINGS.items():
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


def read_matrices(files: Three) -> Matrices:
    """Returns features [N, D] and texts (None where there is no file) and labels [N, L].

    Raises:
        InputError: a file that is not a matrix of finite numbers, or files with different numbers of documents.
    """
    feature_path, text_path, label_path = files
    labels = check_labels(load_matrix(label_path), str(label_path))
    features = texts = None
    if feature_path:
        features = check_features(load_matrix(feature_path), str(feature_path))
        if features.shape[0] != labels.shape[0]:
            raise InputError(
                f"{feature_path}: {features.shape[0]} rows, but {label_path} has {labels.shape[0]}; "
                "both need one row per document"
            )
    if text_path:
        texts = _read_texts(text_path, label_path, labels.shape[0])
    return Matrices(features, texts, labels)


def load_matrix(path: Path) -> Any:
    """Returns the scipy matrix in an npz file; pickled objects are refused, not loaded.

    Raises:
        InputError: anything but a matrix written by `scipy.sparse.save_npz`.
    """
    try:
        with open(path, "rb") as stream:  # numpy would leave a broken file open
            return sp.load_npz(stream)
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = str(error).strip("'\" ") or type(error).__name__
        if "pickle" in reason:
            reason = "it holds pickled objects, which are never loaded"
        raise InputError(
            f"{path}: not a sparse matrix ({reason}); write it with scipy.sparse.save_npz"
        ) from None


def _read_texts(path: Path, label_path: Path, n_rows: int) -> TextStore:
    """Reads one text per line; lines beyond the last row must be blank."""
    texts = TextStoreBuilder()
    for number, line in enumerate(read_lines(path), 1):
        if number <= n_rows:
            texts.add(line)
        elif line.strip():
            raise InputError(
                f"{path}:{number}: a text, but {label_path} has {n_rows} rows; one line per row needed"
            )
    if len(texts) < n_rows:
        raise InputError(
            f"{path}: {len(texts)} lines, but {label_path} has {n_rows} rows; one line per row needed"
        )
    return texts.build()


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return Reader("SciPy matrices", matrices=lambda split: read_matrices(files[split]))


FORMAT = Format(
    "pecos", "PECOS", "Y.trn.npz + X.trn.npz or X.trn.txt", open_files, find=find_splits
)
