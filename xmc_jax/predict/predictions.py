"""Predictions: the ranked labels and scores of each document, and ways to write them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.errors import InputError
from xmc_jax.files import check_target, replace_file
from xmc_jax.predict.display import show_html, show_text, to_frame
from xmc_jax.types import PAD

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Predictions:
    """Ranked labels of N documents, best first.

    Attributes:
        ids: int32 [N, R], in [0, L); PAD in unused slots, which are at the end of a row.
        scores: float32 [N, R], finite, descending in a row; set to 0 in PAD slots.
        label_names: the name of each id (any sequence of L strings), or None.
        n_labels: L.
        probabilities: float32 [N, R] in [0, 1], the probability that each label is right; 0 in PAD slots. None if the
            model has none.

    Arrays of other number types, also on a device, are converted. `len`, slices, index arrays and
    iteration go by document; one document is `Predictions` with one row.

    Raises:
        InputError: shapes differ, an id outside [0, L), a nan or infinite score, a probability outside [0, 1].

    >>> found = Predictions([[2, 0], [1, -1]], [[0.9, 0.2], [0.7, 0.0]], ["cat", "dog", "owl"], 3)
    >>> found.names()
    [['owl', 'cat'], ['dog']]
    >>> found.to_csr().shape
    (2, 3)
    """

    ids: Int[np.ndarray, "N R"]
    scores: Float[np.ndarray, "N R"]
    label_names: Sequence[str] | None
    n_labels: int
    probabilities: Float[np.ndarray, "N R"] | None = None

    def __post_init__(self) -> None:
        ids, scores = np.asarray(self.ids), np.asarray(self.scores)
        if ids.ndim != 2 or ids.shape != scores.shape:
            raise InputError(
                f"ids of shape {ids.shape}, scores of {scores.shape} given, [N, R] of both needed"
            )
        if not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"ids of type {ids.dtype} given, integers needed")
        low, high = ids.min(initial=0), ids.max(initial=PAD)
        if low < PAD or high >= self.n_labels:
            raise InputError(
                f"ids from {low} to {high} given, {PAD} (none) to {self.n_labels - 1} needed"
            )
        if self.label_names is not None and len(self.label_names) != self.n_labels:
            raise InputError(f"{len(self.label_names)} label names given, {self.n_labels} needed")
        unused = ids == PAD
        scores = scores.astype(np.float32, copy=False)
        if unused.any() and scores[unused].any():
            scores = np.where(unused, np.float32(0), scores)
        if not np.isfinite(scores).all():
            row = int(np.argwhere(~np.isfinite(scores))[0, 0])
            raise InputError(f"a score of document {row} is nan or infinite, finite scores needed")
        object.__setattr__(self, "ids", ids.astype(np.int32, copy=False))
        object.__setattr__(self, "scores", scores)
        if self.probabilities is not None:
            object.__setattr__(self, "probabilities", _check_probabilities(self.probabilities, ids))

    @property
    def n_rows(self) -> int:
        return self.ids.shape[0]

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: int | slice | np.ndarray) -> Predictions:
        if isinstance(rows, (int, np.integer)):
            if not -self.n_rows <= rows < self.n_rows:
                raise IndexError(f"document {rows} of {self.n_rows}")
            rows = np.array([rows])
        there = self.probabilities
        return replace(
            self,
            ids=self.ids[rows],
            scores=self.scores[rows],
            probabilities=None if there is None else there[rows],
        )

    def __repr__(self) -> str:
        return show_text(self)

    def _repr_html_(self) -> str:
        return show_html(self)

    def to_frame(self) -> Any:
        """Returns a pandas data frame with one row per label of each document: `document`, `rank`, `label`, `score`
        and `probability`, if there are any.

        Raises:
            InputError: pandas is not installed.
        """
        return to_frame(self)

    def names(self) -> list[list[str]]:
        """Returns the label names of every document, best first, without unused slots."""
        names = self.label_names
        if names is None:
            raise InputError(
                "predictions without label names given, names needed: give label_names, or use .ids"
            )
        return [[names[i] for i in row if i != PAD] for row in self.ids.tolist()]

    def display_names(self) -> list[list[str]]:
        """Returns the display names of the labels of each document, best first, or their names if there are none."""
        display = getattr(self.label_names, "names", None)
        return [
            [label if display is None else display.show(label) for label in row]
            for row in self.names()
        ]

    def to_csr(self) -> sp.csr_matrix:
        """Returns the scores as float32 CSR [N, L]; a predicted label of score 0 is stored."""
        used = self.ids != PAD
        ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        matrix = sp.csr_matrix(
            (self.scores[used], self.ids[used], ends), (self.n_rows, self.n_labels)
        )
        matrix.sort_indices()
        return matrix

    def to_jsonl(
        self,
        target: str | os.PathLike[str] | TextIO,
        fields: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Writes one line `{"labels": [...], "scores": [...]}` per document, best label first; with `"probabilities"`
        if there are any.

        Labels are names, or ids if there are no names. Scores have the fewest digits that restore the same float32.

        Args:
            target: an open text file, or a path (compressed if it ends in .gz). A file at the path is replaced only
                once all lines are written.
            fields: fields of each document that are written before its labels, such as `{"id": 7}`.

        Raises:
            InputError: a path that cannot be written to.
            RunError: writing failed; an existing file is untouched.
        """
        if isinstance(target, (str, os.PathLike)):
            _write_file(os.fspath(target), self, fields)
        else:
            _write_lines(target, self, fields)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Joins predictions of batches, in order; rows with fewer results are padded.

    Raises:
        InputError: no part, or parts of different label sets.
    """
    if not parts:
        raise InputError("no predictions given, one part or more needed")
    first = parts[0]
    for part in parts[1:]:
        if part.n_labels != first.n_labels or not _same_names(part.label_names, first.label_names):
            raise InputError("predictions of different label sets given, one label set needed")
    width = max(part.ids.shape[1] for part in parts)
    ids = np.full((sum(map(len, parts)), width), PAD, np.int32)
    scores = np.zeros(ids.shape, np.float32)
    start = 0
    for part in parts:
        rows, columns = slice(start, start + len(part)), slice(part.ids.shape[1])
        ids[rows, columns], scores[rows, columns] = part.ids, part.scores
        start += len(part)
    found = None
    if all(part.probabilities is not None for part in parts):
        found, start = np.zeros(ids.shape, np.float32), 0
        for part in parts:
            found[start : start + len(part), : part.ids.shape[1]] = part.probabilities
            start += len(part)
    return Predictions(ids, scores, first.label_names, first.n_labels, found)


def _check_probabilities(given: np.ndarray, ids: np.ndarray) -> np.ndarray:
    values = np.where(ids == PAD, np.float32(0), np.asarray(given).astype(np.float32, copy=False))
    if values.shape != ids.shape or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"probabilities of shape {np.shape(given)} given, numbers in [0, 1] of shape {ids.shape} needed"
        )
    return values


def _same_names(one: Sequence[str] | None, other: Sequence[str] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or list(one) == list(other)


def list_lines(
    predictions: Predictions, fields: Sequence[dict[str, Any]] | None = None
) -> Iterator[str]:
    """Yields a JSON line per document.

    Args:
        predictions: predictions of N documents.
        fields: [N], fields of each document that are written before its labels.
    """
    for start in range(0, len(predictions), _ROWS_AT_ONCE):
        block = predictions[start : start + _ROWS_AT_ONCE]
        labels: list[list[Any]]
        if predictions.label_names is None:
            labels = [[i for i in row if i != PAD] for row in block.ids.tolist()]
        else:
            labels = block.names()
        display = getattr(predictions.label_names, "names", None)
        used = (block.ids != PAD).tolist()
        columns = {"scores": block.scores, "probabilities": block.probabilities}
        # NumPy prints a float32 with the fewest digits that identify it, in JSON's notation.
        digits = {k: v.astype(str).tolist() for k, v in columns.items() if v is not None}
        for i, (row, kept) in enumerate(zip(labels, used, strict=True)):
            parts = [f'"labels": {json.dumps(row, ensure_ascii=False)}']
            if fields is not None and fields[start + i]:
                carried = json.dumps(fields[start + i], ensure_ascii=False, default=str)
                parts.insert(0, carried[1:-1])
            if display is not None:
                shown = [display.show(label) for label in row]
                parts.append(f'"names": {json.dumps(shown, ensure_ascii=False)}')
            for name, texts in digits.items():
                numbers = ", ".join(t for t, keep in zip(texts[i], kept, strict=True) if keep)
                parts.append(f'"{name}": [{numbers}]')
            line = "{" + ", ".join(parts) + "}\n"
            # A lone surrogate in a name has no UTF-8 form, but its backslash form is also JSON's escape.
            yield line.encode("utf-8", "backslashreplace").decode("utf-8")


def _write_lines(
    file: TextIO, predictions: Predictions, fields: Sequence[dict[str, Any]] | None = None
) -> None:
    file.writelines(list_lines(predictions, fields))


def _write_file(
    path: str, predictions: Predictions, fields: Sequence[dict[str, Any]] | None
) -> None:
    check_target(path)
    with replace_file(path) as stream:
        file = io.TextIOWrapper(stream, encoding="utf-8", newline="\n", write_through=True)
        _write_lines(file, predictions, fields)
        file.detach()
