"""All formats of results."""

from __future__ import annotations

from pathlib import Path

from xmc_jax.errors import InputError, suggest
from xmc_jax.results import annif, json_lines, parquet, table
from xmc_jax.results.format import Format

FORMATS = {
    format.name: format
    for format in (json_lines.FORMAT, table.CSV, table.TSV, parquet.FORMAT, annif.FORMAT)
}
"""Formats of predictions, by name."""


def choose_format(output: str, name: str | None = None) -> Format:
    """Returns the named format, or else that of the file's ending; JSON lines for other endings.

    Raises:
        InputError: an unknown name, or Parquet in a file that ends in `.gz`.

    Example:
        >>> choose_format("labels.csv").name, choose_format("labels.csv", "tsv").name
        ('csv', 'tsv')
    """
    path = Path(output)
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if name is not None and name not in FORMATS:
        raise InputError(f"option '--format {name}'{suggest(name, FORMATS)}")
    by_ending = {ending: f for f in FORMATS.values() for ending in f.endings}
    usual = by_ending.get(plain.suffix.lower(), FORMATS["jsonl"])
    chosen = usual if name is None else FORMATS[name]
    if chosen.convert is not None and path.suffix == ".gz":
        raise InputError(f"option '--output {output}': {chosen.title} is compressed; drop .gz")
    return chosen
