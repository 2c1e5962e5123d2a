"""Each format gives back what was written, and a new one is a line in the table."""

from __future__ import annotations

import csv
import gzip
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from xmc_jax import results
from xmc_jax.data.names import LabelNames
from xmc_jax.errors import InputError
from xmc_jax.predict import Predictions
from xmc_jax.types import PAD

NAMES = ["plain", 'with "quotes", commas', "http://x.org/a", "漢字"]
FIELDS = [
    {"id": 7, "when": "2020-01-01", "n": 1},
    {"id": "b", "when": None, "n": 2.5},
    {"id": None, "when": 'say "no",\nplease', "n": 3},
]


def make_predictions(names=NAMES) -> Predictions:
    ids = np.array([[0, 1, 2], [3, 2, PAD], [PAD, PAD, PAD]])
    scores = np.float32([[0.9, 0.1, 1e-7], [1 / 3, 0.25, 0], [0, 0, 0]])
    return Predictions(ids, scores, names, len(NAMES), scores / 2)


def write(format: str, path, fields=FIELDS, names=NAMES, batch: int = 2) -> bytes:
    found = make_predictions(names)
    has_id = "id" in fields[0]
    keep = [name for name in fields[0] if name != "id"]
    columns = results.choose_columns(has_id, keep, True, names)
    chosen = results.choose_format(str(path), format)
    with results.open_place(str(path), chosen, columns) as place:
        for i in range(0, len(fields), batch):
            rows = results.Rows(found[i : i + batch], fields[i : i + batch], i)
            place.add(rows, ["text"] * len(rows.fields))
        place.finish()
    return path.read_bytes() if path.is_file() else b""


def check(rows: list[dict], exactly: bool = True) -> None:
    found = make_predictions()
    assert [row["labels"] for row in rows] == found.names()
    for i, row in enumerate(rows):
        n = len(row["labels"])
        np.testing.assert_array_equal(np.float32(row["scores"]), found.scores[i, :n])
        np.testing.assert_array_equal(np.float32(row["probabilities"]), found.probabilities[i, :n])


def test_json_lines(tmp_path):
    rows = [json.loads(line) for line in write("jsonl", tmp_path / "o").decode().splitlines()]
    check(rows)
    assert [{k: row[k] for k in FIELDS[0]} for row in rows] == FIELDS
    assert list(rows[0]) == ["id", "when", "n", "labels", "scores", "probabilities"]


@pytest.mark.parametrize(("format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables(format, delimiter, tmp_path):
    text = write(format, tmp_path / "o").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    for row in rows:
        for name in ("labels", "scores", "probabilities"):
            row[name] = row[name].split(";") if row[name] else []
    check(rows)
    assert [row["id"] for row in rows] == ["7", "b", ""]
    assert [row["when"] for row in rows] == ["2020-01-01", "", 'say "no",\nplease']


@pytest.mark.parametrize(
    ("name", "separator"), [("a;b", "|"), ("a;b|c", "¦"), ("a;b|c¦d / e", None)]
)
def test_labels_of_a_cell_can_be_told_apart(name, separator, tmp_path):
    names = [name, *NAMES[1:]]
    assert results.choose_columns(False, [], False, names).separator == separator
    text = write("csv", tmp_path / "o", [{}, {}, {}], names).decode()
    cell = next(csv.DictReader(io.StringIO(text)))["labels"]
    told = json.loads(cell) if separator is None else cell.split(separator)
    assert told == names[:3]


def test_tables_are_read_as_training_data(tmp_path):
    """What was labelled can be trained on: labels of a cell are read as they are written."""
    from xmc_jax.data import open_dataset

    fields = [{"text": f"text {i}"} for i in range(2)]
    write("csv", tmp_path / "o.csv", fields)
    split = open_dataset(tmp_path / "o.csv").load_split("train")
    assert split.vocabulary == sorted(set(NAMES)) and split.labels.nnz == 5


def test_parquet(tmp_path):
    write("parquet", tmp_path / "o")
    table = pq.read_table(tmp_path / "o")
    check(table.to_pylist())
    assert table["n"].to_pylist() == [1.0, 2.5, 3.0] and table["id"].to_pylist() == ["7", "b", None]
    assert str(table.schema.field("scores").type) == "list<element: float>"
    write("parquet", tmp_path / "ids", names=None)
    assert pq.read_table(tmp_path / "ids")["labels"].to_pylist() == [[0, 1, 2], [3, 2], []]


def test_annif(tmp_path):
    text = write("annif", tmp_path / "o").decode()
    lines = text.splitlines()
    assert lines[0] == "Suggestions for 7" and lines[1] == "plain\t0.45"
    assert "<http://x.org/a>\thttp://x.org/a\t5e-08" in lines
    (tmp_path / "folder").mkdir()
    fields = [{"id": f"{i}.txt"} for i in range(3)]
    write("annif", tmp_path / "folder", fields)
    files = sorted(p.name for p in (tmp_path / "folder").iterdir())
    assert files == ["0.annif", "1.annif", "2.annif"]
    assert (tmp_path / "folder" / "0.annif").read_text().splitlines() == lines[1:4]
    with pytest.raises(InputError, match=r"the id 'a\.txt'"):
        write("annif", tmp_path / "folder", [{"id": "a.txt"}] * 3)


def test_display_names_stand_beside_the_labels(tmp_path):
    class Named(list):
        names = LabelNames({NAMES[0]: "A; B", NAMES[2]: "X"})

    names = Named(NAMES)
    text = write("csv", tmp_path / "o", [{}] * 3, names).decode()
    assert next(csv.DictReader(io.StringIO(text)))["names"] == f"A; B|{NAMES[1]}|X"
    write("parquet", tmp_path / "p", [{}] * 3, names)
    assert pq.read_table(tmp_path / "p")["names"][0].as_py() == ["A; B", NAMES[1], "X"]
    line = json.loads(write("jsonl", tmp_path / "j", [{}] * 3, names).splitlines()[0])
    assert line["names"] == ["A; B", NAMES[1], "X"] and line["labels"] == NAMES[:3]
    assert b"<http://x.org/a>\tX\t" in write("annif", tmp_path / "a", [{}] * 3, names)


def test_compressed(tmp_path):
    assert gzip.decompress(write("jsonl", tmp_path / "o.jsonl.gz")) == write(
        "jsonl", tmp_path / "o"
    )
    with pytest.raises(InputError, match=r"drop \.gz"):
        results.choose_format("o.parquet.gz")


@pytest.mark.parametrize(
    ("output", "name"),
    [("a.csv", "csv"), ("a.TSV", "tsv"), ("a.csv.gz", "csv"), ("-", "jsonl"), ("a.txt", "jsonl")],
)
def test_an_ending_says_the_format(output, name):
    assert results.choose_format(output).name == name
    assert results.choose_format(output, "parquet" if output == "-" else "tsv").name != "jsonl"


@pytest.mark.parametrize("keep", [["labels"], ["id"], ["a", "a"]])
def test_columns_have_one_name_each(keep):
    with pytest.raises(InputError, match="--keep"):
        results.choose_columns(True, keep, False, None)


def test_a_format_of_ones_own(tmp_path, monkeypatch):
    def encode(rows: results.Rows, columns: results.Columns) -> bytes:
        return "".join(f"{len(names)}\n" for names in rows.predictions.names()).encode()

    toy = results.Format("toy", "Counts", (".n",), lambda columns: b"counts\n", encode)
    monkeypatch.setitem(results.FORMATS, "toy", toy)
    assert results.choose_format("x.n") is toy
    assert write("toy", tmp_path / "x.n") == b"counts\n3\n2\n0\n"
