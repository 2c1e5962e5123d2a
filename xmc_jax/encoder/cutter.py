"""Where a long text may be cut before tokenization without changing the tokens of its beginning.

A tokenizer takes a text through stages: added tokens are found, characters are normalised, the text is split into
words, each word into pieces. The beginning has the same first tokens as the whole text if no stage looks across the
cut. This holds before a blank that follows a letter or digit if every stage is one of those listed here:

- no added token holds white space, so that none lies across the cut;
- the normalisers work on characters, on runs of spaces, or on a letter with the marks behind it, and none of them
  reaches from a letter over a blank (a blank begins a new grapheme, but after the few letters of `_JOINING`);
- the splitter always splits at that blank, so that no word lies across the cut, and what it does with the blanks after
  the cut does not change the words before it;
- each word is cut into pieces by itself.

BERT's normaliser puts blanks around ideographs, so the same holds between two of them. With any other tokenizer, texts
are never cut in advance.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_JOINING = "\u0d4e\U000111c2\U000111c3\U0001193f\U00011941\U00011a3a\U00011a84-\U00011a89\U00011d46\U00011f02"
"""Letters that form one grapheme with whatever follows (Unicode's property Prepend; its signs are no letters)."""
_IDEOGRAPHS = "\u4e00-\u9fff"
_WHITE, _SPACE = " \t\n\r", " "

_NORMALIZERS = {
    *("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD"),
    *("StripAccents", "Nmt", "Precompiled", "Strip", "Prepend"),
}
_SPLITTERS = {
    "BertPreTokenizer": _WHITE,
    "Whitespace": _WHITE,
    "WhitespaceSplit": _WHITE,
    "ByteLevel": _WHITE,
    "Metaspace": _SPACE,
}
"""Splitters → the blanks at which they always split."""
_LOCAL = {"Punctuation", "Digits"}
"""Splitters that look at one character at a time."""


@dataclass(frozen=True)
class Cutter:
    """Cuts texts where that changes no token of the beginning.

    Attributes:
        blanks: before which a text may be cut.
        ideographs: it may be cut between two of them.
    """

    blanks: str
    ideographs: bool

    def cut(self, text: str, least: int) -> str:
        """Returns the shortest beginning of at least `least` characters that ends where a cut is safe, or all."""
        if len(text) <= least:
            return text
        found = self._pattern.search(text, max(least, 1))
        return text if found is None else text[: found.start()]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = rf"(?<=\w)(?<![{_JOINING}])[{self.blanks}]"
        if self.ideographs:
            pattern += f"|(?<=[{_IDEOGRAPHS}])[{_IDEOGRAPHS}]"
        return re.compile(pattern)


def make_cutter(tokenizer: str) -> Cutter | None:
    """Returns the cutter of a tokenizer, given as the JSON text of its file; None if no cut is known to be safe."""
    values = json.loads(tokenizer)
    steps = _list_steps(values.get("normalizer"), "normalizers")
    splitters = _list_steps(values.get("pre_tokenizer"), "pretokenizers")
    added = [str(token["content"]) for token in values.get("added_tokens") or []]
    if not all(map(_is_local, steps)) or any(re.search(r"\s", content) for content in added):
        return None
    blanks = _find_blanks(splitters)
    if not blanks:
        return None
    pads = any(s["type"] == "BertNormalizer" and s.get("handle_chinese_chars") for s in steps)
    return Cutter(blanks, pads and not re.search(f"[{_IDEOGRAPHS}]", "".join(added)))


def _list_steps(stage: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Returns the steps of a stage, those within sequences too."""
    if stage is None:
        return []
    if stage["type"] == "Sequence":
        return [step for inner in stage[name] for step in _list_steps(inner, name)]
    return [stage]


def _is_local(step: dict[str, Any]) -> bool:
    """Returns whether a normaliser looks across no blank."""
    if step["type"] != "Replace":
        return step["type"] in _NORMALIZERS
    pattern = step["pattern"]
    if "String" in pattern:
        return not re.search(r"\s", pattern["String"])
    return pattern.get("Regex") == " {2,}"


def _find_blanks(splitters: list[dict[str, Any]]) -> str:
    """Returns the blanks at which the first splitter that splits at some always does; empty if that is not known."""
    blanks = ""
    for step in splitters:
        kind = step["type"]
        splits = step.get("split", True) if kind == "Metaspace" else step.get("use_regex", True)
        if kind in _SPLITTERS and splits:
            blanks = blanks or _SPLITTERS[kind]
        elif kind not in _LOCAL and kind != "ByteLevel":
            return ""
    return blanks
