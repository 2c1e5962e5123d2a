"""How label cells are written: a list, a printed list, zeros and ones, or names between separators.

All cells of a column decide, because a single cell cannot show whether `Smith, John` is one name or two.
"""

from __future__ import annotations

import html.entities
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xmc_jax.data.literals import looks_like_list, parse_list

STRONG = ("|", ";", "\t", "\n", "、", "，", "；", "،", "<br>")
"""Separators that names rarely contain, so that they take precedence over a comma."""
AUTO = ("auto", "")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITIES = html.entities.html5.keys()
_CODE = re.compile(r"\S*[\d._:/#\-]\S*|[A-Z]{1,5}|<[^<>\s]+>")
_TAG = re.compile(r"<([^<>\s]+)>")
_TAGS = re.compile(r"(?:<[^<>\s]+>)+")
_QUOTED = ("['", '["', "('", '("', "{'", '{"')
"""How a printed list of strings begins."""
_ENOUGH, _MOST = 1000, 100_000
"""Rows after which a column of lists is settled; distinct cells that are kept as evidence."""
_FEW = 5


@dataclass(frozen=True)
class CellReading:
    """How label cells are read.

    Attributes:
        split: returns the labels of a cell; raises ValueError for a cell of another kind.
        says: the choice, with an example.
        separator: the setting that repeats the choice, or "auto".
        n_several: cells seen that hold more than one label.
    """

    split: Callable[[Any], Any]
    says: str
    separator: str = "auto"
    n_several: int = 0


@dataclass
class _Evidence:
    n: int = 0
    n_lists: int = 0
    n_printed: int = 0
    n_strings: int = 0
    n_quoted: int = 0
    n_marked: int = 0
    widths: set[int] = field(default_factory=set)
    only_bits: bool = True
    cells: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    printed: str = ""
    n_several: int = 0

    def add(self, cell: Any) -> None:
        if is_missing(cell):
            return
        self.n += 1
        if not isinstance(cell, str):
            self.n_marked += _is_marked(cell)
            if is_list(cell):
                self.n_lists += 1
                self._look_at(list(cell))
            return
        self.n_strings += 1
        self.n_quoted += cell.lstrip()[:2] in _QUOTED
        if looks_like_list(cell):
            try:
                self._look_at(parse_list(cell))
                self.n_printed += 1
                self.printed = self.printed or cell
            except ValueError:
                self.only_bits = False
        for mark in (*STRONG, ","):
            if mark in cell and (mark != ";" or ";" in _hide_entities(cell)):
                self.holds[mark] += 1
        if cell in self.cells or len(self.cells) < _MOST:
            self.cells[cell] += 1

    def _look_at(self, items: list[Any]) -> None:
        self.n_several += len(items) > 1
        if self.only_bits and not (
            all(not isinstance(i, (str, dict)) and i in (0, 1) for i in items if i is not None)
            and len(items) > 1
        ):
            self.only_bits = False
        if self.only_bits:
            self.widths.add(len(items))

    @property
    def has_bits(self) -> bool:
        return self.only_bits and len(self.widths) == 1


def is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple, set, frozenset)) or (
        hasattr(cell, "tolist") and getattr(cell, "ndim", 0) == 1
    )


