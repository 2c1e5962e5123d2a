"""Documents to label: `.txt` a document a line, `.jsonl` an object a line, or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from xmc_jax.config import DataConfig
from xmc_jax.data.jsonl import parse_object, take
from xmc_jax.data.lines import decode_lines, read_lines, split_lines
from xmc_jax.errors import InputError

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
STANDARD_INPUT = "standard input"


def read_input(
    path: str | os.PathLike,
    batch: int,
    config: DataConfig | None = None,
    stdin: IO[bytes] | None = None,
) -> Iterator[list[str]]:
    """Yields the texts of an input in order, `batch` (1 or more) at a time; no more than that is in
    memory.

    Args:
        path: a file, or `-` for standard input, where a line that starts with `{` is JSON and any
            other is text.
        batch: documents a list; the last may be shorter.
        config: names the key of the text in JSON.
        stdin: a binary stream to read in the place of standard input.

    In text every line is a document, also a blank one; in JSON lines blank lines are skipped.

    Raises:
        InputError: at once for a missing file or another ending; with the line for one that cannot
            be read.
    """
    if batch < 1:
        raise InputError(f"batch={batch} given, 1 or more needed")
    key = (config or DataConfig()).text_column
    if os.fspath(path) == "-":
        stream = sys.stdin.buffer if stdin is None else stdin
        return _batches(_read_mixed(decode_lines(split_lines(stream), STANDARD_INPUT), key), batch)
    path = Path(path)
    if not path.name.endswith(ENDINGS):
        raise InputError(f"{path}: one of {', '.join(ENDINGS)} needed, or '-' for standard input")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if ".jsonl" in path.suffixes[-2:]:
        return _batches(_read_objects(path, key), batch)
    return _batches(read_lines(path), batch)


def _read_objects(path: Path, key: str) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            yield _take_text(line, key, str(path), number)


def _read_mixed(lines: Iterable[str], key: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        yield _take_text(line, key, STANDARD_INPUT, number) if line.startswith("{") else line


def _take_text(line: str, key: str, name: str, number: int) -> str:
    text = take(parse_object(line, name, number), key, name, number)
    if not isinstance(text, str):
        raise InputError(f"{name}:{number}: the text is {text!r:.60}, a string needed")
    return text


def _batches(texts: Iterator[str], batch: int) -> Iterator[list[str]]:
    held: list[str] = []
    for text in texts:
        held.append(text)
        if len(held) == batch:
            yield held
            held = []
    if held:
        yield held
