"""Annif's results: `<uri> TAB name TAB score` per label; several documents in one file each have a heading."""

from __future__ import annotations

from collections.abc import Sequence

from xmc_jax.results.format import Columns, Format, Rows
from xmc_jax.types import PAD


def encode(rows: Rows, columns: Columns) -> bytes:
    found = rows.predictions
    values = found.scores if found.probabilities is None else found.probabilities
    blocks = []
    for i, ids in enumerate(found.ids.tolist()):
        name = rows.fields[i].get("id", rows.first + i + 1)
        blocks.append(f"Suggestions for {name}\n")
        blocks += encode_labels(found.label_names, ids, values[i].astype(str).tolist())
    return "".join(blocks).encode("utf-8", "backslashreplace")


def encode_labels(names: Sequence[str] | None, ids: list[int], digits: list[str]) -> list[str]:
    """Returns the lines of one document."""
    lines = []
    for label, score in zip(ids, digits, strict=True):
        if label != PAD:
            name = str(label) if names is None else names[label]
            display = getattr(names, "names", None)
            shown = name if display is None else display.show(name)
            uri = f"<{name}>\t" if "://" in name else ""
            lines.append(f"{uri}{' '.join(shown.split())}\t{score}\n")
    return lines


FORMAT = Format(
    "annif",
    "Annif's results",
    (".annif",),
    lambda columns: b"",
    encode,
    has_headings=True,
)
