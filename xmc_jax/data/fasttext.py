"""fastText's format: `__label__a __label__b the text` per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import Document

PREFIX = "__label__"


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether a line begins with a label (one without labels begins with its text), or each holds one."""
    held = [f" {line}" for line in lines if line.strip()]
    return any(line.lstrip().startswith(PREFIX) for line in held) or (
        bool(held) and all(f" {PREFIX}" in line for line in held)
    )


def open_lines(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    def documents(split: str) -> Iterator[Document]:
        for number, line in enumerate(read_lines(files[split], config.encoding), 1):
            if line.strip():
                yield files[split], number, *split_line(line)

    return Reader(f"labels are words that begin with {PREFIX}", documents)


def split_line(line: str) -> tuple[str, list[str]]:
    """Returns text and labels; as in fastText a label may stand anywhere in the line."""
    labels: list[str] = []
    words: list[str] = []
    for word in line.split():
        if word.startswith(PREFIX):
            labels.append(word.removeprefix(PREFIX).removesuffix(",") or word)
        elif not (word == "," and not words):
            words.append(word)
    return " ".join(words), labels


FORMAT = Format("fasttext", "fastText", "train.txt: __label__a text", open_lines, accepts)
