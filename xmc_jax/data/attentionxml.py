"""AttentionXML's format: `train_texts.txt` with one text per line, `train_labels.txt` with its labels between
spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import SPLITS, Document, find_file_pairs
from xmc_jax.errors import InputError

Pair = tuple[Path, Path]


def find_splits(folder: Path) -> Files:
    """Returns the files (texts, labels) of each split that the folder holds in this format.

    Raises:
        InputError: one of the two without the other.
    """
    names = {split: (f"{split}_texts.txt", f"{split}_labels.txt") for split in SPLITS}
    return find_file_pairs(folder, names)


def read_documents(files: Pair, config: DataConfig) -> Iterator[Document]:
    """Yields the documents of a split; trailing lines that are blank in both files are not documents.

    Raises:
        InputError: one file has more lines than the other.
    """
    text_path, label_path = files
    n_blank = 0
    pairs = zip_longest(
        read_lines(text_path, config.encoding), read_lines(label_path, config.encoding)
    )
    for number, (text, labels) in enumerate(pairs, 1):
        if not (text or "").strip() and not (labels or "").strip():
            n_blank += 1  # a document only if something follows it
            continue
        if text is None or labels is None:
            short, long = (text_path, label_path) if text is None else (label_path, text_path)
            raise InputError(
                f"{long}:{number}: {short} ends before this line; both need one line per document"
            )
        for earlier in range(number - n_blank, number):
            yield label_path, earlier, "", []
        n_blank = 0
        yield label_path, number, text, [name for name in re.split("[ \t]", labels) if name]


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return Reader("labels between spaces", lambda split: read_documents(files[split], config))


FORMAT = Format(
    "attentionxml",
    "AttentionXML",
    "train_texts.txt[.gz] + train_labels.txt[.gz]",
    open_files,
    find=find_splits,
)
