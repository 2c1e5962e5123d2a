"""Terms of documents (words or characters, and their n-grams), a block of documents at a time.

`split_document` defines the terms of one document in plain Python. `read_block` finds the same terms for thousands of
documents at once: it normalises the joined text, finds the borders of all words with array operations on the UTF-8
bytes, and numbers the distinct terms (`slices.py`). A lone surrogate, which has no UTF-8 form, is read as U+FFFD.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import compress

import numpy as np

from xmc_jax.config import FeaturesConfig
from xmc_jax.features.grams import WIDTHS, Stream, ends_of, letters_of, make_grams, word_stream
from xmc_jax.features.scripts import (
    GRAMS,
    blankless_kind,
    blankless_kinds,
    find_signs,
    is_joiner,
    is_mark,
    is_optional_mark,
)
from xmc_jax.features.slices import PADDING, Slices, concatenate, from_list, number_distinct

WORDS = ("auto", "word")
"""Analyzers whose terms are words."""
_WORD = re.compile(r"\b\w\w+\b")
_TERM = re.compile(
    r"""(?:(?:^|(?<=[ \t\n\r\x0b\x0c\x1c-\x1f(\[{"',;:/]))\.(?=[A-Za-z]{2}))?
    [0-9A-Za-z_\x80-\U0010ffff]+
    (?:(?<=[A-Za-z])\+\+(?![0-9A-Za-z_\x80-\U0010ffff+#])
    |(?:(?<![0-9A-Za-z_\x80-\U0010ffff].)(?<=[A-Za-z])|(?<=[A-Za-z]{2})(?<![0-9A-Za-z_\x80-\U0010ffff]..))
    \#(?![0-9A-Za-z_\x80-\U0010ffff+#]))?""",
    re.VERBOSE | re.DOTALL,
)
"""A word of cleaned text, in which every character beyond ASCII belongs to a word; `find_signs` has the same rules."""
_SPACES = re.compile(r"\s\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = ord(" ")

# Kinds of a code point in `_clean_points`.
_KEEP, _BREAK, _DROP = 0, 1, 2


@dataclass(frozen=True)
class Block:
    """The terms of some documents.

    Attributes:
        documents: int32 [n], document of each occurrence of a term, in 0..n_documents-1; not sorted.
        ids: int32 [n], number of the term in `terms`.
        terms: the U distinct terms in UTF-8, in no particular order.
        n_documents: number of documents, including those without terms.
    """

    documents: np.ndarray
    ids: np.ndarray
    terms: Slices
    n_documents: int


def split_document(text: str, config: FeaturesConfig) -> list[str]:
    """Returns the terms of one document, repeated as often as they occur."""
    text = _normalize(text, config)
    low, high = config.ngram_min, config.ngram_max
    limit = config.truncate or None
    if config.analyzer in WORDS:
        words = _split_words(text, config)[:limit]
        if not _spreads(config) or text.isascii():
            return _slide([words], low, high, " ")
        return _spread_words(words, low, high)
    if config.analyzer == "char":
        return _slide([_SPACES.sub(" ", text)[:limit]], low, high, "")
    segments = [f" {word} " for word in text.split()[:limit]]
    short = [s for s in segments if len(s) < low]
    return short + _slide(segments, low, high, "")


def read_block(texts: list[str], config: FeaturesConfig) -> Block:
    """Returns the terms of all `texts`, the same as `split_document` finds one by one."""
    if config.analyzer in WORDS:
        units, documents, n_ascii = _find_words(texts, config)
        kinds = _kinds_of_words(units, n_ascii) if _spreads(config) else None
        if kinds is None:
            grams, documents = _join_words(units, documents, config)
        else:
            grams, documents = _spread_block(units, documents, kinds, config)
    else:
        grams, documents = make_grams(
            _character_stream(texts, config),
            config.ngram_min,
            config.ngram_max,
            config.analyzer == "char_wb",
        )
    ids, first = number_distinct(grams)
    return Block(documents, ids, grams[first].compact(), len(texts))


def read_few(texts: list[str], config: FeaturesConfig) -> Block:
    """Returns the same as `read_block`, faster for a few short documents."""
    numbers: dict[str, int] = {}
    documents: list[int] = []
    ids: list[int] = []
    for row, text in enumerate(texts):
        found = [numbers.setdefault(term, len(numbers)) for term in split_document(text, config)]
        ids += found
        documents += [row] * len(found)
    terms = from_list([term.encode("utf-8") for term in numbers])
    return Block(np.array(documents, np.int32), np.array(ids, np.int32), terms, len(texts))


def _normalize(text: str, config: FeaturesConfig) -> str:
    """Lower case first, then NFKD without combining marks: scikit-learn's order."""
    if config.lowercase:
        text = text.lower()
    if text.isascii():
        return text
    if config.strip_accents:
        text = unicodedata.normalize("NFKD", text)
        is_stripped = is_optional_mark if config.token_pattern == "words" else unicodedata.combining
        text = "".join([c for c in text if not is_stripped(c)])
    return _SURROGATE.sub("\ufffd", text)


def _spreads(config: FeaturesConfig) -> bool:
    """Returns whether words of scripts without blanks are read as runs of characters."""
    return config.analyzer == "auto" and config.token_pattern == "words"


def _split_words(text: str, config: FeaturesConfig) -> list[str]:
    if config.token_pattern == "whitespace":
        return text.split()
    if config.token_pattern == "unicode":
        return _WORD.findall(text)
    if not text.isascii():
        text = _clean_text(text, config)
    return _TERM.findall(text)


def _clean_text(text: str, config: FeaturesConfig) -> str:
    """Cleans one text as `_clean_points` does many: spaces replace what belongs to no word, and separate scripts."""
    kept: list[str] = []
    before = 0
    for c in text:
        kind = _KEEP if c.isascii() else _kind_of(c, config)
        if kind == _DROP:
            continue
        script = 0 if c.isascii() or kind == _BREAK or not _spreads(config) else blankless_kind(c)
        if script != before:
            kept.append(" ")
        before = script
        kept.append(" " if kind == _BREAK else c)
    return "".join(kept)


def _spread_words(words: list[str], low: int, high: int) -> list[str]:
    """Returns words and their n-grams; a word of a script without blanks gives its runs of characters, and ends a run
    of words."""
    terms: list[str] = []
    segments: list[list[str]] = [[]]
    for word in words:
        kind = 0 if word[0].isascii() else blankless_kind(word[0])
        if not kind:
            segments[-1].append(word)
            continue
        segments.append([])
        shortest, longest = GRAMS[kind]
        if len(word) < shortest:
            terms.append(word)
        terms += _slide([word], shortest, longest, "")
    return terms + _slide(segments, low, high, " ")


def _slide(segments: list, low: int, high: int, glue: str) -> list[str]:
    terms: list[str] = []
    for units in segments:
        for n in range(low, high + 1):
            terms += [glue.join(units[i : i + n]) for i in range(len(units) - n + 1)]
    return terms


# Words


def _find_words(texts: list[str], config: FeaturesConfig) -> tuple[Slices, np.ndarray, int]:
    """Returns every word of every document, its document, int32 [n], and how many words, which come first, are of
    documents in ASCII."""
    is_ascii = np.fromiter(map(str.isascii, texts), bool, len(texts))
    plain = list(compress(texts, is_ascii.tolist()))
    raw = ("\n".join(plain) + "\n").encode("ascii") if plain else b""
    signs = [_keep_signs(raw, config)]
    raw = raw.translate(_byte_table(config, config.lowercase))
    ends = np.cumsum(np.fromiter(map(len, plain), np.int64, len(plain)) + 1)
    if len(plain) < len(texts):
        other = _clean_joined(list(compress(texts, (~is_ascii).tolist())), config)
        # What NFKD introduces ("™" becomes "TM") stays in upper case, as in scikit-learn.
        newlines = np.flatnonzero(np.frombuffer(other, np.uint8) == ord("\n"))
        ends = np.concatenate([ends, newlines + 1 + len(raw)])
        places, bytes_there = _keep_signs(other, config)
        signs.append((places + len(raw), bytes_there))
        raw += other.translate(_byte_table(config, lowercase=False))
    rows = np.argsort(~is_ascii, kind="stable").astype(np.int32)
    held = bytearray(raw)
    held += b" " * PADDING
    buffer = np.frombuffer(held, np.uint8)
    for places, bytes_there in signs:
        buffer[places] = bytes_there
    is_word = buffer != _SPACE
    borders = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    if len(buffer) and is_word[0]:
        borders = np.concatenate([[0], borders])
    borders = borders.astype(np.int32 if len(buffer) < 2**31 else np.int64)
    starts, lengths = borders[0::2], borders[1::2] - borders[0::2]
    if config.token_pattern == "unicode":
        several = lengths > WIDTHS[buffer[starts]]  # more than one character
        starts, lengths = starts[several], lengths[several]
    counts = np.diff(np.searchsorted(starts, ends), prepend=0)
    if config.truncate:
        rank = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = rank < config.truncate
        starts, lengths = starts[kept], lengths[kept]
        counts = np.minimum(counts, config.truncate)
    return Slices(buffer, starts, lengths), np.repeat(rows, counts), int(counts[: len(plain)].sum())


def _keep_signs(raw: bytes, config: FeaturesConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of signs that belong to words, and the signs."""
    if config.token_pattern != "words" or not raw:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    places = find_signs(raw)
    return places, np.frombuffer(raw, np.uint8)[places]


def _kinds_of_words(words: Slices, n_ascii: int) -> np.ndarray | None:
    """Returns the kind of script of each word, uint8 [n], by its first character; None if all scripts have blanks, as
    that of the first `n_ascii` words does."""
    first = words.buffer[words.starts[n_ascii:]]
    wide = np.flatnonzero(first >= 0xE0) + n_ascii
    if not len(wide):
        return None
    starts = words.starts[wide]
    b0, b1, b2, b3 = (words.buffer[starts + i].astype(np.uint32) for i in range(4))
    three = (b0 & 0x0F) << 12 | (b1 & 0x3F) << 6 | (b2 & 0x3F)
    four = (b0 & 0x07) << 18 | (b1 & 0x3F) << 12 | (b2 & 0x3F) << 6 | (b3 & 0x3F)
    points = np.where(b0 >= 0xF0, four, three)
    found = blankless_kinds()[np.minimum(points, 0x10FFFF)]
    if not found.any():
        return None
    kinds = np.zeros(len(words), np.uint8)
    kinds[wide] = found
    return kinds


def _join_words(
    words: Slices, documents: np.ndarray, config: FeaturesConfig, breaks: np.ndarray | None = None
) -> tuple[Slices, np.ndarray]:
    """Returns the n-grams of words and their documents."""
    if config.ngram_max == 1:
        return words, documents
    return make_grams(word_stream(words, documents, breaks), config.ngram_min, config.ngram_max)


def _spread_block(
    words: Slices, documents: np.ndarray, kinds: np.ndarray, config: FeaturesConfig
) -> tuple[Slices, np.ndarray]:
    """Returns the terms of a block, as `_spread_words` does those of a document."""
    plain = kinds == 0
    breaks = np.cumsum(~plain)[plain]
    parts = [_join_words(words[plain], documents[plain], config, breaks)]
    for kind, (low, high) in GRAMS.items():
        chosen = kinds == kind
        if chosen.any():
            parts.append(make_grams(letters_of(words[chosen], documents[chosen]), low, high, True))
    return concatenate([grams for grams, _ in parts]), np.concatenate([rows for _, rows in parts])


def _byte_table(config: FeaturesConfig, lowercase: bool) -> bytes:
    """Returns the table that maps ASCII to lower case, if wanted, and borders to a space."""
    table = []
    for byte in range(256):
        c = chr(byte)
        if byte >= 128:  # part of a character that `_clean_points` kept
            table.append(byte)
        elif not _is_word_character(c, config):
            table.append(_SPACE)
        else:
            table.append(ord(c.lower()) if lowercase else byte)
    return bytes(table)


def _is_word_character(c: str, config: FeaturesConfig) -> bool:
    if config.token_pattern == "whitespace":
        return not c.isspace()
    return c.isalnum() or c == "_"


def _clean_joined(texts: list[str], config: FeaturesConfig) -> bytes:
    """Normalises documents all at once; each ends in a newline and holds no other.

    Joining them changes nothing: a newline neither combines nor composes with its neighbours, has no case, and does not
    affect the lower case of sigma.
    """
    joined = "\n".join(texts) + "\n"
    if joined.count("\n") != len(texts):
        joined = "\n".join([t.replace("\n", " ") for t in texts]) + "\n"
    if config.lowercase:
        joined = joined.lower()
    if config.strip_accents:
        joined = unicodedata.normalize("NFKD", joined)
    points = _clean_points(_code_points(joined), config)
    return points.tobytes().decode("utf-32-le").encode("utf-8")


def _code_points(text: str) -> np.ndarray:
    raw = text.encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(raw, "<u4")
    surrogate = (points >> 11) == 0x1B
    return np.where(surrogate, np.uint32(0xFFFD), points) if surrogate.any() else points


def _clean_points(points: np.ndarray, config: FeaturesConfig) -> np.ndarray:
    """Drops combining marks and replaces each non-ASCII character that belongs to no word by a space."""
    seen = np.zeros(0x110000, bool)
    seen[points] = True
    kinds = np.zeros(0x110000, np.uint8)
    present = np.flatnonzero(seen[128:]) + 128
    kinds[present] = [_kind_of(chr(p), config) for p in present.tolist()]
    kind = kinds[points]
    points = np.where(kind == _BREAK, np.uint32(_SPACE), points)
    points = points[kind != _DROP].astype("<u4")
    if _spreads(config) and blankless_kinds()[present].any():
        scripts = blankless_kinds()[points]
        borders = np.flatnonzero(scripts[1:] != scripts[:-1]) + 1
        points = np.insert(points, borders, np.uint32(_SPACE))
    return points


def _kind_of(c: str, config: FeaturesConfig) -> int:
    if config.token_pattern == "words":
        if is_joiner(c) or (config.strip_accents and is_optional_mark(c)):
            return _DROP
        return _KEEP if c.isalnum() or is_mark(c) else _BREAK
    if config.strip_accents and unicodedata.combining(c):
        return _DROP
    return _KEEP if _is_word_character(c, config) else _BREAK


# Characters and n-grams


def _character_stream(texts: list[str], config: FeaturesConfig) -> Stream:
    """Characters of documents (`char`), or of words with a space on either side (`char_wb`)."""
    limit = config.truncate or None
    if config.analyzer == "char":
        pieces = [_SPACES.sub(" ", _normalize(t, config))[:limit] for t in texts]
        documents = np.arange(len(texts), dtype=np.int32)
    else:
        words = [_normalize(t, config).split()[:limit] for t in texts]
        pieces = [f" {w} " for ws in words for w in ws]
        documents = np.repeat(np.arange(len(texts), dtype=np.int32), [len(ws) for ws in words])
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    buffer = np.frombuffer("".join(pieces).encode("utf-8") + b" " * PADDING, np.uint8)
    starts = np.flatnonzero((buffer[:-PADDING] & 0xC0) != 0x80)
    starts = starts.astype(np.int32 if len(buffer) < 2**31 else np.int64)
    units = Slices(buffer, starts, WIDTHS[buffer[starts]].astype(starts.dtype))
    is_start = np.zeros(len(starts), bool)
    is_start[(np.cumsum(sizes) - sizes)[sizes > 0]] = True
    return Stream(units, ends_of(is_start), is_start, np.repeat(documents, sizes))
