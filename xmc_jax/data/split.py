"""A split of a data set in memory: documents as texts or vectors, and their labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from xmc_jax.data.labels import LabelRows
from xmc_jax.data.texts import TextStore, TextStoreBuilder
from xmc_jax.errors import InputError

SPLITS = ("train", "test", "valid")

Document = tuple[str | os.PathLike, int, Any, Any]
"""File, line, text, label names: as read, text and names not yet checked."""


@dataclass(frozen=True)
class Split:
    """The N documents of a split.

    Attributes:
        name: "train", "test" or "valid".
        vocabulary: names of the L label columns.
        labels: float32 CSR [N, L] of ones, sorted, without duplicates.
        texts: the N texts, or None where the format has vectors only.
        features: float32 CSR [N, D], or None where the format has texts only.
        n_unknown_labels: labels of documents that were dropped because the vocabulary does not hold
            them.
    """

    name: str
    vocabulary: list[str]
    labels: sp.csr_matrix
    texts: TextStore | None = None
    features: sp.csr_matrix | None = None
    n_unknown_labels: int = 0

    def __len__(self) -> int:
        return self.labels.shape[0]

    def iter_texts(self, batch: int) -> Iterator[list[str]]:
        """Yields the texts in order, `batch` at a time.

        Raises:
            InputError: the split has vectors and no texts.
        """
        if self.texts is None:
            raise InputError(
                f"split '{self.name}' has feature vectors and no texts; use its features"
            )
        return self.texts.iter_batches(batch)


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """Returns the file of the folder that has one of the names, or None.

    Raises:
        InputError: there are two.
    """
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise InputError(
            f"{folder}: {found[0].name} and {found[1].name} are both there; remove one of them"
        )
    return found[0] if found else None


def collect_documents(
    name: str,
    source: str,
    documents: Iterable[Document],
    vocabulary: Sequence[str] | None,
    allowed: Collection[str] | None = None,
) -> Split:
    """Fills a split in one pass over its documents.

    Args:
        name: of the split.
        source: where the documents come from, for errors.
        vocabulary: the label columns; None: the names that occur, sorted.
        allowed: the names that may occur, or None.

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
    labels, columns, n_unknown = rows.build()
    return Split(name, columns, labels, texts.build(), None, n_unknown)
