"""Finna: a library record -> subject headings of the YSO ontology.

Source: a clone of github.com/NatLibFi/Annif-corpora (records CC0, vocabulary CC BY 4.0), of which
`subjects/yso-finna-en` is read: a file per heading, its address and name in the first line, its names in the second,
then the titles of its records. Titles of one word, or that are the name of a heading, say nothing and are dropped;
headings of one name get their identifiers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from split import collapse_blanks, drop_punctuation, write_set

from xmc_jax.errors import InputError


def build(source: Path, output: Path) -> dict:
    folder = source / "subjects" / "yso-finna-en"
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise InputError(f"{folder}: no files; give a clone of github.com/NatLibFi/Annif-corpora")
    headings = []
    for path in files:
        head, _, *titles = path.read_text(encoding="utf-8").split("\n")
        address, name = head.strip().split(" ", 1)
        headings.append((address.rpartition("/")[2], name, titles))
    n_named = Counter(name for _, name, _ in headings)
    names = {name.casefold() for name in n_named}
    labels_of = defaultdict(set)
    for identifier, name, titles in headings:
        label = name if n_named[name] == 1 else f"{name} <{identifier}>"
        for title in map(collapse_blanks, titles):
            if len(title.split()) > 1 and title.casefold() not in names:
                labels_of[title].add(label)
    documents = [(text, sorted(labels)) for text, labels in sorted(labels_of.items())]
    about = {
        "source": "github NatLibFi/Annif-corpora subjects/yso-finna-en",
        "licence": "record metadata CC0 (Finna), YSO vocabulary CC BY 4.0 (National Library of Finland)",
    }
    return write_set(output, documents, key=drop_punctuation, about=about)
