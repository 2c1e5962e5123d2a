"""LibMultiLabel's format: `id TAB labels TAB text`, or without the id; labels are separated by spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.columns import LABELS, TEXTS, TITLES
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import Document
from xmc_jax.errors import InputError


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether all lines have two or three cells, the last with the longest text, and there is no header."""
    rows = [line.split("\t") for line in lines if line.strip()]
    widths = {len(row) for row in rows}
    if not rows or widths not in ({2}, {3}) or ".csv" in path.suffixes:
        return False
    if any(cell.strip(' "').lower() in (*LABELS, *TEXTS, *TITLES, "id") for cell in rows[0]):
        return False
    words = [sum(len(row[i].split()) for row in rows) / len(rows) for i in range(len(rows[0]))]
    if widths == {3}:
        return words[-1] >= words[1] and all(" " not in row[0].strip() for row in rows)
    return words[-1] >= 2 * words[0]


def open_lines(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    first = next(iter(files.values()))
    width = next(
        (line.count("\t") + 1 for line in read_lines(first, config.encoding) if line.strip()), 0
    )
    separator = (
        None if config.label_separator in ("auto", "", " ", "space") else config.label_separator
    )

    def documents(split: str) -> Iterator[Document]:
        for number, line in enumerate(read_lines(files[split], config.encoding), 1):
            if not line.strip():
                continue
            cells = line.split("\t")
            if len(cells) != width:
                form = "'id TAB labels TAB text'" if width == 3 else "'labels TAB text'"
                raise InputError(
                    f"{files[split]}:{number}: {len(cells)} cell(s); {form} needed as in line 1"
                )
            yield files[split], number, cells[-1], [n.strip() for n in cells[-2].split(separator)]

    form = "id, labels between spaces, text" if width == 3 else "labels between spaces, text"
    return Reader(f"{form}, separated by tabs", documents)


FORMAT = Format(
    "libmultilabel", "LibMultiLabel", "train.txt: id TAB labels TAB text", open_lines, accepts
)
