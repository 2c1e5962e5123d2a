"""Parquet, Arrow and Feather files, read a few thousand rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.reading import open_records
from xmc_jax.data.records import Records
from xmc_jax.data.split import SPLITS
from xmc_jax.errors import InputError

ENDINGS = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
_BATCH = 4096


def accepts(path: Path, lines: Sequence[str]) -> bool:
    """Returns whether a file begins as Parquet, Arrow or Feather does, or has such an ending."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(6)
    except OSError:
        return False
    return head[:4] in (b"PAR1", b"FEA1") or head == b"ARROW1" or path.suffix in ENDINGS


def open_files(files: Files, config: DataConfig, names: Sequence[str] | None) -> Reader:
    return open_records(
        {split: partial(_read_parts, p) for split, p in files.items()}, config, names
    )


def _read_parts(paths: Path | Sequence[Path]) -> Records:
    """Returns the rows of a file, or of several with the same columns."""
    if isinstance(paths, Path):
        return read_records(paths)
    parts = [read_records(path) for path in paths]
    for part in parts:
        if missing := sorted(set(parts[0].columns) - set(part.columns)):
            raise InputError(
                f"{part.source}: has no column {missing[0]!r} as {parts[0].source} has"
            )

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        whole = (values for part in parts for _, values in part.rows(wanted))
        yield from enumerate(whole, 1)

    source = f"{parts[0].source} and {len(parts) - 1} more"
    return Records(source, parts[0].columns, rows, classes=parts[0].classes)


def read_records(path: Path) -> Records:
    """Returns the rows of a file.

    Raises:
        InputError: the file is damaged or in none of these formats.
    """
    schema = _guard(path, lambda: _open_batches(path, None)[0])
    columns = tuple(schema.names)

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        number = 0
        batches = iter(_guard(path, lambda: _open_batches(path, list(wanted)))[1])
        while (batch := _guard(path, lambda: next(batches, None))) is not None:
            held = [batch.column(name).to_pylist() for name in wanted]
            for values in zip(*held, strict=True):
                number += 1
                yield number, list(values)

    return Records(str(path), columns, rows, classes=_find_classes(schema))


def _find_classes(schema: Any) -> dict[str, list[str]]:
    """Returns the names of class numbers by column, which `datasets` writes beside the schema."""
    told = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(told)["info"]["features"] if told else {}
    except (ValueError, KeyError, TypeError):
        return {}
    classes = {}
    for name, feature in features.items():
        if isinstance(feature, list) and feature:
            feature = feature[0]
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            classes[name] = [str(label) for label in feature.get("names", ())]
    return classes


def _guard(path: Path, act: Any) -> Any:
    import pyarrow as pa

    try:
        return act()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error!s:.200}); write it again") from None


def _open_batches(path: Path, wanted: list[str] | None) -> tuple[Any, Iterator[Any]]:
    """Returns the schema of all columns, and batches of rows with the wanted ones."""
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    with open(path, "rb") as stream:
        head = stream.read(6)
    if head[:4] == b"PAR1":
        file = pa.parquet.ParquetFile(path)
        return file.schema_arrow, file.iter_batches(_BATCH, columns=wanted)
    if head == b"ARROW1":
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        return reader.schema, (part for b in batches for part in _cut(b))
    if head[:4] == b"FEA1":
        table = pa.feather.read_table(path)
        return table.schema, iter(table.to_batches(_BATCH))
    stream_reader = pa.ipc.open_stream(pa.memory_map(str(path)))
    return stream_reader.schema, (part for b in stream_reader for part in _cut(b))


def _cut(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, _BATCH):
        yield batch.slice(start, _BATCH)


def find_splits(folder: Path) -> Files:
    """Returns the files of each split in a folder that `datasets` saved, or in the folder `data` of a hub's set."""
    if (folder / "state.json").is_file():
        return {"train": tuple(sorted(folder.glob("data-*.arrow")))}
    if (folder / "dataset_dict.json").is_file():
        saved = {s: tuple(sorted(folder.glob(f"{s}/data-*.arrow"))) for s in SPLITS}
        if not saved["valid"]:
            saved["valid"] = tuple(sorted(folder.glob("validation/data-*.arrow")))
        return {split: files for split, files in saved.items() if files}
    names = {"valid": "validation"}
    found = {s: sorted(folder.glob(f"data/{names.get(s, s)}-*-of-*.parquet")) for s in SPLITS}
    return {split: tuple(files) for split, files in found.items() if files}


FORMAT = Format(
    "parquet",
    "Parquet or Arrow",
    "train.parquet or train.arrow",
    open_files,
    accepts,
    find=find_splits,
)
