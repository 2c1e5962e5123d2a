"""HTML from values; everything that comes from data is escaped here, and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


_HINT = 400
_NUMBER = re.compile(r"[\d,.–]+( – [\d,.]+)?")


class Html(str):
    """Text that is already markup."""


def clean(text: str) -> str:
    """Replaces what HTML and SVG may not contain: control characters and lone surrogates."""
    return _UNSEEN.sub("\ufffd", text)


def cut(text: str, most: int) -> str:
    """Returns text on one line, shortened to `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def write(value: Any) -> Html:
    """Returns a value as markup: numbers with separators, texts escaped, markup as it is."""
    if isinstance(value, Html):
        return value
    if isinstance(value, bool) or value is None:
        return Html("–" if value is None else "yes" if value else "no")
    if isinstance(value, int):
        return Html(f"{value:,}")
    if isinstance(value, float):
        return Html(f"{value:.1f}")
    return Html(escape(str(value)))


def name(text: str, most: int = 80) -> Html:
    """Returns the name of a label in any direction of script; if it is cut, the whole name is its hint."""
    short = cut(text, most)
    hint = f' title="{escape(cut(text, _HINT))}"' if short != text else ""
    return Html(f"<bdi{hint}>{escape(short)}</bdi>")


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Returns the parts as one piece of markup."""
    return Html(between.join(write(part) for part in parts))


def element(tag: str, *parts: Any, **attributes: Any) -> Html:
    """Returns an element; `class_` is `class`, and an attribute of None is left out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{said}>{join(parts)}</{tag}>")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = "") -> Html:
    """Returns a table with numbers aligned to the right, which scrolls sideways if it is too wide."""
    rows = [list(row) for row in rows]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    kinds = ["n" if is_number else None for is_number in right]

    def line(tag: str, cells: Sequence[Any]) -> Html:
        return element(
            "tr", *(element(tag, cell, class_=k) for cell, k in zip(cells, kinds, strict=True))
        )

    told = [element("caption", caption)] if caption else []
    body = element("tbody", *(line("td", row) for row in rows))
    return element(
        "div", element("table", *told, element("thead", line("th", head)), body), class_="wide"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or bool(_NUMBER.fullmatch(str(value)))


def fold(summary: Any, *parts: Any, class_: str | None = None) -> Html:
    """Returns content that is shown when its summary is clicked, and in print."""
    return element("details", element("summary", summary), *parts, class_=class_)


def embed(id: str, value: Any) -> Html:
    """Returns JSON for the page's script; no text in it can end the element or begin another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="{id}">{text}</script>')
