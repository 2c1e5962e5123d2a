"""PECOS's text2text format: `0,1,2 TAB text` per line, where the numbers are lines of a file of label names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines
from xmc_jax.data.split import Document
from xmc_jax.errors import InputError, tell

_NUMBER = r"\d+(?::{1,2}[-+.\deE]+)?"
_LINE = re.compile(rf"({_NUMBER}(?:,{_NUMBER})*)?\t(.*)", re.DOTALL)
_NAME_FILES = (
    "output-labels.txt",
    "output_labels.txt",
    "label-texts.txt",
    "labels.txt",
    "outputs.txt",
    "Y.txt",
)


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether every line is numbers between commas, a tab and a text; some line must have several numbers."""
    matches = [_LINE.fullmatch(line) for line in lines if line.strip()]
    return (
        all(matches)
        and any("," in (m[1] or "") for m in matches if m)
        and not path.name.endswith(".csv")
    )


def open_lines(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    folder = next(iter(files.values())).parent
    found = next((folder / name for name in _NAME_FILES if (folder / name).is_file()), None)
    known = None if found is None else [line.strip() for line in read_lines(found, config.encoding)]
    known = _tell_apart(known)

    def name_of(number: str, place: str) -> str:
        if known is None:
            return number
        if int(number) >= len(known):
            raise InputError(
                f"{place}: label {number}, but {found} has {len(known)} lines, 0 to {len(known) - 1}"
            )
        return known[int(number)]

    def documents(split: str) -> Iterator[Document]:
        path, weighed = files[split], False
        for number, line in enumerate(read_lines(path, config.encoding), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise InputError(
                    f"{path}:{number}: '0,1,2 TAB text' needed: numbers of labels, a tab, the text"
                )
            labels = (match[1] or "").split(",") if match[1] else []
            weighed = weighed or ":" in (match[1] or "")
            yield (
                path,
                number,
                match[2],
                [name_of(n.partition(":")[0], f"{path}:{number}") for n in labels],
            )
        if weighed:
            tell(
                f"{path}: the weights of labels are left out; to use them, give fit(relevance=...) in Python"
            )

    says = f"numbers of the lines of {found.name}" if found else "numbers of labels"
    return Reader(f"{says}, a tab, text", documents)


def _tell_apart(names: list[str] | None) -> list[str] | None:
    """Returns the names, with the line's number added to those that are repeated or blank."""
    if names is None:
        return None
    seen: set[str] = set()
    result = []
    for i, name in enumerate(names):
        result.append(f"{name} ({i})".strip() if name in seen or not name else name)
        seen.add(name)
    return result


FORMAT = Format("text2text", "PECOS text2text", "train.txt: 0,1,2 TAB text", open_lines, accepts)
