"""Predictions for reading: a data frame, a few rows of text, a small HTML table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.types import PAD

if TYPE_CHECKING:
    from xmc_jax.predict.predictions import Predictions

_ROWS, _LABELS, _LETTERS = 5, 3, 28


def to_frame(predictions: Predictions) -> Any:
    """Returns a pandas data frame with a row for each label of each document, best first.

    Columns: `document` (row number), `rank` (from 1), `label` (name, or id), `score` and `probability`, where there are
    any.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InputError("a data frame asked for, pandas needed: pip install pandas") from None
    rows, ranks = np.nonzero(predictions.ids != PAD)
    ids, names = predictions.ids[rows, ranks], predictions.label_names
    columns: dict[str, Any] = {"document": rows, "rank": ranks + 1}
    columns["label"] = ids if names is None else [names[i] for i in ids.tolist()]
    columns["score"] = predictions.scores[rows, ranks]
    if predictions.probabilities is not None:
        columns["probability"] = predictions.probabilities[rows, ranks]
    return pd.DataFrame(columns)


def show_text(predictions: Predictions) -> str:
    """Returns the number of documents and the best labels of the first five, as text."""
    lines = [_title(predictions)]
    for number, cells in _list_rows(predictions):
        lines.append(f"{number:>6}  " + "  ".join(f"{name} {value}" for name, value in cells))
    if len(predictions) > _ROWS:
        lines.append(f"     …  {len(predictions) - _ROWS:,} more")
    return "\n".join(lines)


def show_html(predictions: Predictions) -> str:
    """Returns the same as an HTML table."""
    rows = [
        f"<tr><th>{number}</th>"
        + "".join(
            f"<td style='text-align:left'>{escape(name)} <small>{value}</small></td>"
            for name, value in cells
        )
        + "</tr>"
        for number, cells in _list_rows(predictions)
    ]
    if len(predictions) > _ROWS:
        rows.append(f"<tr><th>…</th><td>{len(predictions) - _ROWS:,} more</td></tr>")
    title = escape(_title(predictions))
    return f"<table><caption style='text-align:left'>{title}</caption>{''.join(rows)}</table>"


def _title(predictions: Predictions) -> str:
    n, width = predictions.ids.shape
    what = "scores" if predictions.probabilities is None else "probabilities"
    return (
        f"Predictions of {n:,} document{'s' * (n != 1)}: up to {width:,} of {predictions.n_labels:,} labels each "
        f"(best {min(width, _LABELS)} with {what})"
    )


def _list_rows(predictions: Predictions) -> list[tuple[int, list[tuple[str, str]]]]:
    """Returns number, and names and values of the best labels, of the first documents."""
    shown = predictions[:_ROWS]
    values = shown.scores if shown.probabilities is None else shown.probabilities
    names = shown.label_names
    return [
        (
            row,
            [
                (_cut(str(i) if names is None else names[i]), f"{value:.3f}")
                for i, value in list(zip(ids, values[row].tolist(), strict=True))[:_LABELS]
                if i != PAD
            ],
        )
        for row, ids in enumerate(shown.ids.tolist())
    ]


def _cut(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
