"""Files as other programs write them come back as the same documents and labels, or are refused with what to do."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.data.input import read_batches
from xmc_jax.errors import InputError, Note

ROWS = [("green pear tart", ["Fruit"]), ("steel hammer", ["Tools", "Metal & Co"]), ("saw", [])]
OBJECTS = [{"text": text, "labels": labels} for text, labels in ROWS]
TEXTS, LABELS = ([row[i] for row in ROWS] for i in (0, 1))
HITS = [{"_index": "i", "_id": str(i), "_source": row} for i, row in enumerate(OBJECTS)]
NAMES = sorted({name for labels in LABELS for name in labels})
LINES = "".join(f" {text} | {', '.join(labels)} \n" for text, labels in ROWS)


def lines(rows: list) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def separate(mark: str) -> str:
    """Returns a table with this mark between labels."""
    return "text,labels\n" + LINES.replace(", ", mark).replace(" | ", ",").replace(" \n", "\n")


TEXT_FILES = {
    "answer of a search engine": ("a.json", json.dumps({"took": 1, "hits": {"total": 3, "hits": HITS}})),
    "dump of a search engine": ("a.jsonl", lines(HITS)),
    "an object per id": ("a.json", json.dumps({f"d{i}": row for i, row in enumerate(OBJECTS)})),
    "pandas, index": ("a.json", json.dumps({str(i): row for i, row in enumerate(OBJECTS)}, indent=1)),
    "pandas, split": (
        "a.json",
        json.dumps(
            {"columns": ["text", "labels"], "index": [0, 1, 2], "data": list(map(list, ROWS))}
        ),
    ),
    "pandas, columns": (
        "a.json",
        json.dumps({"text": dict(enumerate(TEXTS)), "labels": dict(enumerate(LABELS))}),
    ),
    "a list under a name of its own": ("a.json", json.dumps({"version": 2, "articles": OBJECTS})),
    "nested lists": (
        "a.jsonl",
        lines([{"title": t, "categories": [[name] for name in labels]} for t, labels in ROWS]),
    ),
    "names with zeros and ones": (
        "a.jsonl",
        lines([{"text": t, "cats": {n: float(n in labels) for n in NAMES}} for t, labels in ROWS]),
    ),
    "accepted choices": ("a.jsonl", lines([{"text": t, "accept": names} for t, names in ROWS])),
    "printed objects, one after the other": (
        "a.json",
        "\n".join(json.dumps(row, indent=2) for row in OBJECTS),
    ),
    "objects without anything between": ("a.json", "".join(map(json.dumps, OBJECTS))),
    "objects with commas between": ("a.jsonl", ",\n".join(map(json.dumps, OBJECTS)) + ",\n"),
    "tables put together": (
        "a.csv",
        "text,labels\ngreen pear tart,Fruit\ntext,labels\nsteel hammer,Tools|Metal & Co\nsaw,\n",
    ),
    "ideographic separators": ("a.csv", separate("、")),
    "line breaks of web pages": ("a.csv", separate("<br>")),
    "psql": ("a.txt", " text | labels \n------+--------\n" + LINES + "(3 rows)\n"),
    "Markdown": (
        "a.md",
        "| text | labels |\n|:---|---|\n" + "".join(f"|{line[:-1]}|\n" for line in LINES.splitlines(True)),
    ),
    "blank lines that are not empty": (
        "a.csv",
        "text,labels\n green pear tart,Fruit\nsteel hammer,Tools|Metal & Co\nsaw,\n  \n\n \n",
    ),
    "French": ("a.csv", "Texte;Étiquettes\n" + LINES.replace(" | ", ";").replace(", ", "|").replace(" \n", "\n")),
    "Zotero": (
        "a.csv",
        "Key,Title,Manual Tags,Automatic Tags\n"
        + "".join(f"K{i},{t},{'; '.join(names)},\n" for i, (t, names) in enumerate(ROWS)),
    ),
    "commas in a name of a TSV": (
        "a.tsv",
        "text\tlabels\tprice, in EUR, net\n" + LINES.replace(" | ", "\t").replace(" \n", "\t1\n"),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::xmc_jax.errors.Note")
@pytest.mark.parametrize("kind", TEXT_FILES)
def test_text_files(kind, tmp_path):
    name, content = TEXT_FILES[kind]
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read(tmp_path / name) == ROWS


def read(path: Path, name: str = "train") -> list[tuple[str, list[str]]]:
    split = open_dataset(str(path)).load_split(name)
    rows = [sorted(split.labels[i].indices) for i in range(len(split))]
    named = [[split.vocabulary[j] for j in row] for row in rows]
    order = {label: i for i, label in enumerate(["Fruit", "Tools", "Metal & Co"])}
    return [(split.texts[i].strip(), sorted(row, key=order.get)) for i, row in enumerate(named)]


def test_tags_in_angle_brackets(tmp_path):
    (tmp_path / "a.csv").write_text("Title,Tags\nhow to loop,<python><c++>\nwhat is linq,<.net>\n")
    split = open_dataset(str(tmp_path / "a.csv")).load_split("train")
    assert split.vocabulary == [".net", "c++", "python"] and split.labels.nnz == 3


def test_objects_as_python_prints_them(tmp_path):
    (tmp_path / "meta.json").write_text("".join(f"{row!r}\n" for row in OBJECTS))
    with pytest.warns(Note, match="not JSON but objects as Python prints them"):
        assert read(tmp_path / "meta.json") == ROWS
    (tmp_path / "meta.json").write_text("{'text': __import__('os').getcwd(), 'labels': ['a']}\n")
    with pytest.raises(InputError, match=r"meta\.json:1: is not JSON"):
        read(tmp_path / "meta.json")


def save_dataset(folder: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    whole = datasets.Dataset.from_dict({"text": TEXTS, "labels": LABELS})
    datasets.DatasetDict({"train": whole, "validation": whole}).save_to_disk(str(folder))


def save_hub_folder(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "README.md").write_text("# a card\n")
    for i in range(3):
        part = pa.table(
            {"text": TEXTS[i : i + 1], "labels": pa.array(LABELS[i : i + 1], pa.list_(pa.string()))}
        )
        pq.write_table(part, folder / "data" / f"train-0000{i}-of-00003.parquet")
    pq.write_table(
        pa.table({"text": TEXTS, "labels": LABELS}), folder / "data" / "validation-00000-of-00001.parquet"
    )  # fmt: skip


@pytest.mark.parametrize("save", [save_dataset, save_hub_folder])
def test_folders_of_datasets(save: Callable[[Path], None], tmp_path):
    save(tmp_path)
    assert open_dataset(str(tmp_path)).splits == ("train", "valid")
    assert read(tmp_path) == read(tmp_path, "valid") == ROWS


def test_class_numbers_have_the_names_that_the_file_says(tmp_path):
    import datasets

    datasets.disable_progress_bars()
    classes = datasets.ClassLabel(names=["Fruit", "Tools", "Metal & Co"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.Sequence(classes)}
    )
    rows = {"text": TEXTS, "labels": [[0], [1, 2], []]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    whole.save_to_disk(str(tmp_path / "saved"))
    whole.to_parquet(str(tmp_path / "train.parquet"))
    assert read(tmp_path / "saved") == read(tmp_path / "train.parquet") == ROWS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\xef\xbb\xbf\n<html lang='en'>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\x80\x04\x95\x00", "is a pickle"),
        (b"SQLite format 3\x00", "is an SQLite database"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"Obj\x01\x04", "is an Avro file"),
        (b"ORC\n\x06\x12\x04\x08\x05P\x00", "is an ORC file"),
        (b"Rar!\x1a\x07", "is an archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook or document"),
        (b"{\\rtf1\\ansi", "is rich text"),
    ],
)
def test_what_holds_no_table_is_named(content, says, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=says):
        open_dataset(str(tmp_path / "a.csv"))


def test_a_field_called_as_search_engines_call_theirs_is_a_field(tmp_path):
    rows = [{"text": "red apple", "labels": ["fruit"], "_source": {"url": "u"}}] * 2
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert (
        list(open_dataset(str(tmp_path / "a.jsonl")).load_split("train").texts) == ["red apple"] * 2
    )


@pytest.mark.parametrize("word", ["orcid", "ORCHID", "obj", "rar!", "SQLite", "version", "html"])
def test_words_that_other_formats_begin_with_are_words(word, tmp_path):
    (tmp_path / "a.csv").write_text(f"{word},text,labels\n1,red apple,fruit\n2,grey owl,bird\n")
    assert len(open_dataset(str(tmp_path / "a.csv")).load_split("train")) == 2


def test_a_classic_mac_file_is_refused_with_its_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,labels\rGrößen,é\rcrème brûlée,ü\r".encode("mac_roman"))
    with pytest.raises(InputError, match="mac_roman gives 'ö"):
        open_dataset(str(tmp_path / "a.csv")).load_split("train")


def test_what_predicts_reads_them_too(tmp_path):
    config = DataConfig(text_column="text")
    (tmp_path / "a.txt").write_text(TEXT_FILES["psql"][1])
    with pytest.warns(Note, match="is read as a table"):
        [batch] = read_batches(tmp_path / "a.txt", 9, config)
    assert [text.strip() for text in batch.texts] == TEXTS
    (tmp_path / "hits.json").write_text(json.dumps({"hits": {"hits": HITS}}))
    [batch] = read_batches(tmp_path / "hits.json", 9, config, keep=["_id"])
    assert batch.texts == TEXTS and batch.fields == [{"_id": str(i)} for i in range(3)]
    (tmp_path / "page.csv").write_text("<html><title>Sign in</title></html>")
    with pytest.raises(InputError, match="is a web page"):
        list(read_batches(tmp_path / "page.csv", 9, config))
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="is a workbook"):
        list(read_batches(tmp_path / "a.xlsx", 9, config))


def test_an_archive_is_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        (tmp_path / "a.csv").write_text("text,labels\na,b\n")
        archive.add(tmp_path / "a.csv", "a.csv")
    with pytest.raises(InputError, match="is an archive; unpack it"):
        open_dataset(str(tmp_path / "a.tar.gz"))


def test_eastern_european_files_are_not_read_as_western_ones(tmp_path):
    text = "tytuł,kategorie\nzażółć gęślą jaźń,książki\ndługi opis żółtej łódki,żagle\n"
    (tmp_path / "a.csv").write_bytes(text.encode("cp1250"))
    with pytest.raises(InputError, match="cp1250 gives 'ł,kategorie"):
        open_dataset(str(tmp_path / "a.csv")).load_split("train")
    (tmp_path / "a.csv").write_bytes("text,labels\nşeker çılgın,elma\n".encode("cp1254"))
    with pytest.warns(Note, match=r"names another, such as .*cp1254 \('şeker ç"):
        open_dataset(str(tmp_path / "a.csv")).load_split("train")
    (tmp_path / "a.csv").write_bytes(
        "text,labels\n5 m³ à 3 €, naïve,x\n".replace(", n", " n").encode("cp1252")
    )
    with pytest.warns(Note, match="is read as cp1252"):
        open_dataset(str(tmp_path / "a.csv")).load_split("train")