def is_missing(cell: Any) -> bool:
    """Returns whether a cell is empty: None, NaN or only white space."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    return isinstance(cell, float) and cell != cell


def choose_reading(
    cells: Iterable[Any], separator: str = "auto", names: Sequence[str] | None = None
) -> CellReading:
    """Returns how the cells of a column are to be read.

    Args:
        cells: strings, lists, numbers or None.
        separator: as set by the user; anything but "auto" decides.
        names: of the labels by number, used for zeros and ones.
    """
    if separator not in AUTO:
        return CellReading(
            cut_or_keep(separator), f"separated by {show(separator)}, as set", separator
        )
    seen = _Evidence()
    for cell in cells:
        seen.add(cell)
        if seen.n_lists >= _ENOUGH and not seen.n_strings:
            break
    if seen.n_lists and not seen.n_strings:
        if seen.has_bits:
            return _read_bits(lambda cell: list(cell), seen, names)
        return CellReading(_keep, "a list of labels per document", n_several=seen.n_several)
    if seen.n_lists:
        return CellReading(
            _refuse_strings, "a list of labels per document", n_several=seen.n_several
        )
    if seen.n_printed >= 0.9 * max(seen.n_strings, 1) or seen.n_quoted >= 0.5 * max(
        seen.n_strings, 1
    ):
        if seen.has_bits:
            return _read_bits(_parse_or_keep, seen, names)
        says = f"printed as lists, such as {seen.printed!r:.60}"
        return CellReading(_parse_or_keep, says, n_several=seen.n_several)
    if not seen.n_strings:
        if seen.n_marked == seen.n > 0:
            return CellReading(_list_marked, "names with zeros and ones", n_several=2)
        return CellReading(
            _keep, "one label per document, a number" if seen.n else "no labels at all"
        )
    cells = [cell.strip() for cell in seen.cells]
    if any("><" in cell for cell in cells) and all(map(_TAGS.fullmatch, cells)):
        several = next(cell for cell in cells if "><" in cell)
        says = f"tags in angle brackets, such as {several!r:.60}"
        return CellReading(_list_tags, says, n_several=sum("><" in cell for cell in cells))
    return _choose_separator(seen, names)


def _list_tags(cell: Any) -> Any:
    return _TAG.findall(cell) if isinstance(cell, str) else _keep(cell)


def _list_marked(cell: Any) -> Any:
    if is_missing(cell):
        return []
    if not _is_marked(cell):
        raise ValueError(f"the labels are {cell!r:.60}, names with zeros and ones needed")
    return [name for name, value in cell.items() if value]


def _is_marked(cell: Any) -> bool:
    """Returns whether a cell says of each name whether it is a label."""
    return isinstance(cell, dict) and all(
        value is None or (isinstance(value, (bool, int, float)) and value in (0, 1))
        for value in cell.values()
    )


def _choose_separator(seen: _Evidence, names: Sequence[str] | None) -> CellReading:
    mark = max(STRONG, key=lambda m: seen.holds[m])  # the first of equals
    strong, commas = seen.holds[mark], seen.holds[","]
    why = ""
    if not strong or (strong < 0.01 * commas and _share_parts(seen.cells, ",") > 0.5):
        mark = ","
        if not commas or (why := _find_names_with_commas(seen.cells)):
            mark = " " if not commas and _holds_codes(seen.cells) else ""
    if not mark:
        says = why or "one label per document"
        example = next((c for c in seen.cells if "," in c), next(iter(seen.cells)))
        return CellReading(_whole, f"{says}, such as {example.strip()!r:.60}", "none")
    split = cut_at(mark)
    several = {cell: len(split(cell)) for cell in seen.cells if mark in cell}
    pieces = {piece for cell in seen.cells for piece in split(cell)}
    widths = {len(split(cell)) for cell in seen.cells}
    n = seen.holds[mark] if mark != " " else sum(seen.cells[c] for c in several)
    if pieces <= {"0", "1"} and len(widths) == 1 and widths != {1}:
        seen.widths = widths
        return _read_bits(lambda cell: [int(p) for p in split(cell)], seen, names)
    example = max(several, key=lambda c: several[c] > 1)
    says = f"separated by {show(mark)} ({n:,} of {seen.n:,} cells, such as {example.strip()!r:.60}: {several[example]})"
    return CellReading(cut_or_keep(mark), says, mark, n)


def _share_parts(cells: Counter[str], mark: str) -> float:
    """Returns the share of the cells containing a mark that have a part which recurs in another distinct cell."""
    split = cut_at(mark)
    found = Counter(part for cell in cells for part in set(split(cell)))
    cut = [cell for cell in cells if mark in cell]
    return sum(any(found[part] > 1 for part in split(cell)) for cell in cut) / max(len(cut), 1)


def _find_names_with_commas(cells: Counter[str]) -> str:
    """Returns why the commas of a column belong to names; empty if they separate names.

    They belong to names if cells recur whole and their parts never combine with others (`Clothing, Shoes & Jewelry`),
    or if all have one comma and no part occurs both before and after it (`Doe, Jane`).
    """
    cut = [cell for cell in cells if "," in cell]
    n_rows = sum(cells[cell] for cell in cut)
    split = cut_at(",")
    if n_rows >= 2 * len(cut) and _share_parts(cells, ",") <= 0.1:
        return "one label per document with commas in it, whose parts never occur with others"
    if len(cut) >= _FEW and all(c.count(",") == 1 and ", " in c for c in cut):
        firsts, lasts = ({split(c)[i] for c in cut if len(split(c)) == 2} for i in (0, -1))
        alone = {cell.strip() for cell in cells if "," not in cell}
        if not firsts & lasts and not alone & (firsts | lasts):
            return "one label per document, written as 'last, first'"
    return ""


def _holds_codes(cells: Counter[str]) -> bool:
    """Returns whether spaces separate labels: parts are codes (`cs.LG stat.ML`), or tags that stand alone as well,
    in more combinations than there are tags."""
    cut = [cell for cell in cells if " " in cell.strip()]
    if not cut:
        return False
    parts = Counter(part for cell in cut for part in cell.split())
    if all(_CODE.fullmatch(part) for part in parts):
        return True
    alone = {cell.strip() for cell in cells} & set(parts)
    shared = sum(n for part, n in parts.items() if part in alone)
    return len(cut) > max(len(parts), 20) and shared > 0.5 * parts.total()


def cut_at(separator: str) -> Callable[[str], list[str]]:
    """Returns a function that cuts a cell into names; white space around them and empty pieces are dropped, and a `;`
    that ends an HTML entity (`&amp;`) separates nothing."""
    if separator == " ":
        return lambda cell: cell.split()
    if separator != ";":
        return lambda cell: [name for piece in cell.split(separator) if (name := piece.strip())]

    def split(cell: str) -> list[str]:
        if "&" in cell:
            cell = _hide_entities(cell)
            return [name.replace("\0", ";") for piece in cell.split(";") if (name := piece.strip())]
        return [name for piece in cell.split(";") if (name := piece.strip())]

    return split


def _hide_entities(cell: str) -> str:
    """Returns the text with NUL in place of the `;` of HTML entities."""

    def hide(match: re.Match[str]) -> str:
        known = match[0][1] == "#" or match[0][1:] in _ENTITIES
        return match[0][:-1] + "\0" if known else match[0]

    return _ENTITY.sub(hide, cell)


def cut_or_keep(separator: str) -> Callable[[Any], Any]:
    """Returns a function that cuts strings and leaves lists as they are."""
    if separator == "none":
        return _whole
    split = cut_at({"tab": "\t", "\\t": "\t", "space": " "}.get(separator, separator))
    return lambda cell: split(cell) if isinstance(cell, str) else _keep(cell)


def _keep(cell: Any) -> Any:
    if is_missing(cell):
        return []
    if is_list(cell):
        # Paths of categories are lists within the list.
        return [name for item in cell for name in (item if is_list(item) else [item])]
    return cell if isinstance(cell, dict) else [cell]


def _refuse_strings(cell: Any) -> Any:
    if isinstance(cell, str) and cell.strip():
        raise ValueError(
            f"the labels are the string {cell!r:.60}, a list of strings needed as in other rows: [{cell!r:.60}]"
        )
    return _keep(cell)


def _whole(cell: Any) -> Any:
    return [cell.strip()] if isinstance(cell, str) and cell.strip() else _keep(cell)


def _parse_or_keep(cell: Any) -> Any:
    return parse_list(cell) if isinstance(cell, str) else _keep(cell)


def _read_bits(
    parse: Callable[[Any], list[Any]], seen: _Evidence, names: Sequence[str] | None
) -> CellReading:
    """Returns how to read zeros and ones, one per label."""
    [width] = seen.widths
    if names is not None and len(names) != width:
        names = None
    found = list(names) if names is not None else [str(i) for i in range(width)]

    def split(cell: Any) -> list[str]:
        if is_missing(cell):
            return []
        bits = parse(cell)
        if len(bits) != width or any(
            isinstance(b, (str, dict)) or b not in (0, 1) for b in bits if b is not None
        ):
            raise ValueError(
                f"the labels are {cell!r:.60}, {width} zeros and ones needed as in other rows"
            )
        return [name for name, bit in zip(found, bits, strict=True) if bit]

    says = f"zeros and ones for {width:,} labels"
    return CellReading(split, says + ("" if names else ", named by position"), n_several=2)


def show(separator: str) -> str:
    return {"\t": "a tab", " ": "a space", "\n": "a line break"}.get(separator, repr(separator))
