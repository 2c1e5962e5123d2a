"""Settings of how documents and labels are read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import QUIET, check, check_choices
from xmc_jax.config.former import former


@dataclass(frozen=True)
class DataConfig:
    """How documents and labels are read from files; `auto` is decided from the data and reported."""

    text_column: str = "auto"
    """Column, or key in JSON lines, that holds the text; several, separated by commas, are joined."""
    labels_column: str = "auto"
    """Column or key that holds the labels; several, separated by commas, hold one label, or 0 or 1, each."""
    label_separator: str = field(default="auto", metadata=former({"": "auto"}))
    """Separator between the labels of a cell, such as `;` or `|`; `auto`: decided from all cells."""
    delimiter: str = field(default="auto", metadata=QUIET)
    """Separator between the cells of a table: `,` `;` `|` or `tab`; `auto`: decided from the header."""
    quoting: Literal["auto", "quotes", "none"] = field(default="auto", metadata=QUIET)
    """Whether cells of a table may be quoted; `auto`: yes, except in TSV with quotes that are not closed on their
    line."""
    encoding: str = field(default="auto", metadata=QUIET)
    """Encoding of text files, such as `cp1251` or `gb18030`; `auto`: UTF-8 or UTF-16, otherwise cp1252, which is
    reported."""
    test_share: float = field(default=0.0, metadata=QUIET)
    """Share of the documents held out as the split `test` if the data have none."""
    names_file: str | None = field(default=None, metadata=QUIET | former({"": None}))
    """Names for labels that are identifiers: TSV, CSV, or SKOS in Turtle or RDF/XML."""
    language: str = field(default="", metadata=QUIET)
    """Language of the names to take from a file with several, such as `fi`; empty: English if present, otherwise the
    most frequent."""
    vector_norm: Literal["l2", "none"] = "l2"
    """Rows of feature vectors are scaled to this norm."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 <= self.test_share < 1, self, "test_share", "a share in [0, 1)")
        known = self.delimiter in ("auto", "tab") or len(self.delimiter) == 1
        check(known, self, "delimiter", "auto, tab or one character")
        if self.encoding != "auto":
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                check(False, self, "encoding", "auto or an encoding of Python, such as cp1251,")
