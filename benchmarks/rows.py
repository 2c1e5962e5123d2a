"""Rows of result files, as the report reads them."""

from __future__ import annotations

import json
from pathlib import Path


def read_rows(path: Path) -> list[dict]:
    """Returns the lines of a file; none where it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def join_scores(row: dict, name: str) -> str:
    """Returns a metric at 1, 3 and 5."""
    return " / ".join(f"{row[f'{name}@{k}']:.2f}" for k in (1, 3, 5))
