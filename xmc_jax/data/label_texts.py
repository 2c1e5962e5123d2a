"""Texts of labels: their names, or what a file or the caller gives instead."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

from xmc_jax.data.labels import check_name
from xmc_jax.data.lines import read_lines
from xmc_jax.errors import InputError

LabelTexts = Mapping[str, str] | Sequence[str]
"""Name → text, or one text per label in order."""

_IDENTIFIER = re.compile(r"\s*<[^<>]*>$")
_NO_WORD = re.compile(r"[\W\d_]*")


class ResolvedTexts(NamedTuple):
    """Texts of L labels.

    Attributes:
        texts: one per label; empty for a label without any.
        extra: names given with a text that are not labels yet, in order; their texts follow the others.
        n_missing: number of labels without a given text, whose names are used instead.
    """

    texts: list[str]
    extra: list[str]
    n_missing: int


def read_name(name: str) -> str:
    """Returns the text in a label's name: underscores become spaces, an identifier `<…>` at its end is dropped, and a
    name without letters, such as a number, gives an empty text.

    >>> read_name("sea_bird <n01838598>"), read_name("10_234")
    ('sea bird', '')
    """
    text = _IDENTIFIER.sub("", name).replace("_", " ").strip()
    return "" if _NO_WORD.fullmatch(text) else text


def resolve_texts(
    given: LabelTexts | None, names: Sequence[str] | None, n_labels: int
) -> ResolvedTexts:
    """Returns the text of every label.

    Args:
        given: texts by name or in the order of the labels; None uses the names.
        names: of the labels, or None.
        n_labels: L.

    Raises:
        InputError: texts by name for labels without names, a number of texts other than L, a text that is not a string.
    """
    if given is None:
        return ResolvedTexts([read_name(name) for name in names or [""] * n_labels], [], 0)
    if isinstance(given, Mapping):
        return _resolve_named(given, names)
    texts = list_texts(given)
    if len(texts) != n_labels:
        raise InputError(
            f"{len(texts)} texts of labels given for {n_labels} labels; give one for each, or name → text"
        )
    for i, text in enumerate(texts):
        _check_text(text, i if names is None else names[i])
    return ResolvedTexts(texts, [], 0)


def list_texts(given: Any) -> list[str]:
    """Returns texts of labels that were given in order.

    Raises:
        InputError: of a kind that has no order, or one string.
    """
    if isinstance(given, str | Set) or not isinstance(given, Iterable):
        raise InputError(
            f"texts of labels given as {type(given).__name__}; a list with one for each label in order, or name → text"
        )
    return list(given)


def list_own_texts(
    texts: Sequence[str] | None, names: Sequence[str] | None, n_labels: int
) -> list[str] | None:
    """Returns the texts of L labels, if they are others than those that their names give; None is as if all were
    empty."""
    mine = list(texts or [""] * n_labels)
    return None if mine == resolve_texts(None, names, n_labels).texts else mine


def read_label_texts(path: str | os.PathLike) -> LabelTexts:
    """Reads texts of labels: a `.json` with an object or a list, or lines that are all `name TAB text`, or all texts.

    Raises:
        InputError: no such file, or a file in none of these forms.
    """
    if os.fspath(path).endswith(".json"):
        try:
            with open(path, encoding="utf-8") as file:
                value = json.load(file, object_pairs_hook=partial(_pair, path))
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read as JSON ({error}); texts of labels needed"
            ) from None
        if not isinstance(value, (dict, list)):
            raise InputError(f"{path}: holds neither name → text nor a list of texts")
        return value
    lines = list(read_lines(path))
    with_tab = ["\t" in line for line in lines]
    if not any(with_tab):
        return lines
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, tab, text = line.partition("\t")
        if not tab:
            raise InputError(f"{path}:{number}: no tab; lines of name, tab, text needed as before")
        name = name.strip()
        if name in texts:
            raise InputError(f"{path}:{number}: a second text for {name!r:.60}; one needed")
        texts[name] = text
    return texts


def _pair(path: str | os.PathLike, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of a JSON file, whose names must differ."""
    texts: dict[str, Any] = {}
    for name, text in pairs:
        if name in texts:
            raise InputError(f"{path}: a second text for {name!r:.60}; one needed")
        texts[name] = text
    return texts


def _resolve_named(given: Mapping[str, str], names: Sequence[str] | None) -> ResolvedTexts:
    if names is None:
        raise InputError(
            "texts of labels given by name, but the labels have none; give a list of texts, one for each column"
        )
    known = set(names)
    extra = [name for name in given if name not in known]
    for name in extra:
        try:
            check_name(name)
        except ValueError as error:
            raise InputError(f"texts of labels: {error}") from None
    for name, text in given.items():
        _check_text(text, name)
    texts = [given[name] if name in given else read_name(name) for name in names]
    missing = sum(name not in given for name in names)
    return ResolvedTexts(texts + [given[name] for name in extra], extra, missing)


def _check_text(text: object, label: object) -> None:
    if not isinstance(text, str):
        raise InputError(
            f"text of label {label!r:.60} given as {type(text).__name__}, a string needed"
        )
