"""Data sets by specification: the format of a file or folder, its splits, and their contents."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data import hub
from xmc_jax.data.discovery import find_folder, open_file
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.formats import FORMATS
from xmc_jax.data.holdout import choose_held_out
from xmc_jax.data.labels import map_columns, read_labels
from xmc_jax.data.matrices import scale_rows
from xmc_jax.data.split import Document, Split, collect_documents, cut_documents, join_documents
from xmc_jax.errors import InputError, suggest, tell

BUNDLED = {"wordnet": Path(__file__).parent / "wordnet"}


class Dataset:
    """A recognised data set; only file names and first lines are read until a split is asked for.

    Attributes:
        spec: what the user wrote.
        format: a key of `FORMATS`, or "hub".
        splits: the names of the splits there are, of "train", "test", "valid".
        is_file: whether it is one file, which holds one split, or two with `data.test_share`.
    """

    def __init__(
        self,
        spec: str,
        format: Format,
        files: Files,
        folder: Path | None,
        config: DataConfig,
        is_file: bool = False,
    ) -> None:
        self.spec = spec
        self.format = format.name
        self.title = format.title
        self.is_file = is_file
        self.splits = tuple(files)
        self._format = format
        self._files = files
        self._folder = folder
        self._config = config
        self._vocabulary: list[str] | None = None
        self._whole: Split | None = None
        if config.test_share:
            if "test" in files:
                raise InputError(
                    f"data.test_share={config.test_share} given, but {spec} has a split 'test'; leave it out"
                )
            if "train" not in files:
                raise InputError(
                    f"data.test_share={config.test_share} given, but {spec} has no split 'train'"
                )
            self.splits = ("train", "test", *(s for s in files if s != "train"))

    def __repr__(self) -> str:
        return f"Dataset({self.spec!r}: {self.title}; {', '.join(self.splits)})"

    @cached_property
    def reader(self) -> Reader:
        """Reads the files; opened on first use."""
        return self._format.open(self._files, self._config, self._label_names)

    def describe(self) -> str:
        """Returns a phrase with the format, columns and separators."""
        return f"{self.title}, {self.reader.says}"

    def settle(self) -> DataConfig:
        """Returns the settings with what `auto` chose, so that another file is read the same way."""
        return replace(self._config, **self.reader.settled)  # type: ignore[arg-type]

    def load_split(
        self,
        name: str,
        vocabulary: Sequence[str] | None = None,
        part: tuple[int, int] | None = None,
    ) -> Split:
        """Reads a split, or one of several parts of it.

        The label columns are those of `vocabulary` (of a trained model); labels it does not hold
        are dropped and counted. Without it: where labels are names, the names that occur in the
        training split, sorted; where they are numbers, all columns of the file, named by
        `labels.txt` or their number.

        Args:
            name: one of `splits`.
            vocabulary: names of the label columns, or None.
            part: number of the part, from 0, and how many there are; None: all documents.

        Raises:
            InputError: no such split, a fault in a file (with its line), no documents, training
                without any label, a training label that `labels.txt` does not hold, no vocabulary
                for a set without training split.
        """
        if name not in self.splits:
            raise InputError(
                f"{self.spec}: has no split '{name}'; it has: {', '.join(self.splits)}"
            )
        if part is not None:
            split = self._load_part(name, vocabulary, *part)
        elif self._config.test_share and name in ("train", "test"):
            split = self._load_share(name, vocabulary)
        else:
            split = self._load(name, vocabulary)
        # Of a part that has none, the others may have some.
        if name == "train" and not split.labels.nnz and part is None:
            known = "" if vocabulary is None else " that the vocabulary holds"
            raise InputError(
                f"{self._place(name)}: no document has a label{known}; at least one needed to "
                "learn from"
            )
        return self._exclude(split)

    def _load(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        load = self._load_matrices if self.reader.matrices else self._load_documents
        return load(name, vocabulary)

    def _load_part(
        self, name: str, vocabulary: Sequence[str] | None, number: int, n_parts: int
    ) -> Split:
        reader = self.reader
        whole = {
            f"data.test_share={self._config.test_share}": bool(self._config.test_share),
            "joining rows with the same text": reader.joins,
            "a filter file": reader.excluded is not None and any(reader.excluded(name)),
        }
        for what, is_there in whole.items():
            if is_there:
                raise InputError(
                    f"{self.spec}: {what} needs all documents in one process; leave "
                    "parallel.holds=share out, or give data without it"
                )
        if reader.part_matrices is not None:
            return self._name_columns(name, vocabulary, reader.part_matrices(name, number, n_parts))
        if reader.matrices is not None:
            split = self._load_matrices(name, vocabulary)
            n = len(split)
            rows = np.arange(n * number // n_parts, n * (number + 1) // n_parts)
            return split.take(rows, name, split.vocabulary)
        if reader.part is not None:
            documents = reader.part(name, number, n_parts)
        else:
            read: Any = reader.documents
            documents = cut_documents(partial(read, name), number, n_parts)
        return self._collect(name, vocabulary, documents)

    def _load_documents(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        assert self.reader.documents is not None
        documents: Iterator[Document] = self.reader.documents(name)
        if self.reader.joins:
            documents = join_documents(documents)
        return self._collect(name, vocabulary, documents)

    def _collect(
        self, name: str, vocabulary: Sequence[str] | None, documents: Iterator[Document]
    ) -> Split:
        allowed = None
        if name == "train":
            if self._label_names is not None and vocabulary is None:
                allowed = set(self._label_names)
        elif vocabulary is None:
            vocabulary = self._train_vocabulary()
        split = collect_documents(name, self._place(name), documents, vocabulary, allowed)
        if name == "train" and vocabulary is None:
            self._vocabulary = split.vocabulary
        return split

    def _load_matrices(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        assert self.reader.matrices is not None
        return self._name_columns(name, vocabulary, self.reader.matrices(name))

    def _name_columns(
        self, name: str, vocabulary: Sequence[str] | None, matrices: Matrices
    ) -> Split:
        features, texts, labels, total = matrices
        names = [str(i) for i in range(labels.shape[1])]
        if self._label_names is not None:
            names = self._label_names
            if len(names) != labels.shape[1]:
                raise InputError(
                    f"{self._label_file}: {len(names)} names, but {self._place(name)} has "
                    f"{labels.shape[1]} labels; "
                    "a name for each needed"
                )
        vocabulary = names if vocabulary is None else list(vocabulary)
        labels, unknown = map_columns(labels, names, vocabulary)
        if features is not None:
            features = scale_rows(features, self._config.vector_norm)
        return Split(name, vocabulary, labels, texts, features, unknown, total=total)

    def _load_share(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        """Returns the documents that are held out as test, or the others."""
        if self._whole is None:
            self._whole = self._load("train", None)
        whole = self._whole
        held_out = choose_held_out(whole, self._config.test_share)
        if vocabulary is None:
            vocabulary = whole.take(np.flatnonzero(~held_out), "train", None).vocabulary
        return whole.take(
            np.flatnonzero(held_out if name == "test" else ~held_out), name, vocabulary
        )

    def _exclude(self, split: Split) -> Split:
        """Removes the pairs in a filter file from the truth, and keeps them to be removed from predictions."""
        pairs = [] if self.reader.excluded is None else list(self.reader.excluded(split.name))
        if not pairs:
            return split
        ids = {name: i for i, name in enumerate(split.vocabulary)}
        known = [(row, ids[name]) for row, name in pairs if name in ids and row < len(split)]
        rows, columns = np.array(known, np.int64).reshape(-1, 2).T
        excluded = sp.csr_matrix((np.ones(len(rows), bool), (rows, columns)), split.labels.shape)
        labels = (split.labels - split.labels.multiply(excluded)).tocsr().astype(np.float32)
        labels.eliminate_zeros()
        labels.sort_indices()
        tell(
            f"{self.spec}: {len(known):,} pairs of document and label in a filter file are left out"
        )
        return replace(split, labels=labels, excluded=excluded)

    def _train_vocabulary(self) -> list[str]:
        if self._vocabulary is None:
            if "train" not in self.splits:
                raise InputError(
                    f"{self.spec}: has no split 'train' to take the labels from; give the "
                    "vocabulary of a model"
                )
            self.load_split("train")
        assert self._vocabulary is not None
        return self._vocabulary

    @cached_property
    def _label_file(self) -> Path | None:
        path = self._folder / "labels.txt" if self._folder else None
        return path if path and path.is_file() else None

    @cached_property
    def _label_names(self) -> list[str] | None:
        return read_labels(self._label_file) if self._label_file else None

    def _place(self, name: str) -> str:
        files = self._files.get(name, self._files[next(iter(self._files))])
        if self.format == "hub":
            return f"{self.spec} [{name}]"
        if isinstance(files, list):
            return str(files[0].parent)
        return str(files[-1] if isinstance(files, tuple) else files)


def open_dataset(spec: str | os.PathLike, config: DataConfig | None = None) -> Dataset:
    """Recognises a data set: a folder, a file, `FORMAT:FOLDER`, `bundled:wordnet` or `hf:NAME[@REVISION][:CONFIG]`.

    Raises:
        InputError: no such folder, a folder of no known format (with what was looked for) or of
            two, unknown names.
    """
    text, config = os.fspath(spec), config or DataConfig()
    prefix, colon, rest = text.partition(":")
    if colon and not os.path.exists(text):
        if prefix == "bundled":
            if rest not in BUNDLED:
                raise InputError(f"no bundled data set '{rest}'{suggest(rest, BUNDLED)}")
            files = {s: BUNDLED[rest] / f"{s}.jsonl.gz" for s in ("train", "test")}
            return Dataset(text, FORMATS["jsonl"], files, BUNDLED[rest], config)
        if prefix == "hf":
            splits = hub.load_splits(text)
            return Dataset(text, hub.name_format(text), splits, None, config)
        if prefix in FORMATS:
            return _open_path(text, Path(rest), [FORMATS[prefix]], config)
    return _open_path(text, Path(text), list(FORMATS.values()), config)


def _open_path(spec: str, path: Path, formats: Sequence[Format], config: DataConfig) -> Dataset:
    if path.is_file():
        format = open_file(path, formats, config)
        return Dataset(spec, format, {"train": path}, None, config, is_file=True)
    if not path.is_dir():
        known = ", ".join(f"bundled:{name}" for name in BUNDLED)
        raise InputError(f"data '{spec}': no such file or folder (or {known}, or hf:NAME)")
    format, files = find_folder(path, formats, config)
    return Dataset(spec, format, files, path, config)
