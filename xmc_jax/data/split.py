"""A split of a data set in memory: documents as texts or vectors, and their labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.labels import LabelRows, LabelTable, keep_columns, tell_left_out
from xmc_jax.data.texts import TextStore, TextStoreBuilder
from xmc_jax.errors import InputError

SPLITS = ("train", "test", "valid")
SHORT_NAMES = {"train": "trn", "test": "tst", "valid": "val"}
"""Splits as PECOS and the XMC repository name their files."""

Document = tuple[str | os.PathLike, int, Any, Any]
"""File, line, text, label names: as read, text and names not yet checked."""


@dataclass(frozen=True)
class Split:
    """The N documents of a split.

    Attributes:
        name: "train", "test" or "valid".
        vocabulary: names of the L label columns.
        labels: float32 CSR [N, L] of ones, sorted, without duplicates.
        texts: the N texts, or None if the format has only vectors.
        features: float32 CSR [N, D], or None if the format has only texts.
        unknown: number of documents with each label that was dropped because the vocabulary does not hold it.
        total: for a part, the number of documents in all parts, if the file states it.
        excluded: bool CSR [N, L] of labels that count neither as predictions nor as truth, or None.
    """

    name: str
    vocabulary: list[str]
    labels: sp.csr_matrix
    texts: TextStore | None = None
    features: sp.csr_matrix | None = None
    unknown: dict[str, int] = field(default_factory=dict)
    excluded: sp.csr_matrix | None = None
    total: int | None = None

    def __len__(self) -> int:
        return self.labels.shape[0]

    def __repr__(self) -> str:
        kinds = {"texts": self.texts, "features": self.features}
        given = " and ".join(name for name, part in kinds.items() if part is not None)
        n, n_labels = self.labels.shape
        return f"Split({self.name!r}: {n:,} documents as {given}, {n_labels:,} labels, {self.labels.nnz:,} positives)"

    @property
    def n_unknown_labels(self) -> int:
        """Number of label entries dropped because the vocabulary does not hold them."""
        return sum(self.unknown.values())

    def take(self, rows: np.ndarray, name: str, vocabulary: Sequence[str] | None) -> Split:
        """Returns some of the documents, as a split of another name.

        The label columns are those of `vocabulary`, whether they are known here or not; None keeps those that occur.
        """
        labels = self.labels[rows]
        if vocabulary is None:
            kept = np.flatnonzero(np.bincount(labels.indices, minlength=labels.shape[1]))
            vocabulary = [self.vocabulary[i] for i in kept]
        ids = {name: i for i, name in enumerate(vocabulary)}
        extra = [name for name in self.vocabulary if name not in ids]
        columns = {name: len(ids) + i for i, name in enumerate(extra)} | ids
        moved = np.array([columns[name] for name in self.vocabulary], np.int32)
        width = len(ids) + len(extra)
        every = sp.csr_matrix(
            (labels.data, moved[labels.indices], labels.indptr), (len(rows), width)
        )
        counts = np.bincount(every.indices, minlength=width)[len(ids) :]
        unknown = {name: n for name, n in zip(extra, counts.tolist(), strict=True) if n}
        return Split(
            name,
            list(vocabulary),
            keep_columns(every, len(ids))[0],
            None if self.texts is None else self.texts[rows],
            None if self.features is None else self.features[rows],
            unknown,
        )


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """Returns the file in a folder that has one of the names, or None.

    Raises:
        InputError: two files have such a name.
    """
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise InputError(
            f"{folder}: {found[0].name} and {found[1].name} are both there; remove one of them"
        )
    return found[0] if found else None


def find_file_pairs(
    folder: Path, names: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[Path, Path]]:
    """Returns the two files of each split that a folder holds, packed with gzip or not, given their names.

    Raises:
        InputError: one of the two without the other.
    """
    pairs = {}
    for split, both in names.items():
        one, other = (find_file(folder, [name, f"{name}.gz"]) for name in both)
        if one and other:
            pairs[split] = one, other
        elif one or other:
            missing = both[1] if one else both[0]
            raise InputError(f"{one or other}: stands alone; {missing} is needed beside it")
    return pairs


def find_folders(folder: Path, list_files: Callable[[Path], list[Path]]) -> dict[str, list[Path]]:
    """Returns the files of each split: those of the folders `train`, `test`, `valid`, else of the folder itself."""
    found = {split: files for split in SPLITS if (files := list_files(folder / split))}
    if not found and (files := list_files(folder)):
        found = {"train": files}
    return found


def collect_documents(
    name: str,
    source: str,
    documents: Iterable[Document],
    vocabulary: Sequence[str] | None,
    allowed: Collection[str] | None = None,
) -> Split:
    """Makes a split in one pass over its documents.

    Args:
        name: name of the split.
        source: where the documents come from, for errors.
        vocabulary: names of the label columns; None for the names that occur, sorted.
        allowed: the only names that may occur, or None.

    Raises:
        InputError: no documents, or a text or labels of the wrong kind, with file and line.
    """
    texts, rows = TextStoreBuilder(), LabelRows(vocabulary, allowed)
    add_text, add_labels = texts.add, rows.add
    for path, line, text, names in documents:
        try:
            add_text(text)
            add_labels(names)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}") from None
    if not len(texts):
        raise InputError(f"{source}: no documents; at least one needed")
    table: LabelTable = rows.build()
    tell_left_out(table, source)
    return Split(name, table.names, table.labels, texts.build(), None, table.unknown)


def cut_documents(
    read: Callable[[], Iterator[Document]], number: int, n_parts: int
) -> Iterator[Document]:
    """Yields one of several parts of the documents, which are read twice, since their number is not known beforehand.

    Args:
        read: yields all of them.
        number: of the part, from 0.
        n_parts: how many there are.
    """
    n = sum(1 for _ in read())
    return islice(read(), n * number // n_parts, n * (number + 1) // n_parts)


def join_documents(documents: Iterable[Document]) -> Iterator[Document]:
    """Yields each text once, in the place of its first row, with the labels of all its rows."""
    joined: dict[Any, Document] = {}
    for path, line, text, names in documents:
        if not isinstance(text, str) or not isinstance(names, list):
            yield path, line, text, names  # refused later, with its line
        elif text in joined:
            joined[text][3].extend(names)
        else:
            joined[text] = (path, line, text, list(names))
    yield from joined.values()
