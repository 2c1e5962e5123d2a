"""JSON: an object per line, `{"text": "...", "labels": ["name", ...]}`, or a file with one list of objects."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.columns import LABELS, TEXTS, TITLES
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import (
    decode_lines,
    open_bytes,
    read_lines,
    read_part_lines,
    settle_encoding,
)
from xmc_jax.data.reading import open_records
from xmc_jax.data.records import Records
from xmc_jax.errors import InputError, tell
from xmc_jax.files import replace_file

_HEAD = 200
_BETWEEN = re.compile(r"[\s,]*")
"""Between the values of a file with several."""
_WRAPPERS = {"data", "documents", "examples", "items", "records", "results", "rows"}
"""Keys under which exports put the list of objects."""


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether a file has an ending of JSON, or begins with an object."""
    is_named = any(s in (".jsonl", ".ndjson", ".json") for s in path.suffixes[-2:])
    first = next((line for line in lines if line.strip()), "").lstrip()
    return is_named or first.startswith(('{"', "[{", "{'"))


def open_json(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return open_records(
        {split: partial(read_records, p, config) for split, p in files.items()}, config, names
    )


def read_records(path: Path, config: DataConfig) -> Records:
    """Returns the objects of a file; blank lines are skipped. The first objects determine the keys."""
    config = settle_encoding(path, config)
    whole = _read_whole(path) if _is_one_list(path, config) else None

    def objects(
        part: tuple[int, int] | None = None, name: str = str(path)
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        if whole is not None:
            yield from enumerate(whole, 1)
            return
        lines = (
            read_lines(path, config.encoding)
            if part is None
            else decode_lines(read_part_lines(path, part), name)
        )
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _unwrap(parse_object(line, name, number))

    def rows(
        columns: Sequence[str], part: tuple[int, int] | None = None, name: str = str(path)
    ) -> Iterator[tuple[int, list[Any]]]:
        for number, record in objects(part, name):
            yield number, [take(record, key, name, number) for key in columns]

    def cut(number: int, n_parts: int) -> Records:
        name = f"{path} (part {number + 1} of {n_parts})"
        part = partial(rows, part=(number, n_parts), name=name)
        return replace(found, source=name, rows=part, cut=None)

    head: list[dict[str, Any]] = []
    try:
        head += (record for _, record in islice(objects(), _HEAD))
    except InputError:
        if not head:
            raise
    keys = dict.fromkeys(key for record in head for key in record)
    is_lines = whole is None and config.encoding == "auto"
    found = Records(
        str(path),
        tuple(keys),
        rows,
        "" if whole is None else "one list",
        head=head,
        cut=cut if is_lines else None,
    )
    return found


def _is_one_list(path: Path, config: DataConfig) -> bool:
    lines = [
        line.strip() for line in islice(read_lines(path, config.encoding), 100) if line.strip()
    ]
    first = lines[0] if lines else ""
    if len(lines) == 1 and ".json" in path.suffixes:
        return True
    return (first.startswith("[") and not first.startswith("[[")) or first == "{"


def _read_whole(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file that holds one list of them, or one list per column (pandas writes both)."""
    with open_bytes(path) as stream:
        raw = stream.read()
    try:
        value = _read_stream(raw)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise InputError(
            f"{path}:{line}: is not JSON ({error}); one object per line needed"
        ) from None
    if isinstance(value, dict):
        value = _find_records(value)
    value = [_unwrap(record) for record in value]
    for i, record in enumerate(value):
        if not isinstance(record, dict):
            raise InputError(
                f'{path}:{i + 1}: {record!r:.60} given, an object such as {{"text": "..."}} needed'
            )
    return value


def _read_stream(raw: bytes) -> Any:
    """Returns the value of a file; the list of them where several follow each other, as tools print objects."""
    text = raw.decode(json.detect_encoding(raw)).lstrip("\ufeff")
    decoder, values = json.JSONDecoder(), list[Any]()
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
    if len(values) == 1:
        return values[0]
    if not values or not all(isinstance(value, dict) for value in values):
        return json.loads(text)  # which says what is wrong
    return values


def _find_records(value: dict[str, Any]) -> list[Any]:
    """Returns the objects that an object holds: a list of them, also within another object (as search engines answer),
    one per key, or the columns of a table."""
    named = next((key for key in value if key.lower() in _WRAPPERS), "")
    rows, columns = value.get(named), value.get("columns")
    if isinstance(rows, list):
        if isinstance(columns, list) and all(isinstance(row, list) for row in rows):
            return [dict(zip(columns, row, strict=False)) for row in rows]
        return rows
    if _has_columns(value):
        return _turn_columns(value)
    lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) == 1:
        return lists[0]
    inner = [v for v in value.values() if isinstance(v, dict)]
    if len(inner) == len(value) and all(map(_has_columns, inner)):
        return inner
    found = [records for v in inner if len(records := _find_records(v)) > 1]
    return found[0] if len(found) == 1 else _turn_columns(value)


def _has_columns(value: dict[str, Any]) -> bool:
    """Returns whether an object has keys that are called as texts or labels are."""
    return any(str(key).lower() in (*TEXTS, *TITLES, *LABELS) for key in value)


def _unwrap(record: Any) -> Any:
    """Returns the document in what a search engine says of it, with its id."""
    source = record.get("_source") if isinstance(record, dict) else None
    if not isinstance(source, dict) or _has_columns(
        record
    ):  # or it is a field of the document's own
        return record
    return {key: record[key] for key in ("_id",) if key in record} | source


def _turn_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    columns = {k: list(v.values()) if isinstance(v, dict) else v for k, v in value.items()}
    lengths = {len(v) if isinstance(v, list) else -1 for v in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        return [value]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def parse_object(line: str, path: str | os.PathLike, number: int) -> dict[str, Any]:
    """Returns the JSON object on a line, or raises an InputError that names the line."""
    try:
        record = json.loads(line)
    except RecursionError:
        raise InputError(
            f"{path}:{number}: the JSON is nested too deeply; a flat object needed"
        ) from None
    except ValueError as error:
        record = _parse_other(line)
        if record is None:
            raise InputError(
                f"{path}:{number}: is not JSON ({error}); one object per line needed"
            ) from None
        if number == 1 and not line.rstrip().endswith(","):
            tell(f"{path}: its lines are not JSON but objects as Python prints them; read as such")
    if not isinstance(record, dict):
        raise InputError(
            f'{path}:{number}: {line!r:.60} given, an object such as {{"text": "..."}} needed'
        )
    return record


def _parse_other(line: str) -> dict[str, Any] | None:
    """Returns an object that a comma follows, or as Python prints it (with single quotes, None, True); None: it is
    none."""
    with contextlib.suppress(ValueError):
        return json.loads(line.strip().removesuffix(","))
    if not line.lstrip().startswith(("{'", "{u'")):
        return None
    try:
        record = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return record if isinstance(record, dict) else None


def take(record: dict[str, Any], key: str, path: str | os.PathLike, number: int) -> Any:
    """Returns the value under `key`, or raises an InputError that lists the keys of the object."""
    try:
        return record[key]
    except KeyError:
        there = ", ".join(map(repr, record)) or "none"
        raise InputError(f"{path}:{number}: no key {key!r}; the object has: {there:.200}") from None


def write_documents(
    path: str | os.PathLike, documents: Iterable[tuple[str, Sequence[str]]]
) -> None:
    """Writes (text, label names) pairs as JSON lines, atomically; gzip if the name ends in `.gz`."""
    with replace_file(path) as stream:
        for text, names in documents:
            record = {"text": text, "labels": list(names)}
            stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


FORMAT = Format("jsonl", "JSON lines", "train.jsonl[.gz]", open_json, accepts)
