"""The encoding of a text file that is not UTF-8."""

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
"""UTF-32 comes first: its little-endian mark begins with that of UTF-16."""
_LEAST_ZEROS = 0.02
"""Share of zeros among the even or odd bytes of text in UTF-16; text of other encodings holds none."""


def find_wide(head: bytes) -> str | None:
    """Returns the name of the UTF-16 or UTF-32 codec if a file begins like one of them, else None."""
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
    """Returns the single-byte encoding to read a file in, or None for a UTF-8 file with damaged lines.

    An encoding is returned only if most lines that are not ASCII are not valid UTF-8: cp1252, or Latin-1 if cp1252
    lacks one of the bytes. This is a guess, and reported as one: bytes do not show whether they are western, Cyrillic
    or Greek.
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
        f"{path}: is not UTF-8; it is read as {codec} ({n_other:,} lines, such as {example!r}); "
        "--data.encoding names another, such as cp1251"
    )
    return codec
