"""Annif's corpora give the documents and labels that Annif 1.4.3 reads from them, with two differences on purpose."""

from __future__ import annotations

import gzip
import json

import pytest

from xmc_jax.data import open_dataset

U = "http://ex.org/"
A, B, C = f"<{U}a>", f"<{U}b>", f"<{U}c>"
TWO = [("plain text", "ab"), ("second", "c")]


def read(path) -> list[tuple[str, str]]:
    split = open_dataset(str(path)).load_split("train")
    names = {f"name {x}": x for x in "abcd"}
    found = []
    for text, row in zip(split.texts, split.labels, strict=True):
        labels = [split.vocabulary[j] for j in row.indices]
        found.append((text, "".join(sorted(names.get(n, n.removeprefix(U)) for n in labels))))
    return found


LINES = {
    "as Annif writes": (f"plain text\t{A} {B}\nsecond\t{C}\n", TWO),
    "tabs between URIs": (f"plain text\t{A}\t{B}\nsecond\t{C}\t\n", TWO),
    "two tabs": (f"plain text\t\t{A} {B}\nsecond\t\t{C}\n", TWO),
    "without brackets": (f"plain text\t{U}a {U}b\nsecond\t{U}c\n", TWO),
    "some with brackets": (f"plain text\t{A} {U}b\nsecond\t{C}\n", TWO),
    "a mark and CR LF": (f"\ufeffplain text\t{A} {B}\r\nsecond\t{C}\r\n", TWO),
    "a URI twice": (f"plain text\t{A} {A} {B}\nsecond\t{C}\n", TWO),
    "no labels": (f"plain text\t{A} {B}\nnone\t\nsecond\t{C}\n", [TWO[0], ("none", ""), TWO[1]]),
    "quotes": (f'a 12" "record"\t{A}\n"open\t{C}\n', [('a 12" "record"', "a"), ('"open', "c")]),
    "URNs": (f"plain text\t<urn:x:1>\nsecond\t{C}\n", [("plain text", "urn:x:1"), TWO[1]]),
    # Annif ends the text at the first tab and looks for subjects called "more".
    "tabs in a text (ours)": (f"plain\tmore\t{A}\nsecond\t{C}\n", [("plain\tmore", "a"), TWO[1]]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LINES)
def test_lines(name, packed, tmp_path):
    content, expected = LINES[name]
    path = tmp_path / ("corpus.tsv" + ".gz" * packed)
    raw = content.encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert read(path) == expected


def test_tables_and_objects(tmp_path):
    path = tmp_path / "corpus.csv"
    path.write_text(f'text,subject_uris\nplain text,{A} {B}\n"second",{C}\n')
    assert read(path) == TWO
    path.write_text(
        f"document_id,text,subject_uris,title\n1,plain text,{U}a {U}b,x\n2,second,{C},y\n"
    )
    assert read(path) == TWO
    objects = [
        {"text": "plain text", "subjects": [{"uri": f"{U}a", "label": "x"}, {"label": "name b"}]},
        {"text": "second", "metadata": {"title": "t"}, "subjects": [{"uri": f"{U}c"}]},
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(o) + "\n" for o in objects))
    assert read(path) == TWO
    # Annif leaves an object without subjects out, but not such a line or row.
    path.write_text(
        "".join(json.dumps(o) + "\n" for o in [*objects, objects[1] | {"subjects": []}])
    )
    assert read(path) == [*TWO, ("second", "")]


FOLDERS = {
    "names": ({"a.key": "name a\nname b\n", "b.key": "name c\n\n"}, TWO),
    "URIs and names": ({"a.tsv": f"{A}\tname a\n{B}\tname b\n", "b.tsv": f"{C}\n"}, TWO),
    "in any column": ({"a.tsv": f"\t{A}\n\t{B}\tname b\n", "b.key": f"\t\t{C}\tname c\tN1\n"}, TWO),
    "a name first": ({"a.tsv": f"name a\t{A}\nname b\t{B}\n", "b.tsv": f"{C}\tname c\tN\t0.5\n"}, TWO),
    "both endings": ({"a.tsv": f"{A}\n{B}\n", "a.key": "name c\n", "b.key": f"{C}\n"}, TWO),
    "marks and CR LF": ({"a.tsv": f"\ufeff{A}\tname a\r\n{B}\r\n", "b.key": "\ufeffname c\r\n"}, TWO),
    "objects, after texts": (
        {"a.key": "name a\nname b\n", "b.txt": "", "0.json": {"text": "second", "subjects": [{"uri": f"{U}c"}]}},
        TWO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(name, tmp_path):
    files, expected = FOLDERS[name]
    texts = {"a.txt": "plain text\n", "b.txt": "second"}
    for file, content in (texts | files).items():
        if content:
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / file).write_bytes(text.encode())
    assert read(tmp_path) == expected


def test_a_text_without_a_label_file_is_left_out_and_told(tmp_path):
    for name, content in {"a.txt": "plain text", "a.key": f"{A}\n", "b.txt": "bare"}.items():
        (tmp_path / name).write_text(content)
    with pytest.warns(match="1 of 2 documents have no label file and are left out"):
        assert read(tmp_path) == [("plain text", "a")]
