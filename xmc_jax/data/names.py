"""Display names of labels that are identifiers, and further names that people search by."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmc_jax.data.labels import bare_uri
from xmc_jax.data.lines import read_byte_lines, read_lines
from xmc_jax.data.skos import PREFERRED, Name, read_rdf_xml, read_turtle
from xmc_jax.errors import InputError
from xmc_jax.files import replace_file

_ENGLISH = "en"
_HEADERS = {
    "uri", "id", "label", "labels", "identifier", "code", "notation", "name", "concept", "key", "title", "uid",
}  # fmt: skip


@dataclass(frozen=True)
class LabelNames:
    """Display names and further names of labels.

    Attributes:
        display: the name to show for a label, by the label's own name.
        others: further names under which a label is found.
    """

    display: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.display)

    def show(self, label: str) -> str:
        """Returns the display name of a label, or the label itself."""
        return self.display.get(label, label)

    def tell(self, label: str) -> str:
        """Returns the display name followed by the label, or only the label if it has no other name."""
        return f"{self.display[label]} <{label}>" if label in self.display else label

    def find(self, wanted: str) -> list[str]:
        """Returns the labels with this name: an exact match, else one that ignores case; display names before
        others."""
        steps: list[Callable[[str], str]] = [str, str.casefold]
        for fold in steps:
            for names in (self._list_display(), self._list_others()):
                found = [label for label, name in names if fold(name) == fold(wanted)]
                if found:
                    return list(dict.fromkeys(found))
        return []

    def _list_display(self) -> Iterator[tuple[str, str]]:
        yield from self.display.items()

    def _list_others(self) -> Iterator[tuple[str, str]]:
        for label, names in self.others.items():
            yield from ((label, name) for name in names)

    def keep(self, labels: Iterable[str]) -> LabelNames:
        """Returns the names of the given labels only."""
        wanted = set(labels)
        return LabelNames(
            {k: v for k, v in self.display.items() if k in wanted},
            {k: v for k, v in self.others.items() if k in wanted},
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes a line per label: label, display name and other names, separated by tabs."""
        with replace_file(path) as stream:
            for label, name in self.display.items():
                row = [label, name, *self.others.get(label, ())]
                stream.write(("\t".join(" ".join(cell.split()) for cell in row) + "\n").encode())


def tell_label(labels: Sequence[str], i: int) -> str:
    """Returns the display name of label i, followed by its own name."""
    names = getattr(labels, "names", None)
    return labels[i] if names is None else names.tell(labels[i])


def find_label(labels: Sequence[str], wanted: str) -> int | None:
    """Returns the number of a label by its own name, else by its display or further names; None if there is none.

    Raises:
        InputError: several labels have this name.
    """
    if wanted in labels:
        return labels.index(wanted)
    found = getattr(labels, "names", LabelNames()).find(wanted)
    if len(found) > 1:
        shown = ", ".join(repr(label) for label in found[:5])
        raise InputError(
            f"{len(found)} labels are called {wanted!r:.60}: {shown}; name one of them"
        )
    return labels.index(found[0]) if found else None


class NamedLabels(list[str]):
    """A list of the labels' own names, with their display names in `names`."""

    def __init__(self, labels: Iterable[str], names: LabelNames) -> None:
        super().__init__(labels)
        self.names = names


def read_saved_names(path: str | os.PathLike) -> LabelNames:
    """Reads names written by `LabelNames.save`."""
    display, others = {}, {}
    for line in read_lines(path):
        label, name, *more = line.split("\t")
        display[label] = name
        if more:
            others[label] = more
    return LabelNames(display, others)


