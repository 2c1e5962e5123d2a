"""What a format of results is: bytes for each batch of documents, which only follow each other."""

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
        predictions: of N documents.
        fields: [N] name → value of what is carried along, the id first; empty dicts where nothing is.
        first: number of the first document, from 0.
    """

    predictions: Predictions
    fields: Sequence[dict[str, Any]]
    first: int = 0


@dataclass(frozen=True)
class Columns:
    """What every document has.

    Attributes:
        id: whether it has one.
        keep: names of the fields carried along.
        probabilities: whether there are any.
        names: whether labels have display names.
        separator: what stands between the labels in a cell; None: cells hold JSON lists.
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
    """A way to write results; to add one is to add a module and a line in `formats.py`.

    Attributes:
        name: as in `--format NAME`.
        title: as people call it.
        endings: of files' names.
        begin: returns what stands at the beginning.
        encode: returns the bytes of a batch.
        convert: reads what was written and writes the file that is wanted; None: they are the same.
        has_headings: whether each document has a line of its own above it, which a file of one document leaves out.
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
    """Returns the columns of results; labels of a cell are separated by what no name holds.

    Raises:
        InputError: a field to keep has the name of a column, or is named twice.
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
