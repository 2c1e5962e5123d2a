"""SKOS vocabularies in Turtle (N-Triples) and RDF/XML: the labels of concepts, with their languages.

The part of Turtle that such files use is read: prefixes, lists with `;` and `,`, short and long literals with
languages, blank nodes, collections, comments. Only triples whose subject is a URI and whose predicate is a label are
kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin
from xml.etree import ElementTree

from xmc_jax.data.lines import open_bytes, read_lines
from xmc_jax.errors import InputError

_CORE = "http://www.w3.org/2004/02/skos/core#"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
PREFERRED, OTHER = "preferred", "other"
_KINDS = {
    f"{_CORE}prefLabel": PREFERRED,
    "http://www.w3.org/2000/01/rdf-schema#label": PREFERRED,
    f"{_CORE}altLabel": OTHER,
    f"{_CORE}hiddenLabel": OTHER,
}
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<uri><[^<>"{}|^`\\\s]*>)
    |(?P<literal>\"\"\"(?:(?:"|"")?(?:[^"\\]|\\.))*\"\"\"|'''(?:(?:'|'')?(?:[^'\\]|\\.))*'''
        |"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<language>@[A-Za-z]+(?:-[A-Za-z0-9]+)*)
    |(?P<type>\^\^)
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=[\s;,.)\]]))
    |(?P<blank>_:[\w.\-·]*[\w\-·])
    |(?P<name>(?:[^\W\d_][\w.\-·]*)?:(?:(?:[\w\-·:]|%[0-9A-Fa-f]{2}|\\[_~.\-!$&'()*+,;=/?\#@%])
        (?:(?:[\w.\-·:]|%[0-9A-Fa-f]{2}|\\[_~.\-!$&'()*+,;=/?\#@%])*(?:[\w\-·:]|%[0-9A-Fa-f]{2}))?)?)
    |(?P<word>[A-Za-z]+)
    |(?P<mark>[.;,\[\]()])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_PLAIN = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}


class Name(NamedTuple):
    """A label of a concept."""

    concept: str
    kind: str
    text: str
    language: str


def read_turtle(path: Path) -> Iterator[Name]:
    """Yields the labels in a Turtle or N-Triples file.

    Raises:
        InputError: anything that is not Turtle, with its line; a prefix that is not declared.
    """
    text = "\n".join(read_lines(path))
    tokens = _Tokens(path, text)
    prefixes, base = {"": ""}, ""
    while (token := tokens.take()) is not None:
        kind, value = token
        word = value.lower().lstrip("@")
        if kind in ("language", "word") and word in ("prefix", "base"):
            prefix = tokens.need()[1][:-1] if word == "prefix" else None
            uri = urljoin(base, tokens.need()[1][1:-1])
            if prefix is None:
                base = uri
            else:
                prefixes[prefix] = uri
            if kind == "language":
                tokens.need()
            continue
        subject = _read_node(tokens, token, prefixes, base)
        yield from _read_predicates(tokens, subject, prefixes, base, ".")


def _read_predicates(
    tokens: _Tokens, subject: str | None, prefixes: dict[str, str], base: str, end: str
) -> Iterator[Name]:
    """Yields the labels of one subject, up to the mark that ends its predicates."""
    while True:
        token = tokens.need()
        if token[1] == end and token[0] == "mark":
            return
        if token == ("mark", ";"):
            continue
        predicate = "" if token == ("word", "a") else _read_node(tokens, token, prefixes, base)
        while True:
            token = tokens.need()
            if token[0] == "literal":
                text, language = _unquote(token[1]), ""
                follows = tokens.peek()
                if follows is not None and follows[0] == "language":
                    language = tokens.need()[1][1:].lower()
                elif follows is not None and follows[0] == "type":
                    tokens.need()
                    _read_node(tokens, tokens.need(), prefixes, base)
                if subject is not None and predicate in _KINDS and text.strip():
                    yield Name(subject, _KINDS[predicate], " ".join(text.split()), language)
            else:
                _read_node(tokens, token, prefixes, base)
            if tokens.peek() != ("mark", ","):
                break
            tokens.need()


def _read_node(
    tokens: _Tokens, token: tuple[str, str], prefixes: dict[str, str], base: str
) -> str | None:
    """Returns the URI of a node; None for blank nodes, collections and values."""
    kind, value = token
    if kind == "uri":
        return urljoin(base, _unescape(value[1:-1])) if base else _unescape(value[1:-1])
    if kind == "name":
        prefix, _, local = value.partition(":")
        if prefix not in prefixes:
            raise tokens.error(f"the prefix '{prefix}:' is not declared")
        return prefixes[prefix] + re.sub(r"\\(.)", r"\1", local)
    if value == "[":
        for _ in _read_predicates(tokens, None, prefixes, base, "]"):
            pass
        return None
    if value == "(":
        while (inner := tokens.need()) != ("mark", ")"):
            _read_node(tokens, inner, prefixes, base)
        return None
    if kind in ("blank", "number", "word", "literal", "language"):
        return None
    if kind == "type":
        _read_node(tokens, tokens.need(), prefixes, base)
        return None
    raise tokens.error(f"{value!r} found where a node is needed")


class _Tokens:
    """The tokens of a text, with one token of lookahead."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text, self._at = path, text, 0
        self._next: tuple[str, str] | None = None
        self._advance()

    def _advance(self) -> None:
        while self._at < len(self._text):
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                raise self.error(f"{self._text[self._at : self._at + 20]!r} is not Turtle")
            self._at = match.end()
            if match.lastgroup != "space":
                self._next = str(match.lastgroup), match[0]
                return
        self._next = None

    def peek(self) -> tuple[str, str] | None:
        return self._next

    def take(self) -> tuple[str, str] | None:
        token = self._next
        self._advance()
        return token

    def need(self) -> tuple[str, str]:
        token = self.take()
        if token is None:
            raise self.error("the file ends inside a statement")
        return token

    def error(self, message: str) -> InputError:
        line = self._text.count("\n", 0, self._at) + 1
        return InputError(f"{self._path}:{line}: {message}; a SKOS vocabulary in Turtle needed")


