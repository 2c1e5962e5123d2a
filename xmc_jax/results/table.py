"""CSV and TSV: a row per document, its labels in one cell and their scores in another."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from typing import Any

from xmc_jax.results.format import Columns, Format, Rows
from xmc_jax.results.json_lines import write_value
from xmc_jax.types import PAD


def begin(columns: Columns, delimiter: str) -> bytes:
    return _write([columns.heads], delimiter)


def encode(rows: Rows, columns: Columns, delimiter: str) -> bytes:
    found = rows.predictions
    labels: list[list[Any]] = [[i for i in row if i != PAD] for row in found.ids.tolist()]
    if found.label_names is not None:
        labels = list(found.names())
    shown = found.display_names() if columns.names else []
    parts = [found.scores] + [found.probabilities] * columns.probabilities
    # NumPy prints a float32 with the fewest digits that restore the same number.
    digits = [part.astype(str).tolist() for part in parts if part is not None]
    cells = []
    for i, names in enumerate(labels):
        row = [_show(value) for value in rows.fields[i].values()]
        row.append(_join([str(name) for name in names], columns.separator))
        if columns.names:
            row.append(_join(shown[i], columns.separator))
        row += [_join(part[i][: len(names)], columns.separator) for part in digits]
        cells.append(row)
    return _write(cells, delimiter)


def _join(values: list[str], separator: str | None) -> str:
    return json.dumps(values, ensure_ascii=False) if separator is None else separator.join(values)


def _show(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else write_value(value).strip('"')


def _write(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _make(name: str, title: str, endings: tuple[str, ...], delimiter: str) -> Format:
    return Format(
        name,
        title,
        endings,
        partial(begin, delimiter=delimiter),
        partial(encode, delimiter=delimiter),
    )


CSV = _make("csv", "CSV", (".csv",), ",")
TSV = _make("tsv", "TSV", (".tsv", ".tab"), "\t")
