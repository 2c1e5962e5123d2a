"""The encoding of a text file that is not UTF-8."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable

from xmc_jax.errors import InputError, tell

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""UTF-32 comes first: its little-endian mark begins with that of UTF-16."""
_LEAST_ZEROS = 0.02
"""Share of zeros among the even or odd bytes of text in UTF-16; text of other encodings holds none."""
_SAMPLE = 10_000
"""Number of bytes that decide whether a text is western."""
_INSIDE = re.compile(r"(?<=[^\W\d_])[¹²³¿¶¼¾½¥£¯¦¢±µ¡¤§©«»]+(?=[^\W\d_])")
_RUN = re.compile(rb"[\x80-\xff]+")
_HAN = "\u4e00-\u9fff\u3000-\u303f\uff00-\uff60"
_LETTERS = {
    codec: re.compile(f"[{letters}]")
    for codec, letters in {
        "cp932": f"\u3040-\u30ff{_HAN}",
        "gb18030": _HAN,
        "big5": _HAN,
        "cp949": "\uac00-\ud7a3",
        "cp1251": "а-яё",
        "koi8-r": "а-яё",
        "cp1253": "α-ώ",
        "cp1255": "א-ת",
        "cp1256": "ء-ي",
        "mac_roman": "à-öø-ÿÄÅÖÜÉÑßœ’“”",
        "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžőűăâîşţäöüĄĆĘŁŃÓŚŹŻČĎĚŇŘŠŤŮŽŐŰĂ",
    }.items()
}
"""Encodings that are neither UTF-8 nor western, with the letters that most of a text in them consists of."""


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
        # Line ends are two bytes wide: else a zero is a stray one.
        ends = sum(part[i] == 0 for i in range(len(part)) if other[i] in b"\r\n")
        narrow = sample.count(b"\n") + sample.count(b"\r")
        if part.count(0) > _LEAST_ZEROS * len(part) and not other.count(0) and 2 * ends >= narrow:
            return name
    return None


def choose_encoding(path: str | os.PathLike, lines: Iterable[bytes]) -> str | None:
    """Returns cp1252 if a file is read as western text, or None for a file in UTF-8 with damaged lines.

    Most of the lines beyond ASCII must not be UTF-8. That they are western is a guess, which is reported. In western
    text, letters beyond ASCII stand alone among others; long runs of them mean another encoding.

    Raises:
        InputError: the bytes are not western text; the message shows what they say in other encodings.
    """
    n_wide = n_other = 0
    sample, example = b"", ""
    for line in lines:
        if line.isascii():
            continue
        try:
            line.decode()
            n_wide += 1
        except UnicodeDecodeError as error:
            n_other += 1
            if len(sample) < _SAMPLE:
                sample += line + b"\n"
            text = line.decode("cp1252", "replace")
            example = example or text[max(error.start - 12, 0) : error.start + 12].strip()
    if n_other <= n_wide:
        return None
    if not _is_western(sample):
        raise InputError(
            f"{path}: is neither UTF-8 nor western text; name its encoding with --data.encoding"
            f"{_show_readings(sample)}"
        )
    tell(
        f"{path}: is not UTF-8; it is read as cp1252 ({n_other:,} lines, such as {example!r}); "
        f"--data.encoding names another, such as {_name_others(example)}"
    )
    return "cp1252"


def _name_others(example: str) -> str:
    """Returns other encodings of the alphabet, with what they make of the example."""
    raw, found = example.encode("cp1252", "replace"), []
    for codec in ("cp1250", "cp1254", "iso8859-15"):
        text = raw.decode(codec, "replace")
        if text != example and "\ufffd" not in text:
            found.append(f"{codec} ({text!r})")
    return " or ".join(found) or "cp1251"


def _is_western(sample: bytes) -> bool:
    """Returns whether bytes may be cp1252: all are defined there, letters beyond ASCII are not in long runs, and few
    signs such as `³` stand within words."""
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    text = sample.decode("cp1252")
    inside = sum(map(len, _INSIDE.findall(text)))
    if inside > 0.1 * sum(not c.isascii() for c in text):
        return False
    runs = _RUN.findall(sample)
    return sum(len(run) for run in runs if len(run) > 2) <= 0.5 * sum(map(len, runs))


def _show_readings(sample: bytes) -> str:
    """Returns what the beginning of a text says in the encodings that define all of its bytes, the likeliest first."""
    found = []
    for codec, letters in _LETTERS.items():
        try:
            text = sample.decode(codec)
        except UnicodeDecodeError:
            continue
        foreign = [c for c in text if not c.isascii()]
        likely = sum(bool(letters.match(c)) for c in foreign) / len(foreign)
        at = text.index(foreign[0])
        found.append((-likely, codec, text[at : at + 12].splitlines()[0]))
    shown = ", ".join(f"{codec} gives {text!r}" for likely, codec, text in sorted(found)[:4])
    return f": {shown}" if shown else ""
