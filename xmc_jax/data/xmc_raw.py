"""The XMC repository's raw texts: `trn.json.gz`, `tst.json.gz` and the labels' own texts in `lbl.json.gz`.

A line of the first two holds `title`, `content` and `target_ind`, which are numbers of lines in the third. A pair
(document, label) in `filter_labels_test.txt` is a label that is the document itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.jsonl import parse_object
from xmc_jax.data.lines import read_lines
from xmc_jax.data.names import LabelNames
from xmc_jax.data.split import SHORT_NAMES, Document, find_file
from xmc_jax.errors import InputError

FILTERS = {"train": "filter_labels_train.txt", "test": "filter_labels_test.txt"}


def find_splits(folder: Path) -> Files:
    """Returns the file of each split, if the labels' file is there too.

    Raises:
        InputError: documents without the labels' file.
    """
    found = {s: find_file(folder, [f"{e}.json.gz", f"{e}.json"]) for s, e in SHORT_NAMES.items()}
    files = {split: path for split, path in found.items() if path}
    if files and not find_file(folder, ["lbl.json.gz", "lbl.json"]):
        raise InputError(
            f"{next(iter(files.values()))}: stands alone; lbl.json.gz is needed beside it"
        )
    return files


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    folder = next(iter(files.values())).parent
    path = find_file(folder, ["lbl.json.gz", "lbl.json"])
    assert path is not None
    labels, display = read_label_texts(path, config)
    if names is not None and len(names) == len(labels):
        labels = list(names)

    def documents(split: str) -> Iterator[Document]:
        for number, line in enumerate(read_lines(files[split], config.encoding), 1):
            if line.strip():
                record = parse_object(line, files[split], number)
                yield files[split], number, join_title(record), _name_targets(record, labels)

    def excluded(split: str) -> Iterator[tuple[int, str]]:
        filter_file = folder / FILTERS.get(split, "")
        if filter_file.is_file():
            for row, column in read_pairs(filter_file, len(labels)):
                yield row, labels[column]

    says = f"title and content, labels by their line in {path.name}"
    if any((folder / name).is_file() for name in FILTERS.values()):
        says += ", without the pairs in filter_labels_*.txt"
    return Reader(says, documents, names=display, excluded=excluded)


def read_label_texts(path: Path, config: DataConfig) -> tuple[list[str], LabelNames]:
    """Returns the names of the labels by line, and their display names.

    The names are the titles if all differ, else `uid`, else titles where they are unique and line numbers elsewhere.
    """
    records = [
        parse_object(line, path, number)
        for number, line in enumerate(read_lines(path, config.encoding), 1)
        if line.strip()
    ]
    titles = [" ".join(join_title(record, ("title",)).split()) for record in records]
    uids = [str(record.get("uid", "")).strip() for record in records]
    counts = Counter(titles)
    if len(counts) == len(titles) and "" not in counts:
        return titles, LabelNames()
    if len(set(uids)) < len(uids) or "" in uids:
        uids = [str(i) if not t or counts[t] > 1 else t for i, t in enumerate(titles)]
        uids = [str(i) for i in range(len(titles))] if len(set(uids)) < len(uids) else uids
    return uids, LabelNames({u: t for u, t in zip(uids, titles, strict=True) if t and t != u})


def join_title(record: dict[str, Any], keys: Sequence[str] = ("title", "content")) -> Any:
    """Returns title and content joined by a space, without blank ones."""
    parts = [record[key] for key in keys if record.get(key)]
    wrong = next((part for part in parts if not isinstance(part, str)), None)
    return wrong if wrong is not None else " ".join(part.strip() for part in parts)


def _name_targets(record: dict[str, Any], labels: Sequence[str]) -> Any:
    targets = record.get("target_ind")
    if not isinstance(targets, list):
        return targets
    return [
        labels[i] if isinstance(i, int) and 0 <= i < len(labels) else {"target_ind": i}
        for i in targets
    ]


def read_pairs(path: Path, n_labels: int) -> Iterator[tuple[int, int]]:
    """Yields the pairs (document, label) of a filter file.

    Raises:
        InputError: a line that is not a pair of numbers, or an unknown label.
    """
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not all(w.isdigit() for w in words) or int(words[1]) >= n_labels:
            raise InputError(
                f"{path}:{number}: {line!r:.40} given, numbers of a document and of a label below {n_labels} needed"
            )
        yield int(words[0]), int(words[1])


FORMAT = Format(
    "xmc_raw",
    "XMC repository, raw texts",
    "trn.json.gz + lbl.json.gz",
    open_files,
    find=find_splits,
)
