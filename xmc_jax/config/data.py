"""Settings of how documents and labels are read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import QUIET, check, check_choices
from xmc_jax.config.former import former


@dataclass(frozen=True)
class DataConfig:
    """How documents and labels are read from files; what is `auto` is chosen from the data and told."""

    text_column: str = "auto"
    """Column, or key of JSON lines, that holds the text; several between commas are joined."""
    labels_column: str = "auto"
    """Column or key of the labels; several between commas: a label, or 0 and 1, in each."""
    label_separator: str = field(default="auto", metadata=former({"": "auto"}))
    """What stands between the labels of a cell, such as `;` or `|`; `auto`: told by all the cells."""
    delimiter: str = field(default="auto", metadata=QUIET)
    """What stands between the cells of a table: `,` `;` `|` or `tab`; `auto`: told by the header."""
    quoting: Literal["auto", "quotes", "none"] = field(default="auto", metadata=QUIET)
    """Whether cells of a table may be quoted; `auto`: not in TSV with quotes that do not close on their line."""
    encoding: str = field(default="auto", metadata=QUIET)
    """Of text files, such as `cp1251` or `gb18030`; `auto`: UTF-8, UTF-16, else cp1252, which is told."""
    test_share: float = field(default=0.0, metadata=QUIET)
    """Share of the documents that is held out as the split `test`, where the data have none."""
    names_file: str | None = field(default=None, metadata=QUIET | former({"": None}))
    """Names for labels that are identifiers: TSV, CSV, or SKOS in Turtle or RDF/XML."""
    language: str = field(default="", metadata=QUIET)
    """Of the names to take from a file with several languages, such as `fi`; empty: English if there, else the most
    frequent."""
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
