"""Parquet: lists of labels and numbers per document, 65,536 documents in a row group.

A Parquet file cannot be continued, since its index is at the end. So JSON lines are written first and converted when
all documents are done. A column carried along has the type of its values if they have one in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from xmc_jax.results import json_lines
from xmc_jax.results.format import Columns, Format

_GROUP = 65536


def convert(lines: BinaryIO, out: BinaryIO, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    carried = ["id"] * columns.id + list(columns.keep)
    kinds = _find_kinds(lines, [*carried, "labels"])
    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    fields = {name: types[kinds[name]] for name in carried}
    fields["labels"] = pa.list_(types[kinds["labels"]])
    for name in columns.heads[len(fields) :]:
        fields[name] = pa.list_(pa.string() if name == "names" else pa.float32())
    schema = pa.schema(list(fields.items()))
    with pq.ParquetWriter(out, schema) as writer:
        for group in _read_groups(lines):
            arrays = [
                pa.array([_fit(row.get(name), kinds.get(name)) for row in group], kind)
                for name, kind in fields.items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), _GROUP)


def _read_groups(lines: BinaryIO) -> Iterator[list[dict[str, Any]]]:
    lines.seek(0)
    while group := [json.loads(line) for line in islice(lines, _GROUP)]:
        yield group


def _find_kinds(lines: BinaryIO, names: list[str]) -> dict[str, type]:
    """Returns the type of each column; text for several types, and for lists."""
    seen: dict[str, set[type]] = {name: set() for name in names}
    for group in _read_groups(lines):
        for name, kinds in seen.items():
            values = (row.get(name) for row in group)
            if name == "labels":
                values = (value[0] for value in values if value)
            kinds.update(map(type, values))
    found = {}
    for name, kinds in seen.items():
        kinds.discard(type(None))
        one = float if kinds == {int, float} else next(iter(kinds), str)
        found[name] = one if len(kinds) < 2 or one is float else str
        if found[name] not in (bool, int, float):
            found[name] = str
    return found


def _fit(value: Any, kind: type | None) -> Any:
    if value is None or (isinstance(value, list) and kind is None):
        return value
    if kind is str and not isinstance(value, (str, list)):
        return json_lines.write_value(value)
    return float(value) if kind is float and isinstance(value, int) else value


FORMAT = Format(
    "parquet",
    "Parquet",
    (".parquet", ".pq"),
    lambda columns: b"",
    json_lines.encode,
    convert,
)
