"""Metamath: a theorem, in words and symbols -> the premises of its proof.

A text is the theorem's comment without credits and markup, its hypotheses and its conclusion. Labels are the axioms,
definitions and theorems that the proof names. Source: `set.mm` (CC0) of Debian's package metamath-databases, the file
itself or the folder that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from split import collapse_blanks, write_set

from xmc_jax.errors import InputError

_CREDITS = re.compile(
    r"\((Contributed|Proof shortened|Revised|Proof modification|New usage)[^()]*\)"
)
# `~ label` refers to a statement, `~~` is a tilde; the paths of addresses keep theirs.
_REFERENCE = re.compile(r"(?<![/~])~ ?(\S)")


class Statement(NamedTuple):
    """An axiom or a theorem; an axiom has no proof."""

    label: str
    comment: str
    hypotheses: list[str]
    body: list[str]
    proof: list[str]


def build(source: Path, output: Path) -> dict:
    path = source / "set.mm" if source.is_dir() else source
    asserted: set[str] = set()
    documents = []
    for statement in read_statements(path.read_text(encoding="utf-8")):
        if statement.body[0] == "|-":
            labels = sorted(asserted.intersection(statement.proof))
            asserted.add(statement.label)
            if labels:
                documents.append((describe(statement), labels))
    about = {
        "source": "Debian package metamath-databases 0.0.0~20210101.git55fe226-2, set.mm",
        "licence": "CC0 1.0 (set.mm is public domain)",
    }
    return write_set(output, documents, key=str, about=about)


def describe(statement: Statement) -> str:
    """Returns `comment hypothesis & hypothesis => conclusion`."""
    given = " & ".join(statement.hypotheses)
    arrow = "=> " if given else ""
    words = clean_comment(statement.comment)
    return collapse_blanks(f"{words} {given} {arrow}{' '.join(statement.body)}")


def clean_comment(comment: str) -> str:
    text = _REFERENCE.sub(r"\1", _CREDITS.sub("", comment))
    return text.replace("`", " ").replace("_", " ")


def read_statements(text: str) -> Iterator[Statement]:
    """Yields axioms and theorems in the order of the file (The Metamath Book, chapter 4)."""
    words = text.split()
    scopes: list[list[str]] = [[]]
    comment = ""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "$(":
            end = find_word(words, "$)", at)
            comment = " ".join(words[at + 1 : end])
            at = end
        elif word == "${":
            scopes.append([])
        elif word == "$}":
            scopes.pop()
        elif word in ("$c", "$v", "$d", "$f", "$e", "$a", "$p"):
            end = find_word(words, "$.", at)
            body = words[at + 1 : end]
            if word == "$e":
                scopes[-1].append(" ".join(body))
            elif word in ("$a", "$p"):
                body = drop_comments(body)  # hypotheses keep theirs, as in the set of the results
                hypotheses = [h for scope in scopes for h in scope]
                yield Statement(words[at - 1], comment, hypotheses, *part_proof(body))
                comment = ""
            at = end
        at += 1


def drop_comments(words: list[str]) -> list[str]:
    text = re.sub(r"\$\( .*? \$\)", "", " ".join(words))
    return text.split()


def part_proof(body: list[str]) -> tuple[list[str], list[str]]:
    """Parts a statement from the labels that its proof names; a compressed proof names them in parentheses."""
    if "$=" not in body:
        return body, []
    at = body.index("$=")
    proof = body[at + 1 :]
    return body[:at], proof[1 : proof.index(")")] if proof[:1] == ["("] else proof


def find_word(words: list[str], word: str, start: int) -> int:
    try:
        return words.index(word, start)
    except ValueError:
        raise InputError(f"set.mm: '{words[start]}' has no '{word}'; give the whole file") from None
