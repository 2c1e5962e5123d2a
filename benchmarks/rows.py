"""Rows of result files, as the report reads them, and of tables, as it writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def read_rows(path: Path) -> list[dict]:
    """Returns the lines of a file, or none if it does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def join_scores(row: dict, name: str) -> str:
    """Returns a metric at 1, 3 and 5."""
    return " / ".join(f"{row[f'{name}@{k}']:.2f}" for k in (1, 3, 5))


def make_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Returns the lines of a table."""
    return [_join(cells) for cells in (heads, ["---"] * len(heads), *rows)]


def _join(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
