"""arXiv: a paper's title -> its authors.

Source: a clone of github.com/staeiou/arxiv_archive (metadata CC0), of which
`processed_data/{20200101,20190101}/per_category/*.tsv.xz` are read; the set of the results was made from the 261 of
these files that are smaller than 4 MiB, and so is this one. Papers of more than 50 authors are left out, and authors of
one paper. Not the same to the byte: 438 of 544,140 documents are not in the set of the results (which has 543,902), and
257 have other labels there.
"""

from __future__ import annotations

import csv
import lzma
from collections import Counter, defaultdict
from pathlib import Path

from split import collapse_blanks, write_set

from xmc_jax.errors import InputError

LARGEST_FILE = 4 << 20
MOST_AUTHORS = 50
SHORTEST_NAME = 4


def build(source: Path, output: Path) -> dict:
    authors_of: dict[str, set[str]] = defaultdict(set)
    for title, authors in read_papers(source).values():
        names = [collapse_blanks(name) for name in authors.split(", ")]
        names = [name for name in names if len(name) >= SHORTEST_NAME]
        if len(names) <= MOST_AUTHORS:
            authors_of[collapse_blanks(title)].update(names)
    # Titles that differ in case only are versions of one paper.
    papers = {(title.lower(), name) for title, names in authors_of.items() for name in names}
    n_papers = Counter(name for _, name in papers)
    documents = []
    for title in sorted(authors_of, key=lambda t: (t.lower(), t)):
        labels = sorted(name for name in authors_of[title] if n_papers[name] > 1)
        if labels:
            documents.append((title, labels))
    about = {
        "source": "github staeiou/arxiv_archive processed_data/{20200101,20190101}/per_category/*.tsv.xz",
        "licence": "arXiv metadata CC0 1.0",
    }
    return write_set(output, documents, key=str.lower, about=about)


def read_papers(source: Path) -> dict[str, tuple[str, str]]:
    """Returns title and authors of each paper by its number; a paper stands in the file of each of its categories."""
    papers: dict[str, tuple[str, str]] = {}
    csv.field_size_limit(1 << 30)
    for year in ("20200101", "20190101"):
        files = sorted((source / "processed_data" / year / "per_category").glob("*.tsv.xz"))
        if not files:
            raise InputError(
                f"{source}: no files of {year}; clone github.com/staeiou/arxiv_archive"
            )
        for path in files:
            if path.stat().st_size < LARGEST_FILE:
                with lzma.open(path, "rt", encoding="utf-8", newline="") as lines:
                    for row in csv.DictReader(lines, delimiter="\t"):
                        papers.setdefault(row["arxiv_id"], (row["title"], row["author_text"]))
    return papers
