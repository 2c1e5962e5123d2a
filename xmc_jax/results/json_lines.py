"""JSON lines: `{"id", ..., "labels": [...], "scores": [...], "probabilities": [...]}` per document."""

from __future__ import annotations

import json
import math
from typing import Any

from xmc_jax.predict.predictions import list_lines
from xmc_jax.results.format import Columns, Format, Rows


def encode(rows: Rows, columns: Columns) -> bytes:
    fields = [{name: _clean(value) for name, value in row.items()} for row in rows.fields]
    return b"".join(line.encode() for line in list_lines(rows.predictions, fields))


def write_value(value: Any) -> str:
    """Returns a value of the input as JSON; types that JSON lacks (dates, bytes) become text, NaN becomes null."""
    text = json.dumps(_clean(value), ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _clean(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


FORMAT = Format("jsonl", "JSON lines", (".jsonl", ".ndjson", ".json"), lambda columns: b"", encode)
