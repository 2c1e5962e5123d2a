"""Rows with named columns, of whatever file or library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

_SAMPLE = 200


@dataclass(frozen=True)
class Records:
    """Rows with named columns, which can be read again and again.

    Attributes:
        source: where they come from, for errors.
        columns: their names; of JSON lines those of the first rows.
        rows: yields line and values of the columns asked for.
        says: how they are written.
        classes: names of class numbers, by column.
        is_table: the names come from a header line, which may be missing.
        head: the first rows, where rows may lack columns.
        cut: returns the rows of one of several parts, by its number (from 0) and how many there are; None: all rows
            have to be read to find them.
    """

    source: str
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Iterator[tuple[int, list[Any]]]]
    says: str = ""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_table: bool = False
    head: Sequence[Mapping[str, Any]] | None = None
    cut: Callable[[int, int], Records] | None = None

    def sample(self) -> list[dict[str, Any]]:
        """Returns the first rows by column; what a row lacks is None."""
        if self.head is not None:
            return [{name: row.get(name) for name in self.columns} for row in self.head]
        rows = islice(self.rows(self.columns), _SAMPLE)
        return [dict(zip(self.columns, values, strict=True)) for _, values in rows]
