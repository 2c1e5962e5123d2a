"""Data sets by specification: which format a folder has, which splits, and their contents."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data import attentionxml, hub, jsonl, pecos, table, xmc_repository
from xmc_jax.data.labels import map_columns, read_labels
from xmc_jax.data.matrices import scale_rows
from xmc_jax.data.split import Document, Split, collect_documents
from xmc_jax.errors import InputError, suggest

FORMATS: dict[str, ModuleType] = {
    "jsonl": jsonl,
    "xmc_repository": xmc_repository,
    "attentionxml": attentionxml,
    "pecos": pecos,
    "table": table,
}
MATRIX_FORMATS = ("xmc_repository", "pecos")
"""Labels are column numbers there; elsewhere they are names."""

BUNDLED = {"wordnet": Path(__file__).parent / "wordnet"}


class Dataset:
    """A data set that was recognised; nothing but file names is read before a split is asked for.

    Attributes:
        spec: what the user wrote.
        format: a key of `FORMATS`, or "hub".
        splits: the names of the splits there are, of "train", "test", "valid".
    """

    def __init__(
        self, spec: str, format: str, files: dict[str, Any], folder: Path | None, config: DataConfig
    ) -> None:
        self.spec = spec
        self.format = format
        self.splits = tuple(files)
        self._files = files
        self._folder = folder
        self._config = config
        self._vocabulary: list[str] | None = None

    def load_split(self, name: str, vocabulary: Sequence[str] | None = None) -> Split:
        """Reads a split.

        The label columns are those of `vocabulary` (of a trained model); labels it does not hold
        are dropped and counted. Without it: where labels are names, the names that occur in the
        training split, sorted; where they are numbers, all columns of the file, named by
        `labels.txt` or their number.

        Raises:
            InputError: no such split, a fault in a file (with its line), no documents, training
                without any label, a training label that `labels.txt` does not hold, no vocabulary
                for a set without training split.
        """
        if name not in self._files:
            raise InputError(
                f"{self.spec}: has no split '{name}'; it has: {', '.join(self.splits)}"
            )
        if self.format in MATRIX_FORMATS:
            split = self._load_matrices(name, vocabulary)
        else:
            split = self._load_documents(name, vocabulary)
        if name == "train" and not split.labels.nnz:
            known = "" if vocabulary is None else " that the vocabulary holds"
            raise InputError(
                f"{self._place(name)}: no document has a label{known}; at least one needed to "
                "learn from"
            )
        return split

    def _load_documents(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        allowed = None
        if name == "train":
            if self._label_file and vocabulary is None:
                allowed = set(read_labels(self._label_file))
        elif vocabulary is None:
            vocabulary = self._train_vocabulary()
        split = collect_documents(name, self._place(name), self._read(name), vocabulary, allowed)
        if name == "train" and vocabulary is None:
            self._vocabulary = split.vocabulary
        return split

    def _load_matrices(self, name: str, vocabulary: Sequence[str] | None) -> Split:
        features, texts, labels = FORMATS[self.format].read_matrices(self._files[name])
        names = [str(i) for i in range(labels.shape[1])]
        if self._label_file:
            names = read_labels(self._label_file)
            if len(names) != labels.shape[1]:
                raise InputError(
                    f"{self._label_file}: {len(names)} names, but {self._place(name)} has "
                    f"{labels.shape[1]} labels; "
                    "a name for each needed"
                )
        vocabulary = names if vocabulary is None else list(vocabulary)
        labels, n_unknown = map_columns(labels, names, vocabulary)
        if features is not None:
            features = scale_rows(features, self._config.vector_norm)
        return Split(name, vocabulary, labels, texts, features, n_unknown)

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

    def _read(self, name: str) -> Iterator[Document]:
        files = self._files[name]
        if self.format == "hub":
            return hub.read_documents(files, self._place(name), self._config)
        if self.format == "table":
            return table.read_documents(files, self._config, self._separator)
        return FORMATS[self.format].read_documents(files, self._config)

    @cached_property
    def _separator(self) -> str:
        """One for all splits, so that a name is cut the same way in each."""
        return table.choose_separator(self._files[self.splits[0]], self._config)

    @cached_property
    def _label_file(self) -> Path | None:
        path = self._folder / "labels.txt" if self._folder else None
        return path if path and path.is_file() else None

    def _place(self, name: str) -> str:
        files = self._files[name]
        if self.format == "hub":
            return f"{self.spec} [{name}]"
        return str(files[-1] if isinstance(files, tuple) else files)


def open_dataset(spec: str | os.PathLike, config: DataConfig | None = None) -> Dataset:
    """Recognises a data set: a folder, `FORMAT:FOLDER`, `bundled:wordnet` or `hf:NAME[:CONFIG]`.

    Raises:
        InputError: no such folder, a folder of no known format (with what was looked for) or of
            two, unknown names.
    """
    text, config = os.fspath(spec), config or DataConfig()
    prefix, colon, rest = text.partition(":")
    if colon and not os.path.isdir(text):
        if prefix == "bundled":
            if rest not in BUNDLED:
                raise InputError(f"no bundled data set '{rest}'{suggest(rest, BUNDLED)}")
            return _open_folder(text, BUNDLED[rest], ("jsonl",), config)
        if prefix == "hf":
            return Dataset(text, "hub", hub.load_splits(text), None, config)
        if prefix in FORMATS:
            return _open_folder(text, Path(rest), (prefix,), config)
    return _open_folder(text, Path(text), tuple(FORMATS), config)


def _open_folder(spec: str, folder: Path, formats: Sequence[str], config: DataConfig) -> Dataset:
    if not folder.is_dir():
        what = (
            f"is a file; give its folder, {folder.parent}" if folder.exists() else "no such folder"
        )
        known = ", ".join(f"bundled:{name}" for name in BUNDLED)
        raise InputError(f"data '{spec}': {what} (or {known}, or hf:NAME)")
    found = {name: files for name in formats if (files := FORMATS[name].find_splits(folder))}
    if len(found) > 1:
        choices = " or ".join(f"{name}:{folder}" for name in found)
        raise InputError(f"{folder}: holds two formats, {' and '.join(found)}; write {choices}")
    if not found:
        needed = "; ".join(f"{FORMATS[name].LOOKED_FOR} ({name})" for name in formats)
        raise InputError(
            f"{folder}: no data set there; looked for (or the same with test): {needed}"
        )
    [(name, files)] = found.items()
    return Dataset(spec, name, files, folder, config)