def _unquote(literal: str) -> str:
    n = 3 if literal[:3] in ('"""', "'''") else 1
    return _unescape(literal[n:-n])


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return (
            chr(int(code[1:], 16)) if code[0] in "uU" and len(code) > 1 else _PLAIN.get(code, code)
        )

    return _ESCAPE.sub(replace, text)


def read_rdf_xml(path: Path) -> Iterator[Name]:
    """Yields the labels in an RDF/XML file.

    Raises:
        InputError: the file is not XML, with the line.
    """
    stack: list[_Element] = []
    try:
        with open_bytes(path) as stream:
            for event, element in ElementTree.iterparse(stream, ("start", "end")):
                if event == "start":
                    stack.append(_open(element, stack[-1] if stack else _Element(None, "", "")))
                    names = element.attrib  # labels may be written as attributes of their concept
                    found = [(key, value, stack[-1]) for key, value in names.items()]
                else:
                    spoken = stack.pop().language
                    above = stack[-1].concept if stack else None
                    found = [(element.tag, element.text or "", _Element(above, spoken, ""))]
                for key, text, held in found:
                    kind = _KINDS.get(key[1:].replace("}", "", 1))
                    if kind and held.concept and text.strip():
                        yield Name(held.concept, kind, " ".join(text.split()), held.language)
                if event == "end" and len(stack) == 1:
                    element.clear()
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise InputError(
            f"{path}:{line}: is not RDF/XML ({error}); a SKOS vocabulary needed"
        ) from None


class _Element(NamedTuple):
    concept: str | None
    language: str
    base: str


def _open(element: ElementTree.Element, above: _Element) -> _Element:
    """Returns the concept of an element, and the language and base that hold inside it."""
    base = element.get(f"{_XML}base", above.base)
    about, number = element.get(f"{_RDF}about"), element.get(f"{_RDF}ID")
    if about is None and number is not None:
        about = f"#{number}"
    concept = None if about is None else urljoin(base, about) if base else about
    return _Element(concept, element.get(f"{_XML}lang", above.language).lower(), base)
