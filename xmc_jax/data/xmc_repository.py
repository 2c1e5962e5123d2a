"""The XMC repository's text format: header `N D L`, then a line `l1,l2 f:v f:v` per document."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Matrices, Reader
from xmc_jax.data.lines import read_byte_lines, read_part_lines
from xmc_jax.data.matrices import check_features, check_labels
from xmc_jax.errors import InputError

_IDS = rb"\d{1,10}(?:,\d{1,10})*+"
_SIGNED = rb"[-+]?\d+(?:,[-+]?\d+)*"
_FEATURE = rb"\d{1,10}:[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
_LINE = re.compile(rb"(" + _IDS + rb")?+((?:[ \t]++" + _FEATURE + rb")*+)[ \t]*+")
_ROW = re.compile(rb"(?:" + _SIGNED + rb")?+(?:[ \t]++" + _FEATURE + rb")*+[ \t]*+")
"""A line of libsvm, whose labels may have signs."""
_HEADER = re.compile(rb"\s*(\d{1,18})\s+(\d{1,18})\s+(\d{1,18})\s*")
_CHUNK = 1 << 22
"""Bytes of lines that are converted to numbers at once."""


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether a file begins with three numbers, or its second line with a label and `feature:value`."""
    if any(e in path.suffixes for e in (".csv", ".tsv", ".jsonl")):
        return False
    head = [line.encode() for line in lines[:2]]
    is_row = len(head) == 2 and b":" in head[1] and _ROW.fullmatch(head[1])
    return bool(head) and bool(_HEADER.fullmatch(head[0]) or is_row)


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return Reader(
        "l1,l2 f:v f:v",
        matrices=lambda split: Matrices(*read_matrices(files[split])),
        part_matrices=lambda split, *part: _read_part(files[split], part),
    )


def read_matrices(path: Path) -> tuple[sp.csr_matrix, None, sp.csr_matrix]:
    """Returns features [N, D], no texts, and labels [N, L].

    A line that starts with white space, or with a feature, has no labels; features need not be sorted.

    Raises:
        InputError: a malformed line or header, counts that disagree, ids out of range or repeated, values that are not
            finite; with the line.
    """
    lines = read_byte_lines(path)
    n_rows, n_features, n_labels = _parse_header(next(lines, b""), path)
    return _join_chunks(_check_count(lines, n_rows, path), str(path), n_features, n_labels)


def _read_part(path: Path, part: tuple[int, int]) -> Matrices:
    """Returns the documents of a part, and their number in all parts, from the header."""
    header = next(read_byte_lines(path), b"")
    n_rows, n_features, n_labels = _parse_header(header, path)
    lines = _drop_blank_end(read_part_lines(path, part, 1))
    name = f"{path} (part {part[0] + 1} of {part[1]})"
    return Matrices(*_join_chunks(lines, name, n_features, n_labels), n_rows)


