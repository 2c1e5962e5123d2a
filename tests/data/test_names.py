import pytest

from xmc_jax.data import (
    LabelNames,
    NamedLabels,
    find_label,
    read_names,
    read_saved_names,
    tell_label,
)
from xmc_jax.errors import InputError

LABELS = ["http://x.org/1", "http://x.org/2", "http://x.org/c3"]

TURTLE = '''@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix : <http://x.org/> .
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
# a comment
<http://x.org/1> a skos:Concept ;
    skos:prefLabel "archaeology"@en, "arkeologia"@fi ;
    skos:altLabel "digging \\"up\\" the past"@en ; skos:broader :2 ;
    skos:notation "12"^^<http://www.w3.org/2001/XMLSchema#string>, 12, true .
:2 skos:prefLabel """hi-
story"""@en-GB ; skos:related [ skos:prefLabel "not this" ; skos:member ( :1 "x"@en 3.5 ) ] .
:c3 rdfs:label 'caf\\u00E9' ; skos:altLabel "bar", "pub"@en; .
_:b skos:prefLabel "nobody" .
<http://other.org/9> skos:prefLabel "other"@en .
'''

RDF = """<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:skos="http://www.w3.org/2004/02/skos/core#">
  <skos:Concept rdf:about="http://x.org/1">
    <skos:prefLabel xml:lang="en">archaeology</skos:prefLabel>
    <skos:prefLabel xml:lang="fi">arkeologia</skos:prefLabel>
    <skos:altLabel xml:lang="en">digging "up" the past</skos:altLabel>
  </skos:Concept>
  <rdf:Description rdf:about="http://x.org/2"><skos:prefLabel xml:lang="en-GB">hi-
 story</skos:prefLabel></rdf:Description>
  <rdf:Description rdf:about="http://x.org/c3" xml:lang="fr"><skos:prefLabel>café</skos:prefLabel>
    <skos:altLabel>bar</skos:altLabel></rdf:Description>
</rdf:RDF>
"""


