"""Project Gutenberg: a book's title and first author -> Library of Congress subject headings and classes.

Source: a clone of github.com/ropensci/gutenbergr (the catalogue is public domain metadata), of which
`data/gutenberg_metadata.rda` and `data/gutenberg_subjects.rda` are read. Needs `pip install pyreadr`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from split import collapse_blanks, drop_punctuation, write_set

from xmc_jax.errors import InputError


def build(source: Path, output: Path) -> dict:
    books, subjects = (read_table(source, n) for n in ("gutenberg_metadata", "gutenberg_subjects"))
    labels_of = defaultdict(set)
    columns = ("gutenberg_id", "subject_type", "subject")
    for book, kind, subject in zip(*(subjects[c] for c in columns), strict=True):
        name = collapse_blanks(subject)
        labels_of[book].add(name if kind == "lcsh" else f"LCC: {name}")

    labels_by_text = defaultdict(set)
    seen = set()  # a book has one row per author: the first one counts
    columns = ("gutenberg_id", "title", "author")
    for book, title, author in zip(*(books[c] for c in columns), strict=True):
        if isinstance(title, str) and labels_of[book] and book not in seen:
            seen.add(book)
            text = f"{title} / {author}" if isinstance(author, str) else title
            labels_by_text[collapse_blanks(text)] |= labels_of[book]
    documents = [(text, sorted(labels)) for text, labels in sorted(labels_by_text.items())]
    about = {
        "source": "github ropensci/gutenbergr data/gutenberg_metadata.rda + data/gutenberg_subjects.rda",
        "licence": "Project Gutenberg catalogue: public domain metadata; package GPL-2",
    }
    return write_set(output, documents, key=drop_punctuation, about=about)


def read_table(source: Path, name: str):
    try:
        import pyreadr
    except ImportError:
        raise InputError("reading R's files needs pyreadr: pip install pyreadr") from None
    path = source / "data" / f"{name}.rda"
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a clone of github.com/ropensci/gutenbergr")
    return pyreadr.read_r(str(path))[name]
