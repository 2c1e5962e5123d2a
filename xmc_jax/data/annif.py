"""Annif's corpora: `text TAB <uri> <uri>` per line, and folders of `.txt` documents with `.key`, `.tsv` or `.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.labels import bare_uri
from xmc_jax.data.lines import open_bytes, read_lines
from xmc_jax.data.literals import name_of
from xmc_jax.data.names import LabelNames
from xmc_jax.data.split import Document, find_folders
from xmc_jax.errors import InputError, tell

_URI = re.compile(r"<[^<>\s]+>|(?:https?://|urn:)\S+")
_LINE = re.compile(rf"(.*?)\t((?:\s*(?:{_URI.pattern}))*\s*)", re.DOTALL)
"""A text up to the first tab with nothing but URIs behind it."""
_SUBJECTS = (".tsv", ".key")
"""Endings of the files with a document's labels: URI and name per line, or one of the two."""


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether lines are a text, a tab and URIs; a line without labels may end with the tab."""
    found = [_LINE.fullmatch(line) for line in lines if line.strip()]
    return all(found) and any(match and match[2].strip() for match in found)


def open_lines(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    def documents(split: str) -> Iterator[Document]:
        path = files[split]
        for number, line in enumerate(read_lines(path, config.encoding), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise InputError(
                    f"{path}:{number}: no tab and URIs at its end; 'text TAB <uri> <uri>' needed"
                )
            yield path, number, match[1], [bare_uri(uri) for uri in _URI.findall(match[2])]

    return Reader("text, a tab, URIs between spaces", documents)


def find_splits(folder: Path) -> Files:
    """Returns the documents of each split: those of the folders `train`, `test`, `valid`, else of the folder."""
    return find_folders(folder, _list_documents)


def _list_documents(folder: Path) -> list[Path]:
    """Returns the documents of a folder, texts before objects, each by name, if any has labels beside it."""
    if not folder.is_dir():
        return []
    texts = sorted(folder.glob("*.txt"))
    names = {p.name for p in folder.iterdir()}
    labelled = [p for p in texts if any(p.stem + ending in names for ending in _SUBJECTS)]
    whole = [p for p in sorted(folder.glob("*.json")) if _holds_document(p)]
    return [*texts, *whole] if labelled or (whole and not texts) else []


def _holds_document(path: Path) -> bool:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        return False
    return isinstance(value, dict) and "subjects" in value


def open_folder(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    display: dict[str, str] = {}

    def documents(split: str) -> Iterator[Document]:
        bare = 0
        for path in files[split]:
            if path.suffix == ".json":
                yield _read_object(path, display)
                continue
            beside = next((p for e in _SUBJECTS if (p := path.with_suffix(e)).is_file()), None)
            if beside is None:
                bare += 1
                continue
            text = "\n".join(read_lines(path, config.encoding))
            yield path, 1, text, list(_read_subjects(beside, config, display))
        if bare:
            n = len(files[split])
            tell(
                f"{files[split][0].parent}: {bare:,} of {n:,} documents have no label file and are left out"
            )

    return Reader("a file per document, its labels beside it", documents, names=LabelNames(display))


def _read_subjects(path: Path, config: DataConfig, display: dict[str, str]) -> Iterator[str]:
    """Yields the labels of a document: URIs, or names where there are no URIs."""
    for line in read_lines(path, config.encoding):
        cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
        if not cells:
            continue
        uri = next((bare_uri(cell) for cell in cells if cell != bare_uri(cell)), None)
        label = cells[0] if uri is None else uri
        names = [cell for cell in cells if bare_uri(cell) != label]
        if names:
            display.setdefault(label, names[0])
        yield label


def _read_object(path: Path, display: dict[str, str]) -> Document:
    with open_bytes(path) as stream:
        value: dict[str, Any] = json.loads(stream.read())
    labels = []
    for subject in value["subjects"] or []:
        label = bare_uri(str(name_of(subject))) if isinstance(subject, dict) else subject
        if isinstance(subject, dict) and subject.get("label"):
            display.setdefault(label, subject["label"])
        labels.append(label)
    return path, 1, value.get("text") or (value.get("metadata") or {}).get("title") or "", labels


FORMAT = Format("annif", "Annif corpus", "train.tsv: text TAB <uri> <uri>", open_lines, accepts)
FOLDER_FORMAT = Format(
    "annif_folder",
    "Annif full-text corpus",
    "*.txt + *.key or *.tsv",
    open_folder,
    find=find_splits,
)
