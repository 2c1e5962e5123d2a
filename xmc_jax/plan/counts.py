"""The sizes of a training set, counted or estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmc_jax.config import LinearConfig

SAMPLE = 20_000
"""Number of documents of a large set of texts on which features are counted."""
ENTRY = 8
"""Bytes of a sparse entry: an int32 column and a float32 value."""


@dataclass(frozen=True)
class Counts:
    """Sizes of a training set; `n_features` and `nnz_features` may be estimates."""

    n_documents: int
    n_features: int
    nnz_features: int
    n_labels: int
    nnz_labels: int
    text_bytes: int = 0


def count_data(spec: str, config: LinearConfig) -> Counts:
    """Reads the training split and counts it; features of many texts are estimated from a sample.

    Raises:
        InputError: see `open_dataset` and `load_split`.
    """
    from xmc_jax.data import open_dataset

    split = open_dataset(spec, config.data).load_split("train")
    size = {
        "n_documents": len(split),
        "n_labels": split.labels.shape[1],
        "nnz_labels": int(split.labels.nnz),
    }
    if split.features is not None:
        matrix = split.features
        return Counts(n_features=matrix.shape[1], nnz_features=int(matrix.nnz), **size)
    assert split.texts is not None
    n_features, nnz = _count_features(split.texts, config)
    return Counts(n_features=n_features, nnz_features=nnz, text_bytes=split.texts.nbytes, **size)


def _count_features(texts: Any, config: LinearConfig) -> tuple[int, int]:
    """Returns D and nnz(X) of texts: exact up to `SAMPLE`, else by Heaps' law from two samples."""
    from xmc_jax.features import fit_transform

    n = len(texts)
    if n <= SAMPLE:
        vectorizer, matrix = fit_transform(texts, config.features)
        return vectorizer.n_features, int(matrix.nnz)
    sizes = []
    for size in (SAMPLE // 2, SAMPLE):
        rows = np.linspace(0, n - 1, size).astype(np.int64)
        vectorizer, matrix = fit_transform(texts[rows], config.features)
        sizes.append(vectorizer.n_features)
    growth = math.log2(sizes[1] / sizes[0])
    return round(sizes[1] * (n / SAMPLE) ** growth), round(matrix.nnz / SAMPLE * n)
