"""Columns, folders and names files as other programs write them."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmc_jax.data import open_dataset, read_names
from xmc_jax.errors import InputError

TEXTS, LISTS = pa.array(["red", "green"]), [["x", "y"], ["x"]]
BOTH = "red=x+y|green=x"
COLUMNS = {
    "lists": ({"labels": pa.array(LISTS)}, BOTH),
    "large": ({"labels": pa.array(LISTS, pa.large_list(pa.large_string()))}, BOTH),
    "fixed": ({"labels": pa.array([["x", "y"], ["x", "z"]], pa.list_(pa.string(), 2))}, "red=x+y|green=x+z"),
    "dictionary": ({"labels": pa.array(["x", "z"]).dictionary_encode()}, "red=x|green=z"),
    "numbers": ({"labels": pa.array([[1, 2], [1]])}, "red=1+2|green=1"),
    "bits": ({"labels": pa.array([[1, 0, 1], [0, 1, 0]], pa.list_(pa.int8()))}, "red=0+2|green=1"),
    "bit columns": ({"a": pa.array([1.0, 0.0]), "b": pa.array([0.0, None])}, "red=a|green="),
    "truths": ({"a": pa.array([True, False]), "b": pa.array([False, True])}, "red=a|green=b"),
    "objects": ({"labels": pa.array([[{"uri": "x"}, {"uri": "y"}], [{"uri": "x"}]])}, BOTH),
    "nulls": ({"labels": pa.array([["x", "y"], None])}, "red=x+y|green="),
    "views": ({"text": TEXTS.cast(pa.string_view()), "labels": pa.array(LISTS)}, BOTH),
}  # fmt: skip


def read(path) -> str:
    split = open_dataset(str(path)).load_split("train")
    labels = ["+".join(sorted(split.vocabulary[j] for j in row.indices)) for row in split.labels]
    return "|".join(f"{text}={names}" for text, names in zip(split.texts, labels, strict=True))


@pytest.mark.filterwarnings("ignore::xmc_jax.errors.Note")
@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name, tmp_path):
    columns, expected = COLUMNS[name]
    pq.write_table(pa.table({"text": TEXTS} | columns), tmp_path / "data.parquet")
    assert read(tmp_path / "data.parquet") == expected


def test_parts_as_the_hub_writes_them(tmp_path):
    for i, text in enumerate(["red", "green", "blue"]):
        table = pa.table({"text": [text], "labels": [[f"l{i}"]]})
        split, n = ("test", 1) if i == 2 else ("train", 2)
        pq.write_table(table, tmp_path / f"{split}-{i % 2:05}-of-{n:05}.parquet")
    assert read(tmp_path) == "red=l0|green=l1"
    pq.write_table(pa.table({"text": ["red"]}), tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(
        InputError, match=r"00001-of-00002.parquet: has no column 'labels' as .*00000"
    ):
        read(tmp_path)


FOLDERS = {
    "clutter": {"train.csv": "text,labels\nred,x;y\ngreen,x\n", ".DS_Store": "", "Thumbs.db": "", "~$train.csv": ""},
    "capitals": {"TRAIN.CSV": "text,labels\nred,x;y\ngreen,x\n"},
    "one file": {"products.csv": "text,labels\nred,x;y\ngreen,x\n"},
    "lines beside lines": {"train_texts.txt": "red\ngreen\n", "train_labels.txt": "x y\nx\n"},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::xmc_jax.errors.Note")
@pytest.mark.parametrize("name", FOLDERS)
def test_folders(name, tmp_path):
    for file, content in FOLDERS[name].items():
        (tmp_path / file).write_text(content)
    assert read(tmp_path) == BOTH


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("-1 0:1 2:0.5\n+1 1:1\n", "libsvm without a header; put a first line 'N D L'"),
        ("+1 0:1\n-1 1:1\n", "libsvm without a header"),
        ("2 3 2\n-1 0:1 2:0.5\n1 1:1\n", r"train.txt:2: label '-1' given, .* write 1 and 0"),
        ("2 3 2\n0,1 0:1\n1,-2 1:1\n", r"train.txt:3: label '1,-2' given, whole numbers from 0"),
    ],
)
def test_labels_of_libsvm_with_signs(lines, message, tmp_path):
    (tmp_path / "train.txt").write_text(lines)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


A, B = "http://e/a", "http://e/b"
TWO = {A: "Apple", B: "Bird"}
SKOS = "@prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n"
RDF = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xml:base="http://e/" '
    'xmlns:skos="http://www.w3.org/2004/02/skos/core#">{}</rdf:RDF>'
)
ONE = '<skos:Concept {}="{}"><skos:prefLabel xml:lang="en">{}</skos:prefLabel></skos:Concept>'
NAMES = {
    "languages.ttl": SKOS + f'<{A}> skos:prefLabel "Apfel"@de, "Apple"@en .\n<{B}> skos:prefLabel "Bird"@en-GB .',
    "sparql.ttl": "PREFIX" + SKOS[7:-3] + '\nBASE <http://e/>\n<a> skos:prefLabel "Apple". <b> skos:prefLabel "Bird".',
    "marks.ttl": SKOS + f'<{A}> a skos:Concept ;; skos:prefLabel "Apple" ; . # x\n<{B}> skos:prefLabel """Bird"""@en .',
    "relative.rdf": RDF.format(ONE.format("rdf:about", "a", "Apple") + ONE.format("rdf:about", "b", "Bird")),
    "attributes.rdf": RDF.format(
        '<skos:Concept rdf:about="a" skos:prefLabel="Apple"/><rdf:Description rdf:about="b" skos:prefLabel="Bird"/>'
    ),
    "reversed.csv": f"name,id\nApple,{A}\nBird,{B}\n",
    "languages.csv": f"uri;label_fi;label_en\n{A};Omena;Apple\n{B};Bird;\n",
    "map.json": f'{{"{A}": "Apple", "{B}": "Bird"}}',
    "twice.tsv": f"{A}\tApple\n{A}\tMalus\n{B}\tBird\n",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_files(name, tmp_path):
    path = tmp_path / (name + ".gz")
    path.write_bytes(gzip.compress(NAMES[name].encode()))
    assert read_names(path, [A, B, "http://e/c"]).display == TWO


def test_a_number_and_a_quote_sign_in_names(tmp_path):
    path = tmp_path / "names.rdf"
    path.write_text(
        RDF.replace('"http://e/"', '"http://e/x"').format(ONE.format("rdf:ID", "a", "Apple"))
    )
    assert read_names(path, ["http://e/x#a"]).display == {"http://e/x#a": "Apple"}
    path = tmp_path / "names.tsv"
    path.write_text(f'{A}\tApple\n{B}\t"Bird\n')
    assert read_names(path, [A, B]).display == {A: "Apple", B: '"Bird'}
    path = tmp_path / "names.json"
    path.write_text(f'[{{"{A}": 1}}]')
    with pytest.raises(InputError, match=r"an object .* needed"):
        read_names(path, [A, B])
