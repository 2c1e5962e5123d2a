"""What each setting means, read from its definition: a line of meaning, its choices and its default."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from xmc_jax.config.kinds import name_kind, spell

FIRST = (
    "disentangle.copies",
    "search.beam",
    "trees",
    "tree.max_leaf_size",
    "ranker.threshold",
    "features.ngram_max",
    "encoder.name",
    "encoder.max_length",
    "tuning.steps",
    "tuning.learning_rate",
)
"""The settings that matter most."""


@dataclass(frozen=True)
class Meaning:
    """A setting as it is shown to people.

    Attributes:
        name: name with its section, such as `search.beam`.
        text: what it means.
        default: the default as it is written on the command line.
        choices: what it may hold.
        execution: whether it leaves the weights unchanged, so that a run resumes with another value of it.
    """

    name: str
    text: str
    default: str
    choices: str
    execution: bool


def list_meanings(config_type: type) -> dict[str, Meaning]:
    """Returns the settings of a model by name, in the order of their definition."""
    default = config_type()
    found: dict[str, Meaning] = {}
    for field in fields(default):
        value = getattr(default, field.name)
        if is_dataclass(value):
            found |= {
                f"{field.name}.{inner}": replace(
                    m, execution=m.execution or field.metadata.get("execution", False)
                )
                for inner, m in _read_section(type(value), value, f"{field.name}.").items()
            }
        else:
            found |= _read_section(config_type, default, "", only=field.name)
    return found


def describe_section(section: type) -> str:
    """Returns the first paragraph of a section's docstring on one line."""
    return " ".join((inspect.getdoc(section) or "").split("\n\n")[0].split())


def _read_section(
    section: type, default: Any, prefix: str, only: str | None = None
) -> dict[str, Meaning]:
    hints = typing.get_type_hints(section, include_extras=True)
    texts = _read_texts(section)
    return {
        f.name: Meaning(
            prefix + f.name,
            texts.get(f.name, ""),
            spell(getattr(default, f.name)),
            name_kind(hints[f.name]),
            f.metadata.get("execution", False),
        )
        for f in fields(section)
        if only in (None, f.name)
    }


def _read_texts(section: type) -> dict[str, str]:
    """Returns the string below each field in the source."""
    return _read_module(inspect.getfile(section))[section.__name__]


@cache
def _read_module(path: str) -> dict[str, dict[str, str]]:
    """Returns the strings below the fields of each class in a file."""
    source = Path(path).read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {c.name: dict(_list_texts(c.body)) for c in classes}


def _list_texts(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, after in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield field.target.id, " ".join(str(after.value.value).split())
