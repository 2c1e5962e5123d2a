"""Builds the bundled set from WordNet 3.0: a gloss, and what kinds of thing it describes.

    python benchmarks/sets/build.py wordnet --source /usr/share/wordnet --output xmc_jax/data/wordnet

The source holds WordNet's `data.noun` and `data.verb`; on Debian and Ubuntu `apt-get install
wordnet-base` puts them in /usr/share/wordnet. Documents are the noun and verb synsets; the text is
the gloss without its quoted examples; the labels are all ancestors by hypernymy (Fellbaum 1998)
that have less than 1 % of the synsets below them. A text goes to the test split if its SHA-1 is
below 10 modulo 100. The output is the same byte for byte wherever zlib is the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from xmc_jax.data.jsonl import write_documents
from xmc_jax.data.lines import read_lines
from xmc_jax.errors import InputError
from xmc_jax.files import replace_file

LARGEST_SHARE = 0.01
"""Share of all synsets that a label may have below it; the few wider ones say next to nothing."""
TEST_PERCENT = 10
_EXAMPLE = re.compile(r'; "[^"]*"')

Document = tuple[str, list[str]]


class Synset(NamedTuple):
    """One line of a WordNet data file (wndb(5WN))."""

    lemma: str
    hypernyms: list[str]
    gloss: str


def read_synsets(source: Path) -> dict[str, Synset]:
    """Returns the noun and verb synsets by id (`n` or `v` and eight digits), in the order of the
    files.

    Raises:
        InputError: a file is missing or a line is not in WordNet's format.
    """
    synsets: dict[str, Synset] = {}
    for name in ("noun", "verb"):
        path = source / f"data.{name}"
        if not path.is_file():
            raise InputError(
                f"{path}: no such file; install Debian's package wordnet-base or name another source"
            )
        for number, line in enumerate(read_lines(path), 1):
            if line.startswith("  "):  # the licence stands at the top
                continue
            try:
                synsets[name[0] + line[:8]] = _parse_synset(line)
            except (ValueError, IndexError):
                raise InputError(
                    f"{path}:{number}: not a synset of WordNet 3.0; give its data files"
                ) from None
    return synsets


def _parse_synset(line: str) -> Synset:
    """Reads `offset file type w_cnt word lex_id … p_cnt symbol offset pos source … | gloss`; w_cnt is hexadecimal."""
    head, gloss = line.rstrip().split(" | ", 1)
    fields = head.split(" ")
    at = 4 + 2 * int(fields[3], 16)
    pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
    hypernyms = [
        pos + offset
        for symbol, offset, pos in zip(pointers[0::4], pointers[1::4], pointers[2::4], strict=True)
        if symbol in ("@", "@i")
    ]
    return Synset(fields[4].replace("_", " "), hypernyms, gloss)


def find_ancestors(synsets: dict[str, Synset]) -> dict[str, set[str]]:
    """Returns the ancestors of each synset; it may have several hypernyms, and is never its own ancestor."""
    found: dict[str, set[str]] = {}
    for start in synsets:
        above: set[str] = set()
        waiting = list(synsets[start].hypernyms)
        while waiting:
            synset = waiting.pop()
            if synset not in synsets:
                raise InputError(
                    f"synset {start}: no line for its ancestor {synset}; give whole files"
                )
            if synset not in above:
                above.add(synset)
                waiting += synsets[synset].hypernyms
        found[start] = above - {start}
    return found


def make_documents(synsets: dict[str, Synset]) -> list[Document]:
    """Returns (text, sorted label names) of every synset that has a label, in the order of the files."""
    ancestors = find_ancestors(synsets)
    n_below = Counter(synset for above in ancestors.values() for synset in above)
    most = LARGEST_SHARE * len(synsets)
    names = {i: f"{synsets[i].lemma} <{i}>" for i, count in n_below.items() if count < most}
    documents = []
    for i, synset in synsets.items():
        labels = sorted(names[a] for a in ancestors[i] if a in names)
        if labels:
            documents.append((_EXAMPLE.sub("", synset.gloss), labels))
    return documents


def is_test(text: str) -> bool:
    """Returns whether a text belongs to the test split; equal texts never stand in both."""
    return int(hashlib.sha1(text.encode()).hexdigest(), 16) % 100 < TEST_PERCENT


def read_notice(source: Path) -> str:
    """Returns the licence that stands at the top of `data.noun`, without its line numbers."""
    lines = []
    for line in read_lines(source / "data.noun"):
        if not line.startswith("  "):
            break
        lines.append(line.strip().partition(" ")[2].rstrip())
    return "\n".join(lines).strip() + "\n"


def build(source: Path, output: Path) -> dict[str, int | str]:
    """Writes `train.jsonl.gz`, `test.jsonl.gz`, `meta.json` and `NOTICE`; returns the contents of `meta.json`."""
    documents = make_documents(read_synsets(source))
    splits: dict[str, list[Document]] = {"train": [], "test": []}
    for text, labels in documents:
        splits["test" if is_test(text) else "train"].append((text, labels))
    meta: dict[str, int | str] = {
        "train_docs": len(splits["train"]),
        "test_docs": len(splits["test"]),
        "labels": len({label for _, labels in documents for label in labels}),
        "source": "Debian package wordnet-base 1:3.0 (WordNet 3.0)",
        "licence": "WordNet 3.0 licence, redistribution permitted with its notice (NOTICE)",
        "split": f"sha1(text) mod 100 < {TEST_PERCENT} is test",
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, part in splits.items():
        write_documents(output / f"{name}.jsonl.gz", part)
    with replace_file(output / "meta.json") as stream:
        stream.write((json.dumps(meta, indent=1) + "\n").encode())
    with replace_file(output / "NOTICE") as stream:
        stream.write(read_notice(source).encode())
    return meta
