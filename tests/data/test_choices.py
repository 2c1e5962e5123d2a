"""Choices made from what a file or folder shows: encodings, rows, columns, splits, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError, Note


def test_a_cyrillic_table_by_its_encoding(tmp_path, write, read):
    write(tmp_path, {"a.csv": "text;labels\nМосква;город\n".encode("cp1251")})
    assert read(tmp_path / "a.csv", encoding="cp1251") == [("Москва", {"город"})]
    with pytest.raises(InputError, match=r"nor western text; .* cp1251 gives 'Москва"):
        read(tmp_path / "a.csv")


def test_rows_without_content_at_the_end_are_told(tmp_path, write, read):
    write(tmp_path, {"a.csv": "text,labels\na,x\n,\nb,y\n,\n,\n"})
    with pytest.warns(Note, match="2 blank rows at the end are left out"):
        assert read(tmp_path / "a.csv") == [("a", {"x"}), ("", set()), ("b", {"y"})]


def test_cells_over_several_lines_are_told_where_lines_could_be_rows(tmp_path, write, read):
    write(tmp_path, {"a.csv": 'text,labels\n"a,x\nb,y\nc",z\nd,w\n'})
    with pytest.warns(Note, match="1 quoted cells span several lines; .*--data.quoting none"):
        assert len(read(tmp_path / "a.csv")) == 2
    assert len(read(tmp_path / "a.csv", quoting="none")) == 4


def test_settings_overrule_what_is_seen(tmp_path, write, read):
    write(tmp_path, {"a.csv": 'text;labels;n\n"a,b";x,y;1\n'})
    assert read(tmp_path / "a.csv", label_separator="none") == [("a,b", {"x,y"})]
    assert read(tmp_path / "a.csv", labels_column="labels,n") == [("a,b", {"x,y", "1"})]
    with pytest.raises(InputError, match=r"a\.csv:1: "):
        read(tmp_path / "a.csv", delimiter="tab")
    assert read(tmp_path / "a.csv", delimiter=";", text_column="n", quoting="quotes")[0][0] == "1"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a.csv": 'text,labels\nb,x\n"open,y\nc,z\n'},
            r"a\.csv:3: the quote that opens at '\"open,y'",
        ),
        (
            {"a.csv": 'text,labels\nb,x\n"two\nlines",y\n"open,y\n'},
            r"a\.csv:5: the quote that opens",
        ),
        ({"a.csv": "text,labels\na,b,x\n"}, r"a\.csv:2: 3 cell\(s\), 2 needed .* a comma"),
        ({"a.csv": "text,labels\n1 of many words here and there,x\nb\n"}, r"a\.csv:3: 1 cell"),
        (
            {"a.tsv": "foo bar baz qux\ta;b\nsome other text here\tc\n"},
            r"a\.tsv:1: the first line is not a header",
        ),
        ({"a.xlsx": b"PK\x03\x04"}, "is a workbook; save its sheet as CSV"),
        ({"a.csv": ""}, "is empty"),
        ({"a.txt": "one\ntwo\n"}, "is of no known format"),
        ({"a.csv": "text,labels\na,\"['x', ...]\"\n"}, r"a\.csv:2: .*cut short with '\.\.\.'"),
        (
            {"a.jsonl": '{"text": "a", "labels": [0, 1]}\n{"text": "b", "labels": [1]}\n'},
            "numbers are named",
        ),
        (
            {"a.csv": "text,x,z\na,0,1\n" + "b,1,0\n" * 300 + "c,2,0\n"},
            r"a\.csv:303: column 'x' holds '2'; 0 or 1",
        ),
        (
            {"a.tsv": "a\t<http://x/1>\n" * 40 + "b\tno uri\n"},
            r"a\.tsv:41: .*'text TAB <uri> <uri>' needed",
        ),
        ({"a.txt": "0,1\ta\n" * 40 + "x\tb\n"}, r"a\.txt:41: '0,1,2 TAB text' needed"),
        (
            {"a.txt": "1\tx\ta b c d e\n" * 40 + "x\tb\n"},
            r"a\.txt:41: 2 cell\(s\); 'id TAB labels TAB text'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(files, message, tmp_path, write, read):
    write(tmp_path, files)
    with pytest.raises((InputError, Note), match=message):
        read(tmp_path / next(iter(files)))


def test_folders_with_files_of_other_names(tmp_path, write, read):
    write(
        tmp_path,
        {
            "my-train.csv": "text,labels\na,x\n",
            "my-test.csv": "text,labels\nb,x\n",
            "README.txt": "?",
        },
    )
    with pytest.warns(Note, match=r"reading my-test\.csv as 'test', my-train\.csv as 'train'"):
        assert open_dataset(tmp_path).splits == ("train", "test")
    write(
        tmp_path / "only",
        {"products.csv": "text,labels\na,x\n", "labels.txt": "x\n", "notes.md": ""},
    )
    with pytest.warns(Note, match=r"reading products\.csv as 'train'"):
        assert read(tmp_path / "only") == [("a", {"x"})]


def test_a_folder_of_several_tables_says_what_it_holds(tmp_path, write):
    write(tmp_path, {"a.csv": "text,labels\na,x\n", "b.csv": "text,labels\na,x\n"})
    with pytest.raises(
        InputError, match=r"holds a\.csv, b\.csv, none of them called train; give one of these"
    ):
        open_dataset(tmp_path)


def test_a_share_is_held_out(tmp_path, write):
    rows = "".join(f"document {i % 40},l{i % 3}\n" for i in range(60))
    write(tmp_path, {"a.csv": "text,labels\n" + rows})
    config = DataConfig(test_share=0.2, label_separator="none")
    train, test = (
        open_dataset(tmp_path / "a.csv", config).load_split(s) for s in ("train", "test")
    )
    assert len(train) + len(test) == 60 and 9 <= len(test) <= 15
    assert not set(train.texts) & set(test.texts)
    back = "".join(reversed(rows.splitlines(keepends=True)))
    write(tmp_path, {"a.csv": "text,labels\n" + back})
    again = open_dataset(tmp_path / "a.csv", config).load_split("test")
    assert sorted(again.texts) == sorted(test.texts)
    write(tmp_path / "d", {"train.csv": "text,labels\na,x\n", "test.csv": "text,labels\na,x\n"})
    with pytest.raises(InputError, match="has a split 'test'; leave it out"):
        open_dataset(tmp_path / "d", config)
    write(tmp_path, {"b.csv": "text,labels\n" + "a,x\n" * 3})
    with pytest.raises(InputError, match="two different ones needed"):
        open_dataset(tmp_path / "b.csv", DataConfig(test_share=0.5)).load_split("train")


def test_a_share_of_vectors_is_held_out(tmp_path, write):
    rows = "".join(f"{i % 2} {i % 5}:{i + 1}\n" for i in range(20))
    write(tmp_path, {"train.txt": f"20 5 2\n{rows}"})
    config = DataConfig(test_share=0.25, vector_norm="none")
    train, test = (open_dataset(tmp_path, config).load_split(s) for s in ("train", "test"))
    assert (len(train), len(test)) == (15, 5) and train.vocabulary == ["0", "1"]
    values = np.sort(np.concatenate([train.features.data, test.features.data]))
    np.testing.assert_array_equal(values, np.arange(1, 21))


def test_what_was_chosen_reads_other_files_alike(tmp_path, write):
    write(
        tmp_path,
        {
            "a.csv": "head,tags\nthe first of them,x;y\nanother of the same,x\n",
            "b.csv": "tags,head,text\nx;y,c,no\n",
        },
    )
    settled = open_dataset(tmp_path / "a.csv").settle()
    assert (settled.text_column, settled.labels_column, settled.label_separator) == (
        "head",
        "tags",
        ";",
    )
    split = open_dataset(tmp_path / "b.csv", settled).load_split("train")
    assert list(split.texts) == ["c"] and split.vocabulary == ["x", "y"]
