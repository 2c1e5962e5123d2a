"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect
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


def test_every_public_name_says_what_it_is():
    undocumented = [name for name in xmc.__all__ if not inspect.getdoc(getattr(xmc, name))]
    assert undocumented == []
