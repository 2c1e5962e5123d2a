"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from itertools import zip_longest
from pathlib import Path

import pytest

import xmc_jax as xmc

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "xmc_jax").rglob("*.py"))
    if "    >>> " in path.read_text(encoding="utf-8")
]
NO_EXAMPLE = {"XMCError", "RunError", "metrics"}
"""Errors that no short example raises, and a module whose functions have their own."""


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    done = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted and not done.failed


@pytest.mark.parametrize("name", sorted({*xmc.__all__} - NO_EXAMPLE))
def test_every_public_name_has_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(xmc, name))


def read_rooms() -> list[tuple[str, ast.stmt, ast.stmt | None]]:
    """Returns what each room exports from its files: its name, where it is defined, and what follows it."""
    found = []
    for room in sorted((ROOT / "xmc_jax").glob("*/__init__.py")):
        for line in ast.parse(room.read_text(encoding="utf-8")).body:
            if not isinstance(line, ast.ImportFrom) or not line.module.startswith("xmc_jax."):
                continue
            path = ROOT / f"{line.module.replace('.', '/')}.py"
            path = path if path.exists() else path.with_suffix("") / "__init__.py"
            body = ast.parse(path.read_text(encoding="utf-8")).body
            wanted = {alias.name for alias in line.names}
            for part, after in zip_longest(body, body[1:]):
                targets = getattr(part, "targets", [getattr(part, "target", part)])
                names = {getattr(t, "id", getattr(t, "name", "")) for t in targets} & wanted
                found += [(f"{line.module}.{name}", part, after) for name in names]
    return found


def test_every_export_of_a_room_says_what_it_is():
    exports = read_rooms()
    assert len(exports) > 300
    for name, part, after in exports:
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            assert ast.get_docstring(part), name
        else:  # a value or the name of a type: a string that follows it
            said = getattr(getattr(after, "value", None), "value", None)
            assert isinstance(after, ast.Expr) and isinstance(said, str), name


def test_every_public_name_says_what_it_is():
    undocumented = [name for name in xmc.__all__ if not inspect.getdoc(getattr(xmc, name))]
    assert undocumented == []
