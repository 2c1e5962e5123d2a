"""Small data sets on disk, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read_documents(path: Path, split: str = "train", **settings) -> list[tuple[str, set[str]]]:
    """Returns texts (numbers of features) and labels, in any order of the labels."""
    found = open_dataset(path, DataConfig(**settings)).load_split(split)
    names = [{found.vocabulary[j] for j in row.indices} for row in found.labels]
    texts = found.texts if found.texts is not None else found.features.getnnz(axis=1)
    return list(zip(texts, names, strict=True))


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_files


@pytest.fixture(scope="session")
def read() -> Callable[..., list[tuple[str, set[str]]]]:
    return read_documents