def _drop_blank_end(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yields lines except for blank ones at the end, which are not documents there."""
    blank: list[bytes] = []
    for line in lines:
        if line.strip():
            yield from blank
            blank = []
            yield line
        else:
            blank.append(line)


def _join_chunks(
    lines: Iterator[bytes], name: str, n_features: int, n_labels: int
) -> tuple[sp.csr_matrix, None, sp.csr_matrix]:
    """Returns features, no texts, and labels of some lines."""
    parts = list(_parse_chunks(lines, name, n_features, n_labels))
    ids, values, id_counts, labels, label_counts = map(np.concatenate, zip(*parts, strict=True))
    n_rows = len(id_counts)
    ones = np.ones(len(labels), np.float32)
    x = sp.csr_matrix((values, ids, _to_offsets(id_counts)), (n_rows, n_features))
    y = sp.csr_matrix((ones, labels, _to_offsets(label_counts)), (n_rows, n_labels))
    return (
        check_features(x, name, lambda i: f"{name}:{i + 2}"),
        None,
        check_labels(y, name),
    )


def _parse_header(line: bytes, path: Path) -> tuple[int, int, int]:
    match = _HEADER.fullmatch(line)
    if b":" in line and _ROW.fullmatch(line.strip()):
        raise InputError(
            f"{path}:1: {_show(line)} given: libsvm without a header; put a first line 'N D L' there (numbers of "
            "documents, features and labels; D and L are the largest ids plus one, since ids count from 0), the same D "
            "and L in each split"
        )
    if not match:
        raise InputError(
            f"{path}:1: {_show(line)} given, a header 'N D L' needed: numbers of documents, features "
            "and labels"
        )
    n_rows, n_features, n_labels = map(int, match.groups())
    if not n_rows:
        raise InputError(f"{path}:1: no documents; at least one needed")
    if not n_features or not n_labels or max(n_features, n_labels) > np.iinfo(np.int32).max:
        raise InputError(
            f"{path}:1: {n_features} features and {n_labels} labels; 1 to 2^31 - 1 of each needed"
        )
    return n_rows, n_features, n_labels


def _check_count(lines: Iterator[bytes], n_rows: int, path: Path) -> Iterator[bytes]:
    """Yields N lines and checks that only blank lines follow."""
    n_seen = 0
    for line in lines:
        n_seen += 1
        if n_seen <= n_rows:
            yield line
        elif line.strip():
            raise InputError(
                f"{path}:{n_seen + 1}: more than the {n_rows} documents in the header; correct it"
            )
    if n_seen < n_rows:
        raise InputError(
            f"{path}:1: the header says {n_rows} documents, the file holds {n_seen}; copy it "
            "again or correct it"
        )


def _parse_chunks(
    lines: Iterator[bytes], path: str, n_features: int, n_labels: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields feature ids, values, features per row, label ids and labels per row, for a few thousand lines at a time.

    The pattern checks the form of a line; numpy then converts many lines at once.
    """

    def convert() -> tuple[np.ndarray, ...]:
        ids, values = _parse_features(tails)
        labels = (
            np.fromstring(b",".join(heads), np.int64, sep=",") if heads else np.empty(0, np.int64)
        )
        id_counts, label_counts = (
            np.array(ids_per_row, np.int64),
            np.array(labels_per_row, np.int64),
        )
        ids = _check_range(ids, id_counts, n_features, "feature", path, first)
        labels = _check_range(labels, label_counts, n_labels, "label", path, first)
        return ids, values, id_counts, labels, label_counts

    heads: list[bytes] = []
    tails: list[bytes] = []
    ids_per_row, labels_per_row = array("q"), array("q")
    first, size = 2, 0
    for number, line in enumerate(lines, 2):
        match = _LINE.fullmatch(line) or _LINE.fullmatch(b" " + line)
        if not match:
            raise InputError(f"{path}:{number}: {_find_fault(line)}")
        head, tail = match.groups()
        if head:
            heads.append(head)
        if tail:
            tails.append(tail)
        labels_per_row.append(head.count(b",") + 1 if head else 0)
        ids_per_row.append(tail.count(b":"))
        size += len(line)
        if size > _CHUNK:
            yield convert()
            heads, tails, ids_per_row, labels_per_row = [], [], array("q"), array("q")
            first, size = number + 1, 0
    yield convert()


def _parse_features(tails: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids and float32 values of pieces that hold ` f:v f:v`."""
    pairs = np.empty(0)
    if tails:
        pairs = np.fromstring(b" ".join(tails).replace(b":", b" "), np.float64, sep=" ")
    ids, values = pairs[0::2].astype(np.int64), pairs[1::2]
    in_range = np.abs(values) <= np.finfo(np.float32).max
    return ids, np.where(in_range, values, np.inf).astype(
        np.float32
    )  # `check_features` refuses infinity


def _check_range(
    ids: np.ndarray, counts: np.ndarray, end: int, what: str, path: str, first: int
) -> np.ndarray:
    """Returns the ids as int32 if all are below `end`, else raises an error with the line; `first` is that of row 0."""
    if len(ids) and ids.max() >= end:
        at = int((ids >= end).argmax())
        line = first + int(np.searchsorted(_to_offsets(counts), at, side="right")) - 1
        raise InputError(
            f"{path}:{line}: {what} {ids[at]} is out of range; the header says {end}, so ids are 0 to "
            f"{end - 1}"
        )
    return ids.astype(np.int32)


def _to_offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


def _find_fault(line: bytes) -> str:
    """Returns which part of a line is malformed."""
    for i, token in enumerate(line.split()):
        if i or b":" in token or line[:1].isspace():
            if not re.fullmatch(_FEATURE, token):
                return f"{_show(token)} given, 'feature:value' with a finite value needed"
        elif not re.fullmatch(_IDS, token) and re.fullmatch(_SIGNED, token):
            return (
                f"label {_show(token)} given, whole numbers from 0 to L - 1 needed; of a file with the classes +1 and "
                "-1, write 1 and 0"
            )
        elif not re.fullmatch(_IDS, token):
            return (
                f"{_show(token)} given, label numbers with commas and no spaces between them needed"
            )
    return f"{_show(line)} given, 'l1,l2 f:v f:v' needed"


def _show(piece: bytes) -> str:
    return f"{piece.decode(errors='backslashreplace')!r:.60}"


FORMAT = Format("xmc_repository", "XMC repository", "train.txt[.gz]: N D L", open_files, accepts)
