"""Rows with named columns, from any file or library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

_SAMPLE = 200


@dataclass(frozen=True)
class Records:
    """Rows with named columns, which can be read any number of times.

    Attributes:
        source: where the rows come from, for errors.
        columns: their names; for JSON lines, the keys of the first rows.
        rows: yields line number and values of the requested columns.
        says: how the rows are written, in a phrase.
        classes: names of class numbers, by column.
        is_table: whether the names come from a header line, which may be missing.
        head: the first rows, where rows may lack columns.
        cut: returns the rows of a part, given its number (from 0) and the number of parts; None if all rows have to be
            read to find them.
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
        """Returns the first rows by column, with None for a column that a row lacks."""
        if self.head is not None:
            return [{name: row.get(name) for name in self.columns} for row in self.head]
        rows = islice(self.rows(self.columns), _SAMPLE)
        return [dict(zip(self.columns, values, strict=True)) for _, values in rows]
