"""Debian: a package's name and description -> the packages that it depends on, recommends or suggests.

The first alternative of each relation counts. Source: the package lists of Debian 12 (bookworm, main, amd64) with the
English translations, which hold the long descriptions:

    apt-get update -o Acquire::Languages=en -o Acquire::GzipIndexes=false -o Dir::State::lists=LISTS
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from split import collapse_blanks, write_set

from xmc_jax.errors import InputError

RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests")


def build(source: Path, output: Path) -> dict:
    packages, translations = (
        find_list(source, end) for end in ("binary-amd64_Packages", "i18n_Translation-en")
    )
    long = {s["Description-md5"]: s["Description-en"] for s in read_stanzas(translations)}
    documents = {}  # several versions of a package may have one text
    for stanza in read_stanzas(packages):
        labels = find_relations(stanza)
        if labels:
            short = stanza.get("Description", "")
            description = long.get(stanza.get("Description-md5", ""), short)
            text = f"{stanza['Package']}: {join_lines(description)}"
            documents.setdefault(text, labels)
    about = {
        "source": "Debian 12 bookworm main amd64 Packages + Translation-en",
        "licence": "package descriptions: free (each package's own licence)",
    }
    return write_set(output, sorted(documents.items()), key=str, about=about)


def find_list(source: Path, end: str) -> Path:
    found = [p for p in sorted(source.glob(f"*{end}")) if "bookworm_main" in p.name]
    if len(found) != 1:
        raise InputError(f"{source}: one list of Debian 12 named *bookworm_main*{end} is needed")
    return found[0]


def read_stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yields the fields of each stanza of a Debian control file; lines of one field stay apart."""
    stanza: dict[str, str] = {}
    name = ""
    with open(path, encoding="utf-8") as lines:
        for raw in lines:
            line = raw.rstrip("\n")
            if not line:
                if stanza:
                    yield stanza
                stanza = {}
            elif line[0] in " \t":
                stanza[name] += "\n" + line
            else:
                name, _, value = line.partition(":")
                stanza[name] = value.strip()
    if stanza:
        yield stanza


def find_relations(stanza: dict[str, str]) -> list[str]:
    """Returns the sorted names of the packages that this one refers to, without itself."""
    names = set()
    for field in RELATIONS:
        for relation in stanza.get(field, "").split(","):
            first = relation.partition("|")[0].strip()
            names.add(re.split(r"[\s(\[:]", first)[0])
    return sorted(names - {"", stanza["Package"]})


def join_lines(description: str) -> str:
    """Returns a description in one line; a line of one full stop separates paragraphs."""
    return collapse_blanks(" ".join(x for x in description.split("\n") if x != " ."))
