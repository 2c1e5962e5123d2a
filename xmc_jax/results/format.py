"""A format of results: bytes for each batch of documents, which are written one after the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from xmc_jax.errors import InputError
from xmc_jax.predict import Predictions

_SEPARATORS = (";", "|", "¦", " / ")
_OURS = ("id", "labels", "names", "scores", "probabilities")


class Rows(NamedTuple):
    """Some documents with their results.

    Attributes:
        predictions: predictions of N documents.
        fields: [N], name → value of the fields carried along, the id first; empty dicts without any.
        first: number of the first document, from 0.
    """

    predictions: Predictions
    fields: Sequence[dict[str, Any]]
    first: int = 0


@dataclass(frozen=True)
class Columns:
    """The columns that every document has.

    Attributes:
        id: whether documents have ids.
        keep: names of the fields carried along.
        probabilities: whether there are probabilities.
        names: whether labels have display names.
        separator: separator of the labels in a cell; None for cells with JSON lists.
    """

    id: bool = False
    keep: tuple[str, ...] = ()
    probabilities: bool = False
    names: bool = False
    separator: str | None = ";"

    @property
    def heads(self) -> list[str]:
        """Names of all columns, in order."""
        found = ["id"] * self.id + [*self.keep, "labels"] + ["names"] * self.names
        return [*found, "scores"] + ["probabilities"] * self.probabilities


@dataclass(frozen=True)
class Format:
    """A format of results; a new one takes a module and a line in `formats.py`.

    Attributes:
        name: as in `--format NAME`.
        title: as people call it.
        endings: endings of file names.
        begin: returns the beginning of a file.
        encode: returns the bytes of a batch.
        convert: turns what was written into the final file; None if they are the same.
        has_headings: whether each document has a heading line, which a file of one document leaves out.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    begin: Callable[[Columns], bytes]
    encode: Callable[[Rows, Columns], bytes]
    convert: Callable[[BinaryIO, BinaryIO, Columns], None] | None = None
    has_headings: bool = False

    def encode_alone(self, rows: Rows, columns: Columns) -> bytes:
        """Returns the file of one document."""
        content = self.begin(columns) + self.encode(rows, columns)
        if self.has_headings:
            return content.partition(b"\n")[2]
        if self.convert is None:
            return content
        whole = io.BytesIO()
        self.convert(io.BytesIO(content), whole, columns)
        return whole.getvalue()


def choose_columns(
    has_id: bool, keep: Sequence[str], probabilities: bool, names: Sequence[str] | None
) -> Columns:
    """Returns the columns of results; the separator of labels in a cell is one that no name contains.

    Raises:
        InputError: a field to keep has the name of a column, or is named twice.

    Example:
        >>> choose_columns(True, ["title"], False, ["a", "b;c"])
        Columns(id=True, keep=('title',), probabilities=False, names=False, separator='|')
    """
    for i, name in enumerate(keep):
        if name in _OURS:
            raise InputError(
                f"option '--keep {name}': results have a column of that name; rename it in the input"
            )
        if name in keep[:i]:
            raise InputError(f"option '--keep {name}' given twice; name each field once")
    display = getattr(names, "names", None)
    held = "\n".join(names or ())
    if display is not None:
        held += "\n".join(map(display.show, names or ()))
    separator = next((s for s in _SEPARATORS if s not in held), None)
    return Columns(has_id, tuple(keep), probabilities, display is not None, separator)
