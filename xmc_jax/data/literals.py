"""Lists as programs print them into cells: JSON, Python, NumPy, PostgreSQL."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>(?:[uUbBrR]|np\.str_\()?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)?)
    | (?P<comma>,)
    | (?P<bare>[^\s,'"\[\](){}]+(?:[ \t]+(?=[^\s,'"\[\](){}]))?)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WRAPPED = re.compile(r"(?:(?:[\w.]+)?\()\s*([\[{(].*[\]})])\s*(?:,\s*dtype=.*)?\)", re.DOTALL)
_EMPTY = re.compile(r"(?:[\w.]+)?\(\s*\)")
_PAIRS = {"[": "]", "(": ")", "{": "}"}
_NAME_KEYS = ("uri", "name", "label", "title", "text", "value", "term", "id")
_NOTHING = {"none", "null", "nan", "na", "<na>"}


def looks_like_list(cell: str) -> bool:
    """Returns whether a cell begins and ends as a printed list does."""
    cell = cell.strip()
    if len(cell) < 2:
        return False
    if cell[0] in "[{":
        return cell[-1] == _PAIRS[cell[0]]
    if (
        cell[0] == "(" and cell != "()"
    ):  # a label may stand in brackets, so the list must show by quotes
        return cell[-1] == ")" and cell[1:].lstrip()[:1] in ("'", '"')
    return bool(_EMPTY.fullmatch(cell) or _WRAPPED.fullmatch(cell))


def parse_list(cell: str) -> list[Any]:
    """Returns the elements of a printed list: strings, numbers, None, or mappings; an empty cell is an empty list.

    Reads JSON, Python's lists, tuples and sets, NumPy's arrays (no commas), PostgreSQL's arrays (`{a,"b c"}`), and bare
    words between commas.

    Raises:
        ValueError: the cell holds anything else, or a list that was cut short when it was printed.
    """
    text = cell.strip()
    if not text or _EMPTY.fullmatch(text):
        return []
    decoded = None
    try:
        decoded = json.loads(text)
    except RecursionError:
        raise ValueError(
            f"the labels are {cell!r:.60}, nested too deeply; a list of names needed"
        ) from None
    except ValueError:
        pass
    if isinstance(decoded, (list, dict)):
        return _elements(decoded)
    wrapped = _WRAPPED.fullmatch(text)
    text = wrapped.group(1) if wrapped else text
    if text[0] not in _PAIRS or text[-1] != _PAIRS[text[0]]:
        raise ValueError(
            f"the labels are {cell!r:.60}, a list such as ['a', 'b'] needed as in other rows; "
            "or name what separates them with --data.label_separator"
        )
    inner = text[1:-1]
    if any(mark in _without_strings(inner) for mark in "{[(:"):
        try:
            decoded = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            decoded = None
        if decoded is not None:
            return _elements(decoded)
    return _parse_items(inner, cell)


def _elements(value: Any) -> list[Any]:
    """Returns the elements of a decoded list; of a mapping, the keys that are true, or the names it maps to."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
    if isinstance(value, dict):
        if all(isinstance(v, str) for v in value.values()):
            return list(value.values())
        if all(v in (0, 1) for v in value.values()):
            return [key for key, v in value.items() if v]
    raise ValueError(f"the labels are {value!r:.60}, a list of names needed")


def _parse_items(inner: str, cell: str) -> list[Any]:
    """Reads strings and bare words, between commas or white space.

    Python would join `'a' 'b'` into one string; here they are two, as NumPy prints them.
    """
    items: list[Any] = []
    at, has_commas, bare = 0, "," in _without_strings(inner), ""
    while at < len(inner.rstrip()):
        match = _TOKEN.match(inner, at)
        if match is None:
            raise ValueError(
                f"the labels are {cell!r:.60}, which is not a complete list; a list of names needed"
            )
        at = match.end()
        if match["bare"] is not None:
            bare += match["bare"]
            follows = inner[at:].lstrip()[:1]
            if not has_commas or follows in ("", ","):
                items += _read_bare(bare, has_commas, cell)
                bare = ""
        elif match["string"] is not None:
            items += _read_bare(bare, False, cell)
            bare = ""
            items.append(_read_string(match["string"]))
    return items


def _without_strings(inner: str) -> str:
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "", inner)


def _read_bare(text: str, has_commas: bool, cell: str) -> list[Any]:
    words = [text.strip()] if has_commas else text.split()
    if "..." in words:
        raise ValueError(f"the labels are {cell!r:.60}, cut short with '...'; write the whole list")
    return [None if word.lower() in _NOTHING else _read_number(word) for word in words]


def _read_number(word: str) -> Any:
    if re.fullmatch(r"[-+]?\d+", word):
        return int(word)
    if re.fullmatch(r"[-+]?\d+\.\d*", word):
        return float(word)
    return {"true": 1, "false": 0}.get(word.lower(), word)


def _read_string(token: str) -> str:
    token = token.removeprefix("np.str_(")
    token = token.removesuffix(")") if token[-1] == ")" else token
    start = min(i for i in (token.find("'"), token.find('"')) if i >= 0)
    try:
        value = ast.literal_eval(token[start:])
    except (ValueError, SyntaxError):
        return token[start + 1 : -1]
    return value if isinstance(value, str) else token[start + 1 : -1]


def name_of(value: Any) -> Any:
    """Returns the name in an object such as `{"uri": ..., "label": ...}` or `{"id": 16, "name": "Comedy"}`.

    Raises:
        ValueError: the object has none of these keys.
    """
    for key in _NAME_KEYS:
        if value.get(key) not in (None, ""):
            return value[key]
    raise ValueError(
        f"the label is {value!r:.60}; a string or an object with {', '.join(_NAME_KEYS[:3])} needed"
    )
