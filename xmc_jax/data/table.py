"""CSV, TSV and their relatives: delimiter, quoting and header as spreadsheets and databases write them."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.cells import show
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.lines import read_lines, settle_encoding
from xmc_jax.data.reading import open_records
from xmc_jax.data.records import Records
from xmc_jax.errors import InputError, tell

DELIMITERS = (",", "\t", ";", "|")
LONGEST_CELL = 2**31 - 1
_ROWS = 200
"""Rows that show which quotes a table has."""
_RULE = re.compile(r"[\s:]*(?:[-=]{2,}[\s:+]*)*")
_FOOTER = re.compile(r"\(\d+ [\w ]+\)")
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: one character.
        quoted: cells may be in quotes, and a quote inside is doubled.
        escaped: a quote inside is escaped by a backslash instead.
        skipped: lines before the header.
        quote: the character around quoted cells.
    """

    delimiter: str
    quoted: bool = True
    escaped: bool = False
    skipped: int = 0
    quote: str = '"'

    @property
    def says(self) -> str:
        how = "" if self.quoted else ", read without quoting"
        return (
            f"{show(self.delimiter)} between cells"
            + how
            + (", quotes escaped by \\" if self.escaped else "")
            + (", single quotes around them" if self.quote == "'" else "")
        )


@dataclass(frozen=True)
class _Scan:
    """Findings of reading a whole table in a dialect: the first fault, cells over several lines, blank rows at the
    end, all rows, and those that are the header once more."""

    fault: InputError | None
    n_spread: int = 0
    n_blank: int = 0
    n_rows: int = 0
    n_headers: int = 0


