"""Finds the format of a file or folder by file names, and by first lines where names are not enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format
from xmc_jax.data.lines import ENDINGS, read_byte_lines, read_lines
from xmc_jax.data.split import SPLITS
from xmc_jax.errors import InputError, tell

_KINDS = (
    ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".psv", ".txt", ".parquet", ".pq", ".arrow", ".feather",
    ".ipc",
)  # fmt: skip
_TOKENS = {
    "train": "train|training|trn",
    "test": "test|testing|tst",
    "valid": "valid|validation|val|dev",
}
_OTHER = re.compile(
    r"labels?|vocab.*|names|readme.*|licen[cs]e.*|notice.*|meta|features|.*labels_text|notes",
    re.IGNORECASE,
)
"""Stems of files that hold no documents."""
_PART = re.compile(r".+-\d+-of-\d+\.\w+")
"""Name of a part of a split, as the Hugging Face hub writes them."""
_HEAD = 30
WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers")


def read_head(path: Path, config: DataConfig) -> list[str]:
    """Returns the first lines of a file, whatever bytes they contain."""
    if config.encoding != "auto":
        return list(islice(read_lines(path, config.encoding), _HEAD))
    return [line.decode(errors="replace") for line in islice(read_byte_lines(path), _HEAD)]


def open_file(path: Path, formats: Sequence[Format], config: DataConfig) -> Format:
    """Returns the format of a file: the first that accepts it.

    Raises:
        InputError: no format accepts it, or it cannot be read.
    """
    if path.suffix.lower() in WORKBOOKS:
        raise InputError(f"{path}: is a workbook; save its sheet as CSV (UTF-8) and give that")
    single = [f for f in formats if f.accepts]
    if not single:
        raise InputError(f"{path}: {formats[0].title} is a folder; give {path.parent}")
    if len(single) == 1:
        return single[0]
    binary = next((f for f in single if f.name == "parquet"), None)
    if binary is not None and binary.accepts and binary.accepts(path, []):
        return binary
    lines = read_head(path, config)
    for format in single:
        if format.accepts and format.accepts(path, lines):
            return format
    if not any(line.strip() for line in lines) and not path.stat().st_size:
        raise InputError(f"{path}: is empty; documents needed")
    first = next((line for line in lines if line.strip()), "")
    titles = ", ".join(f.title for f in single)
    raise InputError(f"{path}:1: {first!r:.60} is of no known format ({titles})")


def find_folder(
    folder: Path, formats: Sequence[Format], config: DataConfig
) -> tuple[Format, Files]:
    """Returns the format of a folder and the files of each split.

    Files named `train`, `test` and `valid` are looked for first, then files with these words in their names, then a
    single file.

    Raises:
        InputError: the folder holds no data (the message lists what was looked for), or two formats.
    """
    found: dict[str, tuple[Format, Files]] = {}
    for format in formats:
        if format.find and (files := format.find(folder)):
            found[format.name] = format, files
    single = [f for f in formats if f.accepts]
    taken = {str(p) for _, files in found.values() for p in _list_paths(files)}
    for by_name in (_find_exact, _find_by_word, _find_only):
        if found and by_name is not _find_exact:
            break
        paths = [(split, path) for split, path in by_name(folder) if str(path) not in taken]
        if (
            len(formats) == 1 and single
        ):  # the user named the format, so files in others are passed over
            fits = [
                (s, p)
                for s, p in paths
                if single[0].accepts and single[0].accepts(p, read_head(p, config))
            ]
            paths = fits or paths
        for split, path in paths:
            format = open_file(path, single, config)
            files = found.setdefault(format.name, (format, {}))[1]
            if split in files and format.name == "parquet" and _PART.fullmatch(path.name):
                before = files[split]
                files[split] = (*(before if isinstance(before, tuple) else [before]), path)
                continue
            if split in files:
                raise InputError(
                    f"{folder}: {files[split].name} and {path.name} are both there; remove one of them"
                )
            files[split] = path
    if len(found) > 1:
        choices = " or ".join(f"{name}:{folder}" for name in found)
        raise InputError(f"{folder}: holds two formats, {' and '.join(found)}; write {choices}")
    if not found:
        needed = "; ".join(f"{f.files} ({f.name})" for f in formats)
        there = [path.name for _, path in _list_data(folder)]
        if len(there) > 1:
            raise InputError(
                f"{folder}: holds {', '.join(there[:5])}, none of them called train; give one of these files, or call "
                f"them train and test (looked for: {needed})"
            )
        raise InputError(
            f"{folder}: no data set there; looked for (or the same with test): {needed}"
        )
    [(format, files)] = found.values()
    others = [
        f"{p.name} as '{s}'"
        for s, p in files.items()
        if isinstance(p, Path) and _stem(p) != s and not _PART.fullmatch(p.name)
    ]
    if format.accepts and others:
        tell(f"{folder}: reading {', '.join(others)}")
    return format, {split: files[split] for split in SPLITS if split in files}


def _list_paths(files: Files) -> list[Path]:
    return [p for f in files.values() for p in (f if isinstance(f, (tuple, list)) else [f]) if p]


def _list_data(folder: Path) -> list[tuple[str, Path]]:
    """Returns stem and path of the files that may hold documents."""
    found = []
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(
            rf"(.+?)({'|'.join(map(re.escape, _KINDS))})({'|'.join(map(re.escape, ENDINGS))})",
            path.name,
            re.IGNORECASE,
        )
        if match and path.is_file() and not path.name.startswith("."):
            found.append((match[1].lower(), path))
    return found


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _find_exact(folder: Path) -> list[tuple[str, Path]]:
    return [(stem, path) for stem, path in _list_data(folder) if stem in SPLITS]


def _find_by_word(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for stem, path in _list_data(folder):
        for split, words in _TOKENS.items():
            if re.search(
                rf"(?:^|[^a-z])(?:{words})(?:[^a-z]|$)", stem.lower()
            ) and not _OTHER.fullmatch(stem):
                found.append((split, path))
                break
    return found if any(split == "train" for split, _ in found) else []


def _find_only(folder: Path) -> list[tuple[str, Path]]:
    paths = [path for stem, path in _list_data(folder) if not _OTHER.fullmatch(stem)]
    return [("train", paths[0])] if len(paths) == 1 else []
