"""A folder per label with a text file per document, as scikit-learn's `load_files` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import SPLITS, Document, find_folders


def find_splits(folder: Path) -> Files:
    """Returns the text files of each split: below `train`, `test`, `valid`, else below the folder."""
    return find_folders(folder, _list_texts)


def _list_texts(folder: Path) -> list[Path]:
    if not folder.is_dir() or any(folder.glob("*.txt")):
        return []
    return [p for p in sorted(folder.glob("*/*.txt")) if p.parent.name not in SPLITS]


def open_folder(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    def documents(split: str) -> Iterator[Document]:
        for path in files[split]:
            yield path, 1, "\n".join(read_lines(path, config.encoding)), [path.parent.name]

    return Reader(
        "a file per document, in the folder of its label; equal texts are one document",
        documents,
        joins=True,
    )


FORMAT = Format("text_folders", "folders of texts", "LABEL/*.txt", open_folder, find=find_splits)
