"""Texts of labels: what their names say, or what a file or the caller gives in their place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from xmc_jax.data.labels import check_name
from xmc_jax.data.lines import read_lines
from xmc_jax.errors import InputError

LabelTexts = Mapping[str, str] | Sequence[str]
"""Name → text, or a text for each label in order."""

_IDENTIFIER = re.compile(r"\s*<[^<>]*>$")
_NO_WORD = re.compile(r"[\W\d_]*")


class ResolvedTexts(NamedTuple):
    """Texts of L labels.

    Attributes:
        texts: one each; empty for a label of which nothing is said.
        extra: names given with a text that are no label yet, in order; their texts stand behind the others.
        n_missing: labels for which a text was asked for and not found, so that their names serve.
    """

    texts: list[str]
    extra: list[str]
    n_missing: int


def read_name(name: str) -> str:
    """Returns what a label's name says: underscores are spaces, an identifier `<…>` at its end is not read, and a name
    without a letter, such as a number, says nothing.

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
        given: texts by name or in the order of the labels; None: the names serve.
        names: of the labels, or None.
        n_labels: L.

    Raises:
        InputError: texts by name for labels without names, another number of texts than labels, a text that is none.
    """
    if given is None:
        return ResolvedTexts([read_name(name) for name in names or [""] * n_labels], [], 0)
    if isinstance(given, Mapping):
        return _resolve_named(given, names)
    texts = list(given) if not isinstance(given, str) else [given]
    if isinstance(given, str) or len(texts) != n_labels:
        raise InputError(
            f"{len(texts)} texts of labels given for {n_labels} labels; give one for each, or name → text"
        )
    for i, text in enumerate(texts):
        _check_text(text, i if names is None else names[i])
    return ResolvedTexts(texts, [], 0)


def read_label_texts(path: str | os.PathLike) -> LabelTexts:
    """Reads texts of labels: a `.json` with an object or a list, or lines, all or none with a tab after the name.

    Raises:
        InputError: no such file, or not of this form.
    """
    if os.fspath(path).endswith(".json"):
        try:
            with open(path, encoding="utf-8") as file:
                value = json.load(file)
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
        if name in texts:
            raise InputError(f"{path}:{number}: a second text for {name!r:.60}; one needed")
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