def read_names(path: str | os.PathLike, labels: Sequence[str], language: str = "") -> LabelNames:
    """Reads the display names of labels.

    Args:
        path: SKOS in Turtle, N-Triples or RDF/XML, a table (TSV, CSV) with a column of labels, or a JSON object
            label → name.
        labels: the labels' own names; the column of a table that holds most of them is taken as theirs.
        language: of the names to show, such as `fi`; empty for English if there is any, else the most frequent.

    Raises:
        InputError: no such file, a file of another kind, or one that names none of the labels.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; a table or SKOS vocabulary with the labels' names needed"
        )
    reader = choose_reader(path)
    names = reader(path) if reader else _read_table(path, set(labels))
    found = _choose_names(names, language.lower()).keep(labels)
    if not found.display:
        raise InputError(
            f"{path}: names none of the {len(labels):,} labels, such as {next(iter(labels), '')!r:.60}; "
            "a file with these identifiers needed"
        )
    return found


def choose_reader(path: Path) -> Callable[[Path], Iterator[Name]] | None:
    """Returns the reader of a SKOS file, by its ending or first line; None for a table."""
    suffixes = {s.lower() for s in path.suffixes[-2:]}
    if ".json" in suffixes:
        return _read_map
    if suffixes & {".ttl", ".n3", ".nt", ".turtle"}:
        return read_turtle
    if suffixes & {".rdf", ".xml", ".owl", ".skos"}:
        first = next((line for line in read_byte_lines(path) if line.strip()), b"").lstrip()
        return read_rdf_xml if first.startswith(b"<") else read_turtle
    if suffixes & {".tsv", ".csv", ".txt"}:
        return None
    first = next((line for line in read_byte_lines(path) if line.strip()), b"").lstrip()
    if first.startswith((b"<?xml", b"<rdf")):
        return read_rdf_xml
    return read_turtle if first.lower().startswith((b"@prefix", b"prefix", b"@base")) else None


def _choose_names(names: Iterable[Name], language: str) -> LabelNames:
    """Returns the preferred name in the wanted language as the one to show, and all others as further names."""
    by_label: dict[str, list[Name]] = {}
    spoken: Counter[str] = Counter()
    for name in names:
        by_label.setdefault(bare_uri(name.concept), []).append(name)
        spoken[name.language] += name.kind == PREFERRED
    best = language or (
        _ENGLISH if spoken[_ENGLISH] else spoken.most_common(1)[0][0] if spoken else ""
    )
    display, others = {}, {}
    for label, held in by_label.items():

        def rank(name: Name) -> tuple[bool, bool, bool]:
            is_wanted = name.language == best or name.language.startswith(f"{best}-")
            return name.kind != PREFERRED, not is_wanted, bool(name.language)

        first = min(held, key=rank)
        display[label] = first.text
        more = dict.fromkeys(n.text for n in held if n.text != first.text)
        if more:
            others[label] = list(more)
    return LabelNames(display, others)


def _read_map(path: Path) -> Iterator[Name]:
    """Yields the names in a JSON object: label → name."""
    try:
        value = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise InputError(f'{path}: an object {{"label": "name", ...}} needed; or a table, or SKOS')
    for label, name in value.items():
        if name.strip():
            yield Name(label, PREFERRED, " ".join(name.split()), "")


def _read_table(path: Path, labels: set[str]) -> Iterator[Name]:
    """Yields the names in a table; a header may name languages, as `label_en`."""
    lines = [line for line in read_lines(path) if line.strip()]
    first = lines[0] if lines else ""
    delimiter = max("\t,;", key=first.count)
    # A quote sign in tab-separated text is one, unless it encloses whole cells.
    quoted = delimiter != "\t" or all(line.count('"') % 2 == 0 for line in lines)
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    cut = csv.reader(lines, delimiter=delimiter, quoting=quoting)
    rows = [[cell.strip() for cell in row] for row in cut if row]
    width = max(map(len, rows), default=0)
    if width < 2:
        raise InputError(f"{path}: has one column; lines of a label, a tab and its name needed")
    hits = [sum(len(row) > i and bare_uri(row[i]) in labels for row in rows) for i in range(width)]
    place = hits.index(max(hits))
    header = (
        rows[0]
        if {cell.lower() for cell in rows[0]} & _HEADERS and bare_uri(rows[0][place]) not in labels
        else []
    )
    columns = [i for i in range(width) if i != place]
    named = [i for i in columns if i < len(header) and _is_name(header[i])] or columns
    for row in rows[bool(header) :]:
        if len(row) <= place or not row[place]:
            continue
        for i in columns:
            if i < len(row) and row[i]:
                kind = PREFERRED if i == named[0] or (header and i in named) else "other"
                yield Name(row[place], kind, " ".join(row[i].split()), _language_of(header, i))


def _is_name(column: str) -> bool:
    return column.lower().startswith(("label", "name", "title", "pref", "display"))


def _language_of(header: list[str], i: int) -> str:
    if i >= len(header):
        return ""
    tail = header[i].lower().replace("-", "_").rpartition("_")[2]
    return tail if _is_name(header[i]) and len(tail) in (2, 3) else ""
