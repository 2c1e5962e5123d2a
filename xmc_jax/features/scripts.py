"""The parts of Unicode that belong to words: combining marks, signs as in `C++`, scripts without blanks between
words."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np

# Han and kana: words have one to three characters, most of them two.
_SYLLABIC = (
    (0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3041, 0x309F), (0x30A1, 0x30FA),
    (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0xFF66, 0xFF9D),
    (0x1B000, 0x1B16F), (0x20000, 0x323AF),
)  # fmt: skip
# Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet: letters with marks, words of several letters.
_ALPHABETIC = (
    (0x0E01, 0x0E3A), (0x0E40, 0x0E4E), (0x0E81, 0x0ECE), (0x0EDC, 0x0EDF), (0x1000, 0x103F), (0x1050, 0x108F),
    (0x109A, 0x109D), (0x1780, 0x17D3), (0x17D7, 0x17D7), (0x17DC, 0x17DD), (0x1950, 0x19C9), (0x1A20, 0x1A7C),
    (0x1AA7, 0x1AA7), (0xA9E0, 0xA9EF), (0xAA60, 0xAA7F), (0xAA80, 0xAADF),
)  # fmt: skip
SYLLABIC, ALPHABETIC = 1, 2
GRAMS = {SYLLABIC: (1, 2), ALPHABETIC: (2, 4)}
"""Lengths in characters of the shortest and longest terms, by kind of script."""

# Marks that texts may carry or leave out: accents of Latin, Greek and Cyrillic, points of Hebrew, Arabic, Syriac.
_OPTIONAL = (
    (0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06ED), (0x0711, 0x0711), (0x0730, 0x074A), (0x0898, 0x08FF), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF),
    (0x20D0, 0x20F0), (0xFE20, 0xFE2F),
)  # fmt: skip
_JOINERS = "\u00ad\u200c\u200d\u2060\ufe0e\ufe0f"
"""Soft hyphens, joiners and variation selectors: they change how letters look, not which letters they are."""

OPENING = frozenset(b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f([{\"',;:/")
"""Characters that may precede the point of `.NET`."""


def _fill() -> np.ndarray:
    kinds = np.zeros(0x110000, np.uint8)
    for kind, ranges in ((SYLLABIC, _SYLLABIC), (ALPHABETIC, _ALPHABETIC)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    return kinds


@lru_cache(maxsize=1)
def blankless_kinds() -> np.ndarray:
    """Returns uint8 [0x110000]: `SYLLABIC` or `ALPHABETIC` for code points of scripts without blanks, else 0."""
    return _fill()


def blankless_kind(c: str) -> int:
    """Returns the kind of script of a character, 0 for scripts with blanks between words."""
    point = ord(c)
    ranges = {SYLLABIC: _SYLLABIC, ALPHABETIC: _ALPHABETIC}
    return next((k for k, rs in ranges.items() if any(a <= point <= b for a, b in rs)), 0)


def is_optional_mark(c: str) -> bool:
    """Returns whether a character is an accent or point that is stripped with the accents."""
    point = ord(c)
    return unicodedata.combining(c) > 0 and any(a <= point <= b for a, b in _OPTIONAL)


def is_joiner(c: str) -> bool:
    return c in _JOINERS


def is_mark(c: str) -> bool:
    """Returns whether a character is a combining mark: a vowel sign, a virama, an accent."""
    return unicodedata.category(c)[0] == "M"


_NOWHERE = np.empty(0, np.int64)
_WORD = np.zeros(256, bool)
_WORD[128:] = True
_WORD[
    [
        *range(ord("0"), ord("9") + 1),
        *range(ord("A"), ord("Z") + 1),
        ord("_"),
        *range(ord("a"), ord("z") + 1),
    ]
] = True
_LETTER = np.zeros(256, bool)
_LETTER[[*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)]] = True
_OPENS = np.zeros(256, bool)
_OPENS[list(OPENING)] = True


def find_signs(text: bytes) -> np.ndarray:
    """Returns the places in a text, which ends in a newline, of signs that belong to a word.

    These are `#` after a word of one or two letters (`C#`), `++` after a letter (`C++`), and `.` at the start of a word
    (`.NET`).
    """
    raw = np.frombuffer(text, np.uint8)
    last = len(raw) - 1

    def at(places: np.ndarray, step: int) -> np.ndarray:
        return raw[np.minimum(places + step, last)]  # below 0 it is the newline at the end

    sharp = np.flatnonzero(raw == ord("#")) if b"#" in text else _NOWHERE
    if len(sharp):
        short = ~_WORD[at(sharp, -2)] | (_LETTER[at(sharp, -2)] & ~_WORD[at(sharp, -3)])
        follows = at(sharp, 1)
        ends = ~(_WORD[follows] | (follows == ord("#")) | (follows == ord("+")))
        sharp = sharp[_LETTER[at(sharp, -1)] & short & ends]
    plus = np.flatnonzero(raw == ord("+")) if b"++" in text else _NOWHERE
    if len(plus):
        follows = at(plus, 2)
        ends = ~(_WORD[follows] | (follows == ord("#")) | (follows == ord("+")))
        plus = plus[_LETTER[at(plus, -1)] & (at(plus, 1) == ord("+")) & ends]
        plus = np.concatenate([plus, plus + 1])
    point = np.flatnonzero(raw == ord("."))
    if len(point):
        point = point[_OPENS[at(point, -1)] & _LETTER[at(point, 1)] & _LETTER[at(point, 2)]]
    return np.concatenate([sharp, plus, point])
