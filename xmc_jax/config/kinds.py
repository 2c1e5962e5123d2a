"""Types and values of settings in words, as they are written on a command line."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, get_args, get_origin

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def spell(value: Any) -> str:
    """Returns a value as it is written on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(spell, value))
    return "''" if value == "" else str(value)


_EACH = "one per level, separated by commas"


def name_kind(kind: Any) -> str:
    """Returns the choices of a type in words: `auto or a whole number`."""
    return " or ".join(list_kinds(kind))


def list_kinds(kind: Any) -> list[str]:
    """Returns the choices of a type in words, names first."""
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        parts = [part for option in get_args(kind) for part in list_kinds(option)]
        return sorted(parts, key=lambda part: part in (*_KINDS.values(), _EACH))
    if origin is tuple:
        return [_EACH]
    if origin is Literal:
        return [spell(choice) for choice in get_args(kind)]
    if origin is typing.Annotated:
        return [str(name) for name in kind.__metadata__[0]]
    return ["none"] if kind is type(None) else [_KINDS.get(kind, str(kind))]
