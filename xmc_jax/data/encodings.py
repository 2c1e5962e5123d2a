"""Which encoding a text file has that is not UTF-8."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable

from xmc_jax.errors import tell

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""UTF-32 first: its little-endian mark begins with that of UTF-16."""
_LEAST_ZEROS = 0.02
"""Share of zeros among the even or odd bytes of text in UTF-16; text of other encodings holds none."""


def find_wide(head: bytes) -> str | None:
    """Returns the name of UTF-16 or UTF-32 if a file begins so, else None."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    sample = head[: len(head) // 2 * 2]
    if len(sample) < 4:
        return None
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        part, other = sample[start::2], sample[1 - start :: 2]
        if part.count(0) > _LEAST_ZEROS * len(part) and not other.count(0):
            return name
    return None


def choose_encoding(path: str | os.PathLike, lines: Iterable[bytes]) -> str | None:
    """Returns the encoding of one byte that a file is read in, or None for a file in UTF-8 with damaged lines.

    Most of the lines that are not ASCII must be no UTF-8. It is cp1252, or Latin-1 where cp1252 has no character
    for a byte. This is a guess, and told: bytes do not say whether they are western, Cyrillic or Greek.
    """
    n_wide = n_other = 0
    codec, example = "cp1252", ""
    for line in lines:
        if line.isascii():
            continue
        try:
            line.decode()
            n_wide += 1
        except UnicodeDecodeError as error:
            n_other += 1
            try:
                text = line.decode("cp1252")
            except UnicodeDecodeError:
                codec, text = "latin-1", line.decode("latin-1")
            example = example or text[max(error.start - 12, 0) : error.start + 12].strip()
    if n_other <= n_wide:
        return None
    tell(
        f"{path}: is not UTF-8 and read as {codec} ({n_other:,} lines, such as {example!r}); "
        "--data.encoding names another, such as cp1251"
    )
    return codec