@pytest.mark.parametrize(
    ("name", "text"), [("v.ttl", TURTLE), ("v.rdf", RDF), ("v.xml", RDF), ("voc", TURTLE)]
)
def test_skos(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    names = read_names(tmp_path / name, LABELS)
    assert names.display == dict(zip(LABELS, ["archaeology", "hi- story", "café"], strict=True))
    assert names.find("arkeologia") == names.find('Digging "up" the past') == LABELS[:1]
    assert names.find("BAR") == LABELS[2:]
    finnish = read_names(tmp_path / name, LABELS, "fi")
    assert finnish.show(LABELS[0]) == "arkeologia" and finnish.find("archaeology") == LABELS[:1]


TURTLE_XL = """@prefix xl: <http://www.w3.org/2008/05/skos-xl#> .
@prefix : <http://x.org/> .
:l1 a xl:Label ; xl:literalForm "archaeology"@en .
:1 xl:prefLabel :l1, [ a xl:Label ; xl:literalForm "arkeologia"@fi ] ; xl:altLabel _:b, :nowhere .
_:b xl:literalForm "digging up the past"@en . :l9 xl:literalForm "not this"@en .
:2 xl:prefLabel [ xl:literalForm "history"@en-GB ; xl:labelRelation [ xl:literalForm "nor this" ] ] .
<http://x.org/c3> xl:prefLabel _:c . _:c xl:literalForm 'café' . _:d xl:prefLabel _:c .
"""

RDF_XL = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xl="http://www.w3.org/2008/05/skos-xl#"
    xmlns:skos="http://www.w3.org/2004/02/skos/core#" xml:base="http://x.org/">
  <xl:Label rdf:about="l1"><xl:literalForm xml:lang="en">archaeology</xl:literalForm></xl:Label>
  <skos:Concept rdf:about="1"><xl:prefLabel rdf:resource="l1"/><skos:broader rdf:resource="2"/>
    <xl:prefLabel>
      <xl:Label rdf:about="l2"><xl:literalForm xml:lang="fi">arkeologia</xl:literalForm></xl:Label></xl:prefLabel>
    <xl:altLabel rdf:nodeID="b"/>
  </skos:Concept>
  <rdf:Description rdf:nodeID="b" xml:lang="en"><xl:literalForm>digging up the past</xl:literalForm></rdf:Description>
  <rdf:Description rdf:about="2"><xl:prefLabel rdf:parseType="Resource">
    <xl:literalForm xml:lang="en-GB">history</xl:literalForm></xl:prefLabel></rdf:Description>
  <skos:Concept rdf:about="c3"><xl:prefLabel><xl:Label xl:literalForm="café"/></xl:prefLabel></skos:Concept>
  <xl:Label rdf:about="l9"><xl:literalForm>not this</xl:literalForm></xl:Label>
</rdf:RDF>
"""


@pytest.mark.parametrize(("name", "text"), [("v.ttl", TURTLE_XL), ("v.rdf", RDF_XL)])
def test_labels_that_are_nodes_of_their_own(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    names = read_names(tmp_path / name, LABELS)
    assert names.display == dict(zip(LABELS, ["archaeology", "history", "café"], strict=True))
    assert names.find("arkeologia") == names.find("digging up the past") == LABELS[:1]
    assert names.find("not this") == []
    assert read_names(tmp_path / name, LABELS, "fi").show(LABELS[0]) == "arkeologia"


TABLES = {
    "Annif's vocabulary": (
        "v.tsv",
        "<http://x.org/1>\tarchaeology\n<http://x.org/2>\thistory\t930\n",
    ),
    "label and name": ("v.tsv", "http://x.org/1\tarchaeology\nhttp://x.org/2\thistory\n"),
    "name and label": ("v.csv", "archaeology,http://x.org/1\nhistory,http://x.org/2\n"),
    "languages": (
        "v.csv",
        "uri,label_fi,label_en\nhttp://x.org/1,arkeologia,archaeology\nhttp://x.org/2,,history\n",
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path, kind):
    name, text = TABLES[kind]
    (tmp_path / name).write_text(text)
    names = read_names(tmp_path / name, LABELS)
    assert names.display == {LABELS[0]: "archaeology", LABELS[1]: "history"}
    if kind == "languages":
        assert names.find("arkeologia") == LABELS[:1]
        assert read_names(tmp_path / name, LABELS, "fi").show(LABELS[0]) == "arkeologia"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "v.ttl",
            '<http://x.org/1> skos:prefLabel "a" .',
            r"v\.ttl:1: the prefix 'skos:' is not declared",
        ),
        (
            "v.ttl",
            "@prefix s: <http://s#> .\n\n<http://x.org/1> s:a 'b' ,",
            r"v\.ttl:3: the file ends inside",
        ),
        ("v.ttl", "\n\n%%\n", r"v\.ttl:3: '%%"),
        ("v.rdf", "<rdf>\n<a></b>", r"v\.rdf:2: is not RDF/XML"),
        ("v.tsv", "http://x.org/1\n", "has one column"),
        (
            "v.tsv",
            "http://other/1\tone\n",
            r"names none of the 3 labels, such as 'http://x\.org/1'",
        ),
        ("none.ttl", None, "no such file"),
    ],
)
def test_what_names_nothing(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_names(tmp_path / name, LABELS)


def test_saved_names_come_back(tmp_path):
    names = LabelNames({"a": "one", "b": "two"}, {"a": ["uno", "eins"]})
    names.save(tmp_path / "names.tsv")
    assert read_saved_names(tmp_path / "names.tsv") == names


def test_labels_are_found_by_what_they_are_called():
    labels = NamedLabels(
        ["a", "b", "c"], LabelNames({"a": "one", "b": "two", "c": "two"}, {"a": ["uno"]})
    )
    assert labels == ["a", "b", "c"] and tell_label(labels, 0) == "one <a>"
    assert [find_label(labels, wanted) for wanted in ("a", "ONE", "uno", "none")] == [0, 0, 0, None]
    with pytest.raises(InputError, match="2 labels are called 'two': 'b', 'c'"):
        find_label(labels, "two")
    assert find_label(["x"], "x") == 0 and tell_label(["x"], 0) == "x"
