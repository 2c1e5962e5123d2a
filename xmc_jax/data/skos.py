"""SKOS vocabularies in Turtle (N-Triples) and RDF/XML: the labels of concepts, with their languages.

The part of Turtle that such files use is read: prefixes, lists with `;` and `,`, short and long literals with
languages, blank nodes, collections, comments. Only triples whose subject is a URI and whose predicate is a label are
kept, and labels that are nodes of their own (SKOS-XL), whose literal form may stand anywhere in the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
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
_XL = "http://www.w3.org/2008/05/skos-xl#"
_LINKS = {
    f"{_XL}prefLabel": PREFERRED,
    f"{_XL}altLabel": OTHER,
    f"{_XL}hiddenLabel": OTHER,
}
_FORM = f"{_XL}literalForm"
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


@dataclass
class _Extended:
    """Labels that are nodes of their own.

    Attributes:
        links: (concept, kind, node) of each label.
        forms: node → the texts and languages of its literal forms.
    """

    links: list[tuple[str, str, str]] = field(default_factory=list)
    forms: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def list_names(self) -> Iterator[Name]:
        """Yields the labels whose text is known, once the file is read."""
        for concept, kind, node in self.links:
            for text, language in self.forms.get(node, ()):
                yield Name(concept, kind, text, language)


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
    yield from tokens.extended.list_names()


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
                text = " ".join(text.split())
                if subject is None or not text:
                    pass
                elif predicate == _FORM:
                    tokens.extended.forms.setdefault(subject, []).append((text, language))
                elif predicate in _KINDS and not subject.startswith("_:"):
                    yield Name(subject, _KINDS[predicate], text, language)
            else:
                node = _read_node(tokens, token, prefixes, base)
                if predicate in _LINKS and subject is not None and node is not None:
                    tokens.extended.links.append((subject, _LINKS[predicate], node))
            if tokens.peek() != ("mark", ","):
                break
            tokens.need()


def _read_node(
    tokens: _Tokens, token: tuple[str, str], prefixes: dict[str, str], base: str
) -> str | None:
    """Returns the URI of a node, `_:` and a name for a blank node; None for collections and values."""
    kind, value = token
    if kind == "uri":
        return urljoin(base, _unescape(value[1:-1])) if base else _unescape(value[1:-1])
    if kind == "name":
        prefix, _, local = value.partition(":")
        if prefix not in prefixes:
            raise tokens.error(f"the prefix '{prefix}:' is not declared")
        return prefixes[prefix] + re.sub(r"\\(.)", r"\1", local)
    if value == "[":
        node = tokens.name_blank()
        for _ in _read_predicates(tokens, node, prefixes, base, "]"):
            pass
        return node
    if value == "(":
        while (inner := tokens.need()) != ("mark", ")"):
            _read_node(tokens, inner, prefixes, base)
        return None
    if kind == "blank":
        return value
    if kind in ("number", "word", "literal", "language"):
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
        self._blanks = 0
        self.extended = _Extended()
        self._advance()

    def name_blank(self) -> str:
        """Returns a name for a blank node that has none."""
        self._blanks += 1
        return f"_:[{self._blanks}]"

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
    extended = _Extended()
    blanks = (f"_:[{i}]" for i in itertools.count())
    try:
        with open_bytes(path) as stream:
            for event, element in ElementTree.iterparse(stream, ("start", "end")):
                if event == "start":
                    stack.append(_open(element, stack[-1] if stack else None, extended, blanks))
                    names = element.attrib  # labels may be written as attributes of their concept
                    found = [(key, value, stack[-1]) for key, value in names.items()]
                else:
                    spoken = stack.pop().language
                    above = stack[-1].node if stack else None
                    found = [(element.tag, element.text or "", _Element(above, spoken, ""))]
                for key, text, held in found:
                    uri, text = key[1:].replace("}", "", 1), " ".join(text.split())
                    if held.node is None or not text:
                        continue
                    if uri == _FORM:
                        extended.forms.setdefault(held.node, []).append((text, held.language))
                    elif uri in _KINDS and not held.node.startswith("_:"):
                        yield Name(held.node, _KINDS[uri], text, held.language)
                if event == "end" and len(stack) == 1:
                    element.clear()
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise InputError(
            f"{path}:{line}: is not RDF/XML ({error}); a SKOS vocabulary needed"
        ) from None
    yield from extended.list_names()


class _Element(NamedTuple):
    """An open element: the node that it is (None: it is a property), and the property that it is of its node."""

    node: str | None
    language: str
    base: str
    link: tuple[str, str] | None = None
    """Of a property whose value is a label: the concept, and the kind of label."""


def _open(
    element: ElementTree.Element,
    above: _Element | None,
    extended: _Extended,
    blanks: Iterator[str],
) -> _Element:
    """Returns an element with the language and base that hold inside it; links of labels are noted."""
    outer = above or _Element(None, "", "")
    base = element.get(f"{_XML}base", outer.base)
    language = element.get(f"{_XML}lang", outer.language).lower()

    def resolve(uri: str) -> str:
        return urljoin(base, uri) if base else uri

    named = element.get(f"{_RDF}nodeID")
    name = None if named is None else f"_:{named}"
    about, number = element.get(f"{_RDF}about"), element.get(f"{_RDF}ID")
    if outer.node is None or about is not None:  # below the root or a property stands a node
        if about is None and number is not None:
            about = f"#{number}"
        if above is None and element.tag == f"{_RDF}RDF":
            return _Element(None, language, base)
        node = (name or next(blanks)) if about is None else resolve(about)
        if outer.link is not None:
            extended.links.append((*outer.link, node))
        return _Element(node, language, base)
    kind = _LINKS.get(element.tag[1:].replace("}", "", 1))
    link = None if kind is None else (outer.node, kind)
    value = element.get(f"{_RDF}resource")
    value = name if value is None else resolve(value)
    is_node = element.get(f"{_RDF}parseType") == "Resource"
    if is_node:
        value = next(blanks)
    if link is not None and value is not None:
        extended.links.append((*link, value))
    return _Element(value if is_node else None, language, base, link)
