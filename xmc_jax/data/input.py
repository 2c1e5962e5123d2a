"""Documents to label: a file as training reads it, `.txt` with a document per line, a folder, or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from xmc_jax.config import DataConfig
from xmc_jax.data import columnar, jsonl, table
from xmc_jax.data.columns import choose_text, find_columns
from xmc_jax.data.discovery import WORKBOOKS, read_head
from xmc_jax.data.formats import FORMATS
from xmc_jax.data.jsonl import parse_object, take
from xmc_jax.data.lines import ENDINGS, decode_lines, read_lines, split_lines
from xmc_jax.data.reading import join_text
from xmc_jax.data.records import Records
from xmc_jax.errors import InputError, tell

STANDARD_INPUT = "standard input"
_RECORDS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv"), table.read_records),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), jsonl.read_records),
    **dict.fromkeys(columnar.ENDINGS, lambda path, config: columnar.read_records(path)),
}
"""Readers of rows with columns, by the ending of the file."""
_LABELLED = ("fasttext", "annif", "text2text", "libmultilabel")
"""Line formats with labels that a `.txt` file may be in."""

Field = tuple[str, dict[str, Any]]
"""A text, and the requested fields of its row."""


class Batch(NamedTuple):
    """Some documents: their texts, and for each the fields that are carried along."""

    texts: list[str]
    fields: list[dict[str, Any]]


def read_batches(
    path: str | os.PathLike,
    batch: int,
    config: DataConfig | None = None,
    stdin: IO[bytes] | None = None,
    keep: Sequence[str] = (),
) -> Iterator[Batch]:
    """Yields the documents of an input in order, `batch` (1 or more) at a time; only one batch is in memory.

    Args:
        path: a table, JSON lines, Parquet or Arrow, whose columns are chosen as for training; `.txt`, where every line
            is a document, even a blank one, unless all lines are in a format with labels; a folder of `.txt`, one
            document each; or `-` for standard input, where a line that starts with `{` is JSON and any other is text.
        batch: documents per list; the last may be shorter.
        config: names the text columns.
        stdin: a binary stream to read instead of standard input.
        keep: columns (keys of JSON) to carry along; for a folder, `file` is the file name.

    Raises:
        InputError: at once for a missing file, an unknown ending or a missing column; with its number for a line that
            cannot be read.
    """
    if batch < 1:
        raise InputError(f"batch={batch} given, 1 or more needed")
    config = config or DataConfig()
    if os.fspath(path) == "-":
        stream = sys.stdin.buffer if stdin is None else stdin
        return _batches(
            _read_mixed(decode_lines(split_lines(stream), STANDARD_INPUT), config, keep), batch
        )
    path = Path(path)
    if path.is_dir():
        return _batches(_read_folder(path, config, keep), batch)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():  # a pipe
        return _batches(_read_mixed(read_lines(path, config.encoding), config, keep), batch)
    suffixes = [s for s in path.suffixes[-2:] if s not in ENDINGS[1:]]
    ending = suffixes[-1].lower() if suffixes else ""
    if ending in _RECORDS:
        return _batches(_read_records(_RECORDS[ending](path, config), config, keep), batch)
    if ending not in (".txt", ""):
        if ending in WORKBOOKS:
            raise InputError(f"{path}: is a workbook; save its sheet as CSV (UTF-8) and give that")
        known = ", ".join((".txt", *_RECORDS))
        raise InputError(
            f"{path}: one of {known} needed (also .gz, ...), a folder of .txt, or '-' for standard input"
        )
    if keep:
        raise InputError(
            f"{path}: has no columns, so no {', '.join(map(repr, keep))}; a table or JSON lines needed"
        )
    return _batches(_read_text(path, config), batch)


def _read_text(path: Path, config: DataConfig) -> Iterator[Field]:
    head = read_head(path, config)
    for name in _LABELLED:
        format = FORMATS[name]
        is_sure = name != "libmultilabel" or all(line.count("\t") == 2 for line in head)
        if head and is_sure and format.accepts and format.accepts(path, head):
            tell(f"{path}: is read as {format.title}; the labels in it are not used")
            reader = format.open({"train": path}, config, None)
            assert reader.documents is not None
            return ((text, {}) for _, _, text, _ in reader.documents("train"))
    if config.text_column != "auto" and _is_table(head, config.text_column):
        tell(f"{path}: is read as a table, since its first line names the column of the texts")
        return _read_records(table.read_records(path, config), config, ())
    return ((line, {}) for line in read_lines(path, config.encoding))


def _is_table(head: Sequence[str], columns: str) -> bool:
    """Returns whether the first line is a header with the columns of the texts, and others."""
    first = next((line for line in head if line.strip()), "")
    wanted = {name.strip() for name in columns.split(",")}
    cells = ([cell.strip() for cell in first.split(mark)] for mark in table.DELIMITERS)
    return any(len(names) > len(wanted) and wanted <= set(names) for names in cells)


def _read_folder(folder: Path, config: DataConfig, keep: Sequence[str]) -> Iterator[Field]:
    paths = sorted(folder.glob("*.txt")) + sorted(folder.glob("*.txt.gz"))
    if not paths:
        raise InputError(
            f"{folder}: holds no .txt; a folder with a document per file needed, or a file"
        )
    if set(keep) - {"file"}:
        raise InputError(
            f"{folder}: a folder of texts has only 'file' to keep; {', '.join(keep)} given"
        )
    return (
        ("\n".join(read_lines(p, config.encoding)), {"file": p.name} if keep else {}) for p in paths
    )


def _read_records(records: Records, config: DataConfig, keep: Sequence[str]) -> Iterator[Field]:
    sample = records.sample()
    if not sample:
        return iter(())
    columns = choose_text(records, _look_for_text(records.columns, config), sample)
    for name in keep:
        find_columns(records, name, "id-column, --keep") if name not in records.columns else None
    return _join(records, columns, keep)


def _join(records: Records, columns: Sequence[str], keep: Sequence[str]) -> Iterator[Field]:
    n_text = len(columns)
    for number, values in records.rows((*columns, *keep)):
        text = _check_text(partial(join_text, values[:n_text]), records.source, number)
        yield text, dict(zip(keep, values[n_text:], strict=True))


def _read_mixed(lines: Iterable[str], config: DataConfig, keep: Sequence[str]) -> Iterator[Field]:
    columns: Sequence[str] = ()
    for number, line in enumerate(lines, 1):
        if not line.startswith("{"):
            yield line, dict.fromkeys(keep)
            continue
        record = parse_object(line, STANDARD_INPUT, number)
        if not columns:
            columns = _choose_keys(record, config, number)
        values = [take(record, key, STANDARD_INPUT, number) for key in columns]
        text = _check_text(partial(join_text, values), STANDARD_INPUT, number)
        yield text, {key: record.get(key) for key in keep}


def _look_for_text(there: Iterable[str], config: DataConfig) -> DataConfig:
    """Returns the settings for new documents, which may have a column `text` where the training set had others."""
    wanted = [name.strip() for name in config.text_column.split(",")]
    names = set(there)
    if config.text_column == "auto" or names.issuperset(wanted) or "text" not in names:
        return config
    return replace(config, text_column="text")


def _choose_keys(record: dict[str, Any], config: DataConfig, number: int) -> Sequence[str]:
    config = _look_for_text(record, config)
    if config.text_column == "auto" and "text" not in record:
        source = f"{STANDARD_INPUT}:{number}"
        return choose_text(
            Records(source, tuple(record), lambda columns: iter(()), head=[record]),
            config,
            [record],
        )
    return (
        ("text",)
        if config.text_column == "auto"
        else [n.strip() for n in config.text_column.split(",")]
    )


def _check_text(join: Any, source: str, number: int) -> str:
    try:
        text = join()
        text.encode()
        return text
    except (ValueError, AttributeError) as error:
        what = "half a surrogate pair" if isinstance(error, UnicodeEncodeError) else str(error)
        raise InputError(f"{source}:{number}: {what}") from None


def _batches(documents: Iterator[Field], batch: int) -> Iterator[Batch]:
    held = Batch([], [])
    for text, fields in documents:
        held.texts.append(text)
        held.fields.append(fields)
        if len(held.texts) == batch:
            yield held
            held = Batch([], [])
    if held.texts:
        yield held
