"""Turns rows with named columns into documents, in the same way for all splits of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.bits import read_bit
from xmc_jax.data.cells import CellReading, choose_reading, is_list, is_missing
from xmc_jax.data.columns import Columns, choose_columns
from xmc_jax.data.format import Reader
from xmc_jax.data.literals import looks_like_list, parse_list
from xmc_jax.data.records import Records
from xmc_jax.data.split import Document, cut_documents
from xmc_jax.errors import InputError, tell

_NOTHING = {"nan", "<na>", "null", "\\n", "#n/a", "nat"}
_LIKE_NOTHING = {"none", "n/a"}
_LEAST_REPEATED = 0.1
"""Share of rows that repeat the text of another row from which rows with the same text are one document."""


@dataclass(frozen=True)
class RecordReading:
    """How records are read as documents; the same for all splits of a data set.

    Attributes:
        columns: the columns of the text and of the labels.
        cells: how a label cell is read; None if each label has a column of zeros and ones.
        joins: whether rows with the same text are one document with the labels of all.
        says: the choices, in a phrase.
    """

    columns: Columns
    cells: CellReading | None
    joins: bool
    says: str

    def settle(self) -> dict[str, str]:
        """Returns the settings that repeat the choices, whatever the rows."""
        chosen = {"text_column": ",".join(self.columns.text)}
        if self.cells is not None:
            chosen["labels_column"] = ",".join(self.columns.labels)
            chosen["label_separator"] = self.cells.separator
        return chosen


def open_records(
    files: Mapping[str, Callable[[], Records]],
    config: DataConfig,
    names: Sequence[str] | None = None,
) -> Reader:
    """Returns a reader of splits of records, read as the first of them suggests; `names` are those in `labels.txt`."""
    opened: dict[str, Records] = {}

    def find(split: str) -> Records:
        if split not in opened:
            opened[split] = files[split]()
        return opened[split]

    first = find(next(iter(files)))
    reading = choose_record_reading(first, config, names)
    says = f"{first.says}; {reading.says}" if first.says else reading.says
    return Reader(
        says,
        documents=lambda split: read_documents(find(split), reading),
        part=lambda split, *part: _read_part(find(split), reading, *part),
        records=find,
        joins=reading.joins,
        settled=reading.settle(),
    )


def _read_part(
    records: Records, reading: RecordReading, number: int, n_parts: int
) -> Iterator[Document]:
    """Yields the documents of a part of a split."""
    if records.cut is not None:
        return read_documents(records.cut(number, n_parts), reading)
    return cut_documents(lambda: read_documents(records, reading), number, n_parts)


def choose_record_reading(
    records: Records, config: DataConfig, names: Sequence[str] | None = None
) -> RecordReading:
    """Returns how the documents of a data set are to be read, given the rows of a split.

    Args:
        records: rows of the training split, or of the only split.
        config: the user's settings.
        names: names of the labels by number, if a file beside the data has them.

    Raises:
        InputError: no such column, or none that may hold the text or the labels.
    """
    columns = choose_columns(records, config)
    if columns.has_bits:
        return RecordReading(
            columns, None, False, f"{columns.says}, zeros and ones in a column for each"
        )
    records = _blank_marks(records, columns.labels)
    if len(columns.labels) > 1:
        return RecordReading(
            columns, choose_reading((), "none"), False, f"{columns.says}, one in each"
        )
    name = columns.labels[0]
    known = records.classes.get(name) or names
    seen: dict[int, int] = {}
    several: set[int] = set()
    n_rows = 0

    def cells() -> Iterator[Any]:
        nonlocal n_rows
        for _, values in records.rows((*columns.text, name)):
            n_rows += 1
            if isinstance(values[-1], str) or not is_list(values[-1]):
                key, label = hash(str(values[:-1])), hash(str(values[-1]))
                if seen.setdefault(key, label) != label:
                    several.add(key)
            yield values[-1]

    reading = choose_reading(cells(), config.label_separator, known)
    joins = False
    says = f"{columns.says}, {reading.says}"
    if not reading.n_several and several and n_rows - len(seen) >= _LEAST_REPEATED * n_rows:
        joins = True
        says += (
            f"; rows with the same text are one document ({n_rows:,} rows, {len(seen):,} documents)"
        )
    if name in records.classes:
        reading = _name_classes(reading, records.classes[name])
    return RecordReading(columns, reading, joins, says)


def _blank_marks(records: Records, labels: Sequence[str]) -> Records:
    """Returns records without the words by which programs write that a label cell of a table holds nothing."""
    if not records.is_table:
        return records

    def rows(columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        places = [i for i, name in enumerate(columns) if name in labels]
        n, example, n_like = 0, "", 0
        for number, values in records.rows(columns):
            for i in places:
                word = str(values[i]).strip()
                if word.lower() in _NOTHING:
                    n, example, values[i] = n + 1, word, ""
                n_like += word.lower() in _LIKE_NOTHING
            yield number, values
        if n:
            tell(f"{records.source}: {n:,} cells such as {example!r} are read as no label")
        if n_like:
            tell(
                f"{records.source}: {n_like:,} cells 'None' or 'N/A' are read as labels; leave cells empty for no label"
            )

    return replace(records, rows=rows)


def read_documents(records: Records, reading: RecordReading) -> Iterator[Document]:
    """Yields the documents of a split.

    Raises:
        InputError: a text or labels of the wrong kind, with the line.
    """
    columns, n_text = reading.columns, len(reading.columns.text)
    if not columns.has_bits:
        records = _blank_marks(records, columns.labels)
    whole = records.rows((*columns.text, *columns.labels))
    for number, values in whole:
        try:
            text = join_text(values[:n_text])
            if reading.cells is None:
                names: Any = [
                    name
                    for name, value in zip(columns.labels, values[n_text:], strict=True)
                    if read_bit(value, name, columns.minus)
                ]
            elif len(columns.labels) == 1:
                names = reading.cells.split(values[-1])
            else:
                names = [name for value in values[n_text:] for name in reading.cells.split(value)]
        except ValueError as error:
            raise InputError(f"{records.source}:{number}: {error}") from None
        yield records.source, number, text, names


def join_text(values: Sequence[Any]) -> Any:
    """Returns the text in some cells: strings, or lists of paragraphs, joined by spaces."""
    if len(values) == 1 and isinstance(values[0], str):
        if not (values[0][:1] == "[" and looks_like_list(values[0])):
            return values[0]
        return _join_printed(values[0])
    parts: list[str] = []
    for value in values:
        if is_list(value):
            value = join_text(list(value)) if len(value) else ""
        if len(values) > 1 and is_missing(value):
            continue
        if not isinstance(value, str):
            raise ValueError(f"the text is {value!r:.60}, a string needed")
        parts.append(_join_printed(value))
    return " ".join(parts)


def _join_printed(text: str) -> str:
    """Returns the joined paragraphs of a list that was printed into a cell; other text is left as it is."""
    if text[:2] not in ("['", '["') or not looks_like_list(text):
        return text
    try:
        parts = parse_list(text)
    except ValueError:
        return text
    return " ".join(parts) if parts and all(isinstance(p, str) for p in parts) else text


def _name_classes(reading: CellReading, classes: Sequence[str]) -> CellReading:
    """Replaces class numbers by names."""

    def name_of(number: Any) -> Any:
        if isinstance(number, bool) or not isinstance(number, int):
            return number
        if not 0 <= number < len(classes):
            raise ValueError(f"class {number} is unknown; the column has {len(classes)} classes")
        return classes[number]

    return CellReading(
        lambda cell: [name_of(item) for item in reading.split(cell)],
        reading.says,
        reading.separator,
        reading.n_several,
    )
