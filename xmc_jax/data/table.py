"""CSV and TSV with a header line: one column holds the text, one the labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import SPLITS, Document, find_file
from xmc_jax.errors import InputError, suggest

LOOKED_FOR = "train.csv[.gz] or train.tsv[.gz]"
SEPARATORS = (";", "|", ",")
LONGEST_CELL = 2**31 - 1


def find_splits(folder: Path) -> dict[str, Path]:
    """Returns the file of each split that the folder holds in this format."""
    endings = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
    found = {split: find_file(folder, [split + ending for ending in endings]) for split in SPLITS}
    return {split: path for split, path in found.items() if path}


def choose_separator(path: Path, config: DataConfig) -> str:
    """Returns what separates the labels of a file: the configured text, `[` for JSON lists, else
    `;`, `|` or `,`.

    The whole column decides: a lone "Smith, John" beside "Smith, John; Doe, Jane" is one label.
    """
    if config.label_separator:
        return config.label_separator
    found: set[str] = set()
    first = True
    for _, _, cell in _read_cells(path, config):
        if first and cell.strip():
            if cell.lstrip().startswith("["):
                return "["
            first = False
        found.update(mark for mark in SEPARATORS if mark in cell)
        if SEPARATORS[0] in found:
            break
    return next((mark for mark in SEPARATORS if mark in found), ",")


def read_documents(path: Path, config: DataConfig, separator: str) -> Iterator[Document]:
    """Yields the documents of a file whose labels are separated as `choose_separator` found.

    Raises:
        InputError: a column is missing, a row has too few or too many cells, bad quotes, a bad
            list; with the line.
    """
    split: Callable[[str], object] = parse_list if separator == "[" else split_labels(separator)
    for number, text, cell in _read_cells(path, config):
        try:
            yield path, number, text, split(cell)
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from None


def split_labels(separator: str) -> Callable[[str], list[str]]:
    """Returns what cuts a cell into names; white space around them and empty pieces are dropped."""
    return lambda cell: [name for piece in cell.split(separator) if (name := piece.strip())]


def parse_list(cell: str) -> object:
    """Returns the JSON list in a cell; an empty cell is an empty list.

    Raises:
        ValueError: something else is in the cell.
    """
    if not cell.strip():
        return []
    try:
        names = json.loads(cell)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise ValueError(
            f"the labels are {cell!r:.60}, a JSON list needed as in the first row; "
            "or name what separates them with --data.label_separator"
        )
    return names


def _read_cells(path: Path, config: DataConfig) -> Iterator[tuple[int, str, str]]:
    """Yields line, text and labels cell of each row."""
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    rows = csv.reader((line + "\n" for line in read_lines(path)), delimiter=delimiter, strict=True)
    allowed = csv.field_size_limit(
        LONGEST_CELL
    )  # of the module, hence put back: documents are long
    try:
        header = next((row for row in rows if row), None)
        if header is None:
            raise InputError(f"{path}: is empty; a header line and rows needed")
        text_at = _find_column(path, header, config.text_column, "text_column")
        labels_at = _find_column(path, header, config.labels_column, "labels_column")
        end = rows.line_num
        for row in rows:
            start, end = end + 1, rows.line_num
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path}:{start}: {len(row)} cell(s), {len(header)} needed as in the header; "
                    "quote what holds "
                    f"{'a tab' if delimiter == chr(9) else 'a comma'}"
                )
            yield start, row[text_at], row[labels_at]
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: {error}; check the quotes") from None
    finally:
        csv.field_size_limit(allowed)


def _find_column(path: Path, header: list[str], name: str, option: str) -> int:
    if header.count(name) > 1:
        raise InputError(f"{path}:1: two columns are called {name!r}; rename one")
    if name not in header:
        raise InputError(
            f"{path}:1: no column {name!r}{suggest(name, header)}; set --data.{option}"
        )
    return header.index(name)
