"""The log of a run read back: the lines of its `metrics.jsonl`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xmc_jax.run import layout


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a `metrics.jsonl`; empty if there is no file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            facts = json.loads(line)
        except ValueError:  # half a line, from a process that was killed
            continue
        if isinstance(facts, dict):
            lines.append(facts)
    return lines


def read_logs(folder: str | os.PathLike | None) -> dict[str, list[dict[str, Any]]]:
    """Returns the lines of a run by the part that they belong to, such as `member_00`; '' is the run itself."""
    if folder is None:
        return {}
    found = {}
    for path in sorted(Path(folder).rglob(layout.METRICS)):
        part = path.parent.relative_to(folder).as_posix()
        found["" if part == "." else part] = read_log(path)
    return found


def group_curves(lines: Iterable[dict[str, Any]]) -> dict[int, dict[int, dict[str, Any]]]:
    """Returns the lines of a fine-tuning by level and step; the last line counts for a step that was repeated."""
    return _group(lines, "loss")


def group_scores(lines: Iterable[dict[str, Any]]) -> dict[int, dict[int, dict[str, Any]]]:
    """Returns the evaluations of held-out documents during a fine-tuning by level and step."""
    return _group(lines, "P@1")


def _group(lines: Iterable[dict[str, Any]], key: str) -> dict[int, dict[int, dict[str, Any]]]:
    levels: dict[int, dict[int, dict[str, Any]]] = {}
    for facts in lines:
        if facts.get("stage") == "tuning" and key in facts:
            levels.setdefault(facts["level"], {})[facts["step"]] = facts
    return levels
