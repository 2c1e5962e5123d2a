"""Data as people bring it: one small set per kind of file, and what must come out of it."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest

from xmc_jax.data import open_dataset
from xmc_jax.data.format import Format, Reader
from xmc_jax.data.formats import FORMATS
from xmc_jax.errors import InputError, Note

ONE_FILE: dict[str, tuple[str, str | bytes, list[tuple[str, set[str]]]]] = {
    "inches and open quotes in TSV": (
        "a.tsv",
        'text\tlabels\n12" vinyl\tmusic\n"open quote\tx\n5" floppy, "old"\ty\n"whole"\tz\n',
        [
            ('12" vinyl', {"music"}),
            ('"open quote', {"x"}),
            ('5" floppy, "old"', {"y"}),
            ('"whole"', {"z"}),
        ],
    ),
    "TSV whose quotes close": (
        "a.tsv",
        'text\tlabels\n"a ""b""\tc"\tx\n"d"\t"y"\n',
        [('a "b"\tc', {"x"}), ("d", {"y"})],
    ),
    "TSV with line breaks in quotes": (
        "a.tsv",
        'text\tlabels\n"a\n\nb"\tx\nc\ty\n',
        [("a\n\nb", {"x"}), ("c", {"y"})],
    ),
    "semicolons between cells": (
        "a.csv",
        "text;labels\nred, green;x,y\nblue;x\n",
        [("red, green", {"x", "y"}), ("blue", {"x"})],
    ),
    "semicolons twice": ("a.csv", 'text;labels\n1,5 kg;"x; y"\n', [("1,5 kg", {"x", "y"})]),
    "a line for Excel": ("a.csv", "sep=;\r\ntext;labels\r\na;x|y\r\n", [("a", {"x", "y"})]),
    "a line for Excel that contradicts": ("a.csv", "sep=|\ntext|labels\na,b|x\n", [("a,b", {"x"})]),
    "bars between cells": ("a.csv", "labels|text\nx,y|a;b\n", [("a;b", {"x", "y"})]),
    "tabs in a .csv": ("a.csv", "text\tlabels\na, b\tx\n", [("a, b", {"x"})]),
    "commas in a .tsv": ("a.tsv", "text,labels\na,x\n", [("a", {"x"})]),
    "a table called .txt": ("a.txt", "text\tlabels\na b\tx;y\n", [("a b", {"x", "y"})]),
    "quotes escaped by backslashes": (
        "a.csv",
        'text,labels\n"a \\"b\\", c",x\n"d",y\n',
        [('a "b", c', {"x"}), ("d", {"y"})],
    ),
    "empty columns behind the last": (
        "a.csv",
        "text,labels,,\na,x,,\nb,y\nc,z,\n",
        [("a", {"x"}), ("b", {"y"}), ("c", {"z"})],
    ),
    "names twice in the header": ("a.csv", "n,text,n,labels\n1,a,2,x\n", [("a", {"x"})]),
    "old Macintosh": ("a.csv", "text,labels\ra,x\rb,y\r", [("a", {"x"}), ("b", {"y"})]),
    "line separators in cells": (
        "a.csv",
        "text,labels\na\u2028b\u0085c,x\n",
        [("a\u2028b\u0085c", {"x"})],
    ),
    "UTF-16 as Excel's 'Unicode text'": (
        "a.txt",
        "text\tlabels\r\ncafé au lait\tż\r\n".encode("utf-16"),
        [("café au lait", {"ż"})],
    ),
    "bzip2": ("a.csv.bz2", bz2.compress(b"text,labels\na,x\n"), [("a", {"x"})]),
    "entities are no separators": (
        "a.csv",
        "text,labels\na,Home &amp; Kitchen|Toys &#38; Games\nb,Home &amp; Kitchen\n",
        [("a", {"Home &amp; Kitchen", "Toys &#38; Games"}), ("b", {"Home &amp; Kitchen"})],
    ),
    "Python's lists": (
        "a.csv",
        'text,labels\na,"[\'cs.LG\', \'stat.ML\']"\nb,"[""O\'Neil"", \'x, y\']"\nc,[]\n',
        [("a", {"cs.LG", "stat.ML"}), ("b", {"O'Neil", "x, y"}), ("c", set())],
    ),
    "NumPy's arrays": (
        "a.csv",
        "text,labels\na,\"['a b' 'c'\n 'd']\"\nb,['c']\n",
        [("a", {"a b", "c", "d"}), ("b", {"c"})],
    ),
    "sets, tuples and PostgreSQL's arrays": (
        "a.csv",
        'text,labels\na,"{\'x\', \'y\'}"\nb,"(\'x\',)"\nc,"{x,""y z""}"\nd,set()\n',
        [("a", {"x", "y"}), ("b", {"x"}), ("c", {"x", "y z"}), ("d", set())],
    ),
    "objects with names": (
        "a.csv",
        "text,genres\na,\"[{'id': 16, 'name': 'Animation'}, {'id': 5, 'name': 'War'}]\"\n",
        [("a", {"Animation", "War"})],
    ),
    "title and body": (
        "a.csv",
        "id,title,body,tags\n1,One,two three,x;y\n2,Four,,x\n",
        [("One two three", {"x", "y"}), ("Four", {"x"})],
    ),
    "a column for each label": (
        "a.csv",
        "id,comment_text,toxic,mild\n7,a b,0,1\n8,c d,1,1\n9,e f,0,0\n",
        [("a b", {"mild"}), ("c d", {"toxic", "mild"}), ("e f", set())],
    ),
    "a column for each label, in words": (
        "a.csv",
        "text,is red,is big\na,True,False\nb,False,\nc,TRUE,true\n",
        [("a", {"is red"}), ("b", set()), ("c", {"is red", "is big"})],
    ),
    "zeros and ones under one-letter names": (
        "a.jsonl",
        '{"text": "a", "x": true, "y": false}\n{"text": "b", "x": true, "y": true}\n',
        [("a", {"x"}), ("b", {"x", "y"})],
    ),
    "numbered columns of labels": (
        "a.csv",
        "text,tag_1,tag_2\na,x,y\nb,y,\n",
        [("a", {"x", "y"}), ("b", {"y"})],
    ),
    "a row for each label": (
        "a.csv",
        "doc,text,label\n1,a,x\n1,a,y\n2,b,x\n1,a,z\n",
        [("a", {"x", "y", "z"}), ("b", {"x"})],
    ),
    "zeros and ones in a cell": (
        "a.csv",
        'text,labels\na,"[0, 1, 1]"\nb,"[1, 0, 0]"\n',
        [("a", {"1", "2"}), ("b", {"0"})],
    ),
    "one label each, commas in names": (
        "a.csv",
        'text,category\na,"Clothing, Shoes & Jewelry"\nb,Books\nc,"Clothing, Shoes & Jewelry"\nd,Books\n',
        [(t, {c}) for t, c in zip("abcd", ["Clothing, Shoes & Jewelry", "Books"] * 2, strict=True)],
    ),
    "codes between spaces": (
        "a.csv",
        "abstract,categories\na,cs.LG stat.ML\nb,hep-th\n",
        [("a", {"cs.LG", "stat.ML"}), ("b", {"hep-th"})],
    ),
    "names with spaces": (
        "a.csv",
        "text,labels\na,New York\nb,Los Angeles\n",
        [("a", {"New York"}), ("b", {"Los Angeles"})],
    ),
    "paragraphs": ("a.jsonl", '{"text": ["a b", "c"], "labels": ["x"]}\n', [("a b c", {"x"})]),
    "strings of labels in JSON": (
        "a.jsonl",
        '{"text": "a", "tags": "x; y"}\n',
        [("a", {"x", "y"})],
    ),
    "one JSON list": (
        "a.json",
        '[\n{"text": "a", "labels": ["x"]},\n{"text": "b", "labels": []}]',
        [("a", {"x"}), ("b", set())],
    ),
    "pandas' JSON by column": (
        "a.json",
        '{"text": {"0": "a"}, "labels": {"0": ["x"]}}',
        [("a", {"x"})],
    ),
    "zeros and ones in JSON": (
        "a.jsonl",
        '{"text": "a", "labels": [0, 0, 1]}\n{"text": "b", "labels": [1, 0, 1]}\n',
        [("a", {"2"}), ("b", {"0", "2"})],
    ),
    "Annif": (
        "a.tsv",
        "a text\t<http://x.org/1> <http://x.org/2>\nanother\t<http://x.org/1>\nnone\t\n",
        [
            ("a text", {"http://x.org/1", "http://x.org/2"}),
            ("another", {"http://x.org/1"}),
            ("none", set()),
        ],
    ),
    "Annif's CSV": (
        "a.csv",
        "text,subject_uris\na,<http://x.org/1> <http://x.org/2>\n",
        [("a", {"http://x.org/1", "http://x.org/2"})],
    ),
    "Annif's JSON lines": (
        "a.jsonl",
        '{"text": "a", "subjects": [{"uri": "http://x.org/1", "label": "one"}]}\n',
        [("a", {"http://x.org/1"})],
    ),
    "fastText": (
        "a.txt",
        "__label__x __label__y a text\n__label__z, b\nno label at all\n",
        [("a text", {"x", "y"}), ("b", {"z"}), ("no label at all", set())],
    ),
    "LibMultiLabel": (
        "a.txt",
        "17\tx y\tthe text of it all\n18\tz\tanother text of more words\n",
        [("the text of it all", {"x", "y"}), ("another text of more words", {"z"})],
    ),
    "LibMultiLabel without ids": (
        "a.txt",
        "x y\tthe text of it all\nz\tanother text of more words\n",
        [("the text of it all", {"x", "y"}), ("another text of more words", {"z"})],
    ),
    "text2text without names": (
        "a.txt",
        "0,2\tthe text\n1\tanother\n",
        [("the text", {"0", "2"}), ("another", {"1"})],
    ),
}


@pytest.mark.parametrize("kind", ONE_FILE)
def test_one_file(kind, tmp_path, write, read):
    name, content, documents = ONE_FILE[kind]
    write(tmp_path, {name: content})
    assert read(tmp_path / name) == documents


def gz(text: str) -> bytes:
    return gzip.compress(text.encode())


FOLDERS: dict[str, tuple[dict[str, str | bytes], dict[str, list[tuple[str | int, set[str]]]]]] = {
    "Annif's full texts": (
        {
            "train/a.txt": "one\ntwo",
            "train/a.tsv": "<http://x/1>\tfirst\n",
            "train/b.txt": "b",
            "train/b.key": "second\n",
            "test/c.txt": "c",
            "test/c.tsv": "<http://x/1>\tfirst\n",
        },
        {
            "train": [("one\ntwo", {"http://x/1"}), ("b", {"second"})],
            "test": [("c", {"http://x/1"})],
        },
    ),
    "Annif's JSON documents": (
        {
            "a.json": '{"text": "a", "subjects": [{"uri": "http://x/1"}]}',
            "b.json": '{"metadata": {"title": "b"}, "subjects": []}',
        },
        {"train": [("a", {"http://x/1"}), ("b", set())]},
    ),
    "a folder per label": (
        {"train/x/1.txt": "a", "train/y/1.txt": "b", "train/y/2.txt": "a", "test/x/3.txt": "c"},
        {"train": [("a", {"x", "y"}), ("b", {"y"})], "test": [("c", {"x"})]},
    ),
    "text2text with names": (
        {"train.txt": "0,2\ta text\n1\tb\n", "output-labels.txt": "x\ny\nz\n"},
        {"train": [("a text", {"x", "z"}), ("b", {"y"})]},
    ),
    "XMC repository, raw": (
        {
            "trn.json.gz": gz(
                '{"uid": "d1", "title": "One", "content": "two", "target_ind": [0, 1]}\n'
            ),
            "tst.json.gz": gz(
                '{"uid": "d2", "title": "Three", "content": "", "target_ind": [0, 1]}\n'
            ),
            "lbl.json.gz": gz('{"uid": "l0", "title": "same"}\n{"uid": "l1", "title": "same"}\n'),
        },
        {"train": [("One two", {"l0", "l1"})], "test": [("Three", {"l0", "l1"})]},
    ),
    "XMC repository, sparse": (
        {
            "trn_X_Xf.txt": "2 3\n0:1 1:2\n2:1\n",
            "trn_X_Y.txt": "2 2\n0:1\n0:1 1:1\n",
            "tst_X_Xf.txt": "1 3\n0:1\n",
            "tst_X_Y.txt": "1 2\n1:1\n",
        },
        {"train": [(2, {"0"}), (1, {"0", "1"})], "test": [(1, {"1"})]},
    ),
    "XMC repository, old": (
        {
            "Bibtex_data.txt": "3 3 2\n0 0:1\n1 1:1 2:1\n0,1 2:1\n",
            "Bibtex_trSplit.txt": "1\n3\n",
            "Bibtex_tstSplit.txt": "2\n",
        },
        {"train": [(1, {"0"}), (1, {"0", "1"})], "test": [(2, {"1"})]},
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_folders(kind, tmp_path, write, read):
    files, splits = FOLDERS[kind]
    write(tmp_path, files)
    assert open_dataset(tmp_path).splits == tuple(splits)
    for split, documents in splits.items():
        assert read(tmp_path, split) == documents


def test_filter_files_take_pairs_out_of_truth_and_predictions(tmp_path, write):
    files, _ = FOLDERS["XMC repository, raw"]
    write(tmp_path, {**files, "filter_labels_test.txt": "0 1\n"})
    with pytest.warns(Note, match="1 pairs of document and label in a filter file are left out"):
        split = open_dataset(tmp_path).load_split("test")
    assert [split.vocabulary[j] for j in split.labels[0].indices] == ["l0"]
    assert split.excluded.toarray().tolist() == [[False, True]]
    assert open_dataset(tmp_path).load_split("train").excluded is None


def test_labels_of_raw_sets_have_display_names(tmp_path, write):
    files, _ = FOLDERS["XMC repository, raw"]
    write(tmp_path, files)
    names = open_dataset(tmp_path).reader.names
    assert names.show("l0") == "same" and names.find("SAME") == ["l0", "l1"]


def test_the_first_of_several_splits_is_told(tmp_path, write, read):
    files, splits = FOLDERS["XMC repository, old"]
    write(tmp_path, {**files, "Bibtex_trSplit.txt": "1 2\n3 1\n"})
    with pytest.warns(Note, match="holds 2 splits; the first is used"):
        assert read(tmp_path) == splits["train"]


def test_parquet_and_arrow_files(tmp_path, read):
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    table = pa.table({"text": ["a", "b"], "labels": [["x", "y"], None], "n": [1, 2]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    pa.feather.write_feather(table, tmp_path / "a.feather")
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as stream,
    ):
        stream.write_table(table)
    for ending in ("parquet", "feather", "arrow"):
        assert read(tmp_path / f"a.{ending}") == [("a", {"x", "y"}), ("b", set())]
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        read(tmp_path / "a.parquet")


def test_a_format_is_one_value_in_a_table(monkeypatch, tmp_path, write, read):
    def open_shouted(files, config, names):
        def documents(split):
            for number, line in enumerate(files[split].read_text().splitlines(), 1):
                text, _, label = line.rpartition("!")
                yield files[split], number, text, [label]

        return Reader("text ! label", documents)

    toy = Format("toy", "shouts", "train.txt", open_shouted, lambda path, lines: "!" in lines[0])
    monkeypatch.setitem(FORMATS, "toy", toy)
    write(tmp_path, {"train.txt": "a!x\n"})
    assert read(Path(f"toy:{tmp_path}")) == [("a", {"x"})]