def read_records(path: Path, config: DataConfig) -> Records:
    """Reads a table's header, and the whole table once to see how it is written.

    Raises:
        InputError: an empty file, a row with another number of cells, a quote that does not close; with its line.
    """
    config = settle_encoding(path, config)
    dialect = choose_dialect(path, config)
    header = _read_header(path, dialect, config)
    dialect, scan = _choose_rows(path, dialect, header, config)
    if scan.fault is not None:
        raise scan.fault
    if scan.n_headers:
        tell(
            f"{path}: {scan.n_headers:,} rows are the header once more, as of tables that were put together; they are "
            "left out"
        )
    if scan.n_blank:
        tell(f"{path}: {scan.n_blank:,} blank rows at the end are left out")

    def rows(columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        places = [header.index(name) for name in columns]
        for number, cells in islice(_read_rows(path, dialect, header, config), scan.n_rows):
            if not _is_header(cells, header):
                yield number, [cells[i] for i in places]

    return Records(
        str(path), tuple(name for name in header if name), rows, says=dialect.says, is_table=True
    )


def choose_dialect(path: Path, config: DataConfig) -> Dialect:
    """Returns the dialect that the header suggests, with quotes.

    Excel's first line `sep=;` is obeyed. Otherwise the delimiter is the character that cuts the header into most cells.
    """
    first, skipped = "", 0
    for line in read_lines(path, config.encoding):
        match = _SEP_LINE.fullmatch(line.strip(" \r")) if not first else None
        if match and config.delimiter == "auto":
            return Dialect(match[1], config.quoting != "none", skipped=skipped + 1)
        if match or not line.strip():
            skipped += 1
            continue
        first = line
        break
    if not first:
        raise InputError(f"{path}: is empty; a header line and rows needed")
    quoted = config.quoting != "none"
    if config.delimiter != "auto":
        return Dialect(
            "\t" if config.delimiter == "tab" else config.delimiter, quoted, skipped=skipped
        )
    counts = {d: len(_cut_header(first, d)) for d in DELIMITERS}
    best = max(DELIMITERS, key=lambda d: counts[d])
    if counts[best] == 1 or counts["\t"] > 1:  # a name may hold a comma, and none a tab
        is_named = bool({".tsv", ".tab"} & {s.lower() for s in path.suffixes})
        best = "\t" if is_named else best if counts[best] > 1 else ","
    is_single = config.quoting == "auto" and _has_single_quotes(path, best, config)
    return Dialect(best, quoted, skipped=skipped, quote="'" if is_single else '"')


def _has_single_quotes(path: Path, delimiter: str, config: DataConfig) -> bool:
    """Returns whether each of the first rows below the header has a cell in single quotes, and none half quoted."""
    mark = re.escape(delimiter)
    cell = rf"(?:'(?:[^']|'')*'|[^'\"{mark}]*)"
    row = re.compile(rf"(?=(?:.*{mark})?')(?:{cell}{mark})*{cell}")
    lines = [line for line in islice(read_lines(path, config.encoding), _ROWS) if line.strip()]
    return len(lines) > 1 and all(map(row.fullmatch, lines[1:]))


def _cut_header(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return line.split(delimiter)


def _read_header(path: Path, dialect: Dialect, config: DataConfig) -> list[str]:
    row = next(_parse(path, dialect, config), None)
    if row is None:
        raise InputError(f"{path}: is empty; a header line and rows needed")
    return [name.strip() for name in row[1]]


def _choose_rows(
    path: Path, dialect: Dialect, header: list[str], config: DataConfig
) -> tuple[Dialect, _Scan]:
    """Returns how rows are to be read, and the findings of reading them so.

    Tab-separated text is read without quoting unless every quoted cell closes on its own line; a table with another
    delimiter is read with quoting.
    """
    scan = _scan(path, dialect, header, config)
    if config.quoting != "auto" or (scan.fault is None and not scan.n_spread):
        return dialect, scan
    best = dialect, scan
    if scan.fault is not None and any('\\"' in line for line in read_lines(path, config.encoding)):
        escaped = replace(dialect, escaped=True)
        other = _scan(path, escaped, header, config)
        best = (escaped, other) if other.fault is None else best
        if other.fault is None and not other.n_spread:
            return best
    plain = replace(dialect, quoted=False)
    if dialect.delimiter != "\t" and best[1].fault is not None:
        return best
    other = _scan(path, plain, header, config)
    if dialect.delimiter == "\t":
        if other.fault is None and best[1].fault is None:
            tell(
                f"{path}: is read without quoting, a row per line; if {best[1].n_spread:,} quoted cells span "
                "several lines, set --data.quoting quotes"
            )
        return best if other.fault is not None and best[1].fault is None else (plain, other)
    if other.fault is None:
        tell(
            f"{path}: {best[1].n_spread:,} quoted cells span several lines; if each line is a row, "
            "set --data.quoting none"
        )
    return best


def _scan(path: Path, dialect: Dialect, header: list[str], config: DataConfig) -> _Scan:
    n_spread = n_blank = n_rows = n_headers = 0
    try:
        for _, cells in _read_rows(path, dialect, header, config):
            n_spread += any("\n" in cell for cell in cells)
            n_headers += _is_header(cells, header)
            if any(cells) or len(header) < 2:
                n_rows, n_blank = n_rows + n_blank + 1, 0
            else:
                n_blank += 1
    except InputError as error:
        return _Scan(error, n_spread)
    return _Scan(None, n_spread, n_blank, n_rows, n_headers)


def _is_header(cells: list[str], header: list[str]) -> bool:
    return len(header) > 1 and [cell.strip() for cell in cells] == header


def _read_rows(
    path: Path, dialect: Dialect, header: list[str], config: DataConfig
) -> Iterator[tuple[int, list[str]]]:
    """Yields line and cells of each row below the header; cells beyond the last named column must be blank."""
    rows = _parse(path, dialect, config)
    next(rows)
    n_named = max((i for i, name in enumerate(header, 1) if name), default=0)
    is_ruled, loose = False, 0
    for at, (number, cells) in enumerate(rows):
        if not at and all(map(_RULE.fullmatch, cells)) and any("-" in cell for cell in cells):
            is_ruled = True
            continue  # between the header and the rows, as databases and Markdown have it
        if len(header) > 1 and len(cells) == 1:
            if is_ruled and _FOOTER.fullmatch(cells[0]):
                continue
            if not cells[0].strip():
                loose = loose or number  # white space after the last row is no row
                continue
        too_many = any(cell.strip() for cell in cells[len(header) :])
        if loose or len(cells) < n_named or too_many:
            n_cells = 1 if loose else len(cells)
            raise InputError(
                f"{path}:{loose or number}: {n_cells} cell(s), {len(header)} needed as in the header; "
                f"quote what holds {_name_mark(dialect.delimiter)}"
            )
        yield number, (cells + [""] * len(header))[: len(header)]


def _name_mark(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon"}.get(delimiter, show(delimiter))


def _parse(path: Path, dialect: Dialect, config: DataConfig) -> Iterator[tuple[int, list[str]]]:
    """Yields line and cells of each row that is not blank, the header first."""
    lines = islice(enumerate(read_lines(path, config.encoding), 1), dialect.skipped, None)
    if not dialect.quoted:
        yield from ((n, line.split(dialect.delimiter)) for n, line in lines if line)
        return
    more: dict[str, Any] = {"doublequote": False, "escapechar": "\\"} if dialect.escaped else {}
    rows = csv.reader(
        (line + "\n" for _, line in lines),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        strict=True,
        **more,
    )
    end = 0
    with _allow_long_cells():
        try:
            for row in rows:
                start, end = end + 1, rows.line_num
                if row:
                    yield start + dialect.skipped, row
        except csv.Error as error:
            raise _find_open_quote(path, dialect, config, end + 1, str(error)) from None


def _find_open_quote(
    path: Path, dialect: Dialect, config: DataConfig, line: int, reason: str
) -> InputError:
    """Returns the error for a row whose quotes are wrong, at the line where the quote opens."""
    first = line + dialect.skipped
    for number, text in islice(enumerate(read_lines(path, config.encoding), 1), first - 1, None):
        rest, at = text, 0
        while rest.startswith('"') or f'{dialect.delimiter}"' in rest:
            at = 0 if rest.startswith('"') else rest.index(f'{dialect.delimiter}"') + 1
            closed = re.match(r'"(?:[^"]|"")*"(?!")', rest[at:])
            if closed is None or rest[at + closed.end() :][:1] not in ("", dialect.delimiter):
                return InputError(
                    f"{path}:{number}: the quote that opens at {rest[at : at + 24]!r} does not close before "
                    f"{show(dialect.delimiter)} or a line's end ({reason}); close it (a quote inside is doubled), or "
                    "set --data.quoting none"
                )
            rest = rest[at + closed.end() :]
        if number > first + 1000:
            break
    return InputError(f"{path}:{first}: {reason}; check the quotes, or set --data.quoting none")


@contextlib.contextmanager
def _allow_long_cells() -> Iterator[None]:
    allowed = csv.field_size_limit(LONGEST_CELL)  # global to the module, so it is restored
    try:
        yield
    finally:
        csv.field_size_limit(allowed)


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether a file has an ending of a table, or its first line has several cells."""
    is_named = any(s in (".csv", ".tsv", ".tab", ".psv") for s in path.suffixes[-2:])
    first = next((line for line in lines if line.strip()), "")
    return is_named or any(d in first for d in ("\t", ";", "|", ","))


def open_table(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return open_records(
        {split: partial(read_records, p, config) for split, p in files.items()}, config, names
    )


FORMAT = Format("table", "CSV or TSV", "train.csv[.gz] or train.tsv[.gz]", open_table, accepts)
