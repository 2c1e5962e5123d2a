"""JSON lines: one object a line, `{"text": "...", "labels": ["name", ...]}`, plain or gzip."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import SPLITS, Document, find_file
from xmc_jax.errors import InputError
from xmc_jax.files import replace_file

LOOKED_FOR = "train.jsonl[.gz]"


def find_splits(folder: Path) -> dict[str, Path]:
    """Returns the file of each split that the folder holds in this format."""
    found = {split: find_file(folder, [f"{split}.jsonl", f"{split}.jsonl.gz"]) for split in SPLITS}
    return {split: path for split, path in found.items() if path}


def read_documents(path: Path, config: DataConfig) -> Iterator[Document]:
    """Yields the documents of a file; blank lines are skipped.

    Raises:
        InputError: a line that is not a JSON object with a text and labels, with its number.
    """
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        record = parse_object(line, path, number)
        text = take(record, config.text_column, path, number)
        yield path, number, text, take(record, config.labels_column, path, number)


def parse_object(line: str, path: str | os.PathLike, number: int) -> dict[str, Any]:
    """Returns the JSON object on a line, or raises an InputError that names the line."""
    try:
        record = json.loads(line)
    except RecursionError:
        raise InputError(
            f"{path}:{number}: the JSON is nested too deeply; a flat object needed"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path}:{number}: is not JSON ({error}); one object a line needed"
        ) from None
    if not isinstance(record, dict):
        raise InputError(
            f'{path}:{number}: {line!r:.60} given, an object such as {{"text": "..."}} needed'
        )
    return record


def take(record: dict[str, Any], key: str, path: str | os.PathLike, number: int) -> Any:
    """Returns what the object holds under `key`, or raises an InputError that names the keys there
    are."""
    try:
        return record[key]
    except KeyError:
        there = ", ".join(map(repr, record)) or "none"
        raise InputError(f"{path}:{number}: no key {key!r}; the object has: {there:.200}") from None


def write_documents(
    path: str | os.PathLike, documents: Iterable[tuple[str, Sequence[str]]]
) -> None:
    """Writes (text, label names) pairs as JSON lines, in one move; gzip if the name ends in
    `.gz`."""
    with replace_file(path) as stream:
        for text, names in documents:
            record = {"text": text, "labels": list(names)}
            stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
