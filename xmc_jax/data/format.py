"""A data format: its files, how they are recognised, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data.names import LabelNames
from xmc_jax.data.records import Records
from xmc_jax.data.split import Document
from xmc_jax.data.texts import TextStore

Files = dict[str, Any]
"""The file of each split, or whatever the format has in its place."""


class Matrices(NamedTuple):
    """Features [N, D] and texts, of which one may be missing, and labels [N, L] by number. For a part of the documents,
    `total` is the number of documents in all parts, if the file states it.
    """

    features: sp.csr_matrix | None
    texts: TextStore | None
    labels: sp.csr_matrix
    total: int | None = None


@dataclass(frozen=True)
class Reader:
    """Reads the splits of a data set, as documents with named labels or as matrices.

    Attributes:
        says: how the files are read, in a phrase.
        documents: yields the documents of a split.
        matrices: returns the matrices of a split.
        part: yields the documents of a part of a split, given its number and the number of parts.
        part_matrices: the same for matrices; if None, they are read whole and then cut.
        records: returns the rows of a split, where documents have columns.
        joins: whether rows with the same text are one document, with the labels of all.
        settled: settings that repeat the choices made for this data set.
        names: display names that come with the data.
        excluded: pairs (document, label's name) of a split that count neither as predictions nor as truth.
    """

    says: str
    documents: Callable[[str], Iterator[Document]] | None = None
    matrices: Callable[[str], Matrices] | None = None
    part: Callable[[str, int, int], Iterator[Document]] | None = None
    part_matrices: Callable[[str, int, int], Matrices] | None = None
    records: Callable[[str], Records] | None = None
    joins: bool = False
    settled: dict[str, str] = field(default_factory=dict)
    names: LabelNames | None = None
    excluded: Callable[[str], Iterator[tuple[int, str]]] | None = None


@dataclass(frozen=True)
class Format:
    """A format of data sets; a new one takes a module and a line in `formats.py`.

    Attributes:
        name: as in `NAME:FOLDER`.
        title: as people call it.
        files: what is looked for in a folder.
        open: returns a reader, given the files of each split, the settings, and the names in `labels.txt` or None.
        accepts: returns whether a file is in this format, by name and first lines; None for formats of several files.
        find: returns the files of each split in a folder; None for formats of one file per split.
    """

    name: str
    title: str
    files: str
    open: Callable[[Files, DataConfig, Sequence[str] | None], Reader]
    accepts: Callable[[Path, Sequence[str]], bool] | None = None
    find: Callable[[Path], Files] | None = None
