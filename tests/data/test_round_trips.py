"""Random tables, written by the libraries that people use in random dialects, come back or are refused by name."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError, Note

WORDS = [
    *(
        "red",
        "apple",
        "naïve",
        "日本",
        '12"',
        '"open',
        'say "x"',
        "it's",
        "a,b",
        "x;y",
        "p|q",
        "&amp;",
        "<b>",
        "=1+1",
    ),
    *(
        "\n",
        "\n\n",
        "\t",
        "tab\there",
        " ",
        "",
        "-",
        "0",
        "é",
        "e\u0301",
        "\u2028",
        "\u00a0",
        "🍎",
        "\\",
        "\\n",
        "[1]",
    ),
]
NAMES = [
    *(
        "red",
        "green tea",
        "O'Neil",
        'so "called"',
        "Home &amp; Garden",
        "R&D",
        "日本",
        "naïve",
        "cs.LG",
        "x-1",
        "A (b)",
    ),
    *("http://x.org/1", "C++", "50%", "yes", "None of it", "a/b", "éclair"),
]
WITH_COMMAS = ["Doe, Jane", "Clothing, Shoes & Jewelry", "a,b"]
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}

Documents = list[tuple[str, list[str]]]


def make_documents(rng: random.Random, commas: bool) -> Documents:
    names = NAMES + (WITH_COMMAS if commas else [])
    documents = [
        (
            " ".join(rng.choices(WORDS, k=rng.randint(0, 6))),
            rng.sample(names, rng.choice([0, 1, 1, 2, 3, 4])),
        )
        for _ in range(rng.randint(2, 12))
    ]
    # Several labels, so that the column shows what separates them; the last row is no blank one.
    return [("first of all", rng.sample(names, 3)), *documents, ("last", rng.sample(names, 2))]


def write_cell(rng: random.Random, labels: list[str], form: str) -> str:
    if form in (";", "|", ","):
        return f"{form}{rng.choice(['', ' '])}".join(labels)
    if form == "python":
        return repr(labels)
    if form == "numpy":
        return str(np.array([*labels, None], object)[:-1])
    return json.dumps(labels, ensure_ascii=rng.random() < 0.5)


def write_table(rng: random.Random, folder: Path) -> tuple[Path, Documents, str]:
    """Writes documents as CSV or TSV; returns the file, the documents, and how it was done."""
    form = rng.choice([";", "|", ",", "python", "numpy", "json"])
    documents = make_documents(rng, commas=form != ",")
    delimiter = rng.choice([",", ",", ";", "\t", "|"])
    columns = ["text", "labels", *rng.choice([[], ["id"], ["id", "note"]])]
    rng.shuffle(columns)
    writer = rng.choice(["csv", "csv", "escaped csv", "pandas", "polars", "arrow"])
    if writer == "escaped csv":  # without an escaped quote nobody could tell what a backslash means
        documents = [(text.replace("\\", "/"), names) for text, names in documents]
    rows = [
        {
            "text": text,
            "labels": write_cell(rng, labels, form),
            "id": str(i),
            "note": rng.choice(["", "n", "a b"]),
        }
        for i, (text, labels) in enumerate(documents)
    ]
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in columns})
    end, quoting = (
        rng.choice(["\n", "\r\n"]),
        rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    )
    stream = io.StringIO(newline="")
    if writer.endswith("csv"):
        more = {"doublequote": False, "escapechar": "\\"} if writer == "escaped csv" else {}
        out = csv.writer(
            stream,
            delimiter=delimiter,
            lineterminator=end,
            quoting=csv.QUOTE_ALL if more else quoting,
            **more,
        )
        out.writerow(columns)
        out.writerows([row[name] for name in columns] for row in rows)
    elif writer == "pandas":
        frame.to_csv(stream, sep=delimiter, index=False, quoting=quoting, lineterminator=end)
    elif writer == "polars":
        stream.write(
            pl.DataFrame(frame.to_dict("list")).write_csv(
                separator=delimiter, quote_style=rng.choice(["necessary", "always"])
            )
        )
    else:
        sink = io.BytesIO()
        options = pa.csv.WriteOptions(
            delimiter=delimiter, quoting_style=rng.choice(["needed", "all_valid"])
        )
        pa.csv.write_csv(pa.Table.from_pydict(frame.to_dict("list")), sink, options)
        stream.write(sink.getvalue().decode())
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    ending = rng.choice([".tsv"] if delimiter == "\t" else [".csv"]) + rng.choice(list(PACK))
    path = folder / f"table{ending}"
    path.write_bytes(
        PACK[path.suffix if path.suffix in PACK else ""](stream.getvalue().encode(encoding))
    )
    return path, documents, f"{writer} {delimiter!r} {form} {encoding} {quoting} {end!r}"


def write_typed(rng: random.Random, folder: Path) -> tuple[Path, Documents, str]:
    """Writes documents as JSON, Parquet or Arrow, labels as lists."""
    documents = make_documents(rng, commas=True)
    columns = {
        "text": [t for t, _ in documents],
        "labels": [names for _, names in documents],
        "n": list(range(len(documents))),
    }
    kind = rng.choice(["jsonl", "json", "ndjson", "parquet", "polars.parquet", "feather", "arrow"])
    path = folder / f"typed.{kind.rpartition('.')[2]}"
    if kind in ("jsonl", "json"):
        pd.DataFrame(columns).to_json(
            path, orient="records", lines=kind == "jsonl", force_ascii=rng.random() < 0.5
        )
    elif kind == "ndjson":
        pl.DataFrame(columns).write_ndjson(path)
    elif kind == "parquet":
        pa.parquet.write_table(pa.table(columns), path)
    elif kind == "polars.parquet":
        pl.DataFrame(columns).write_parquet(path)
    elif kind == "feather":
        pd.DataFrame(columns).to_feather(path)
    else:
        pl.DataFrame(columns).write_ipc(path)
    return path, documents, kind


def write_lines(rng: random.Random, folder: Path) -> tuple[Path, Documents, str]:
    """Writes documents in a format of lines, which hold texts of one line."""
    form = rng.choice(["fasttext", "annif", "libmultilabel", "text2text"])
    n = rng.randint(2, 12)
    texts = [
        " ".join(rng.choices(["red", "naïve", "日本", '"open', "it's", "a,b"], k=rng.randint(4, 9)))
        for _ in range(n)
    ]
    names = {"annif": "http://x.org/{}", "text2text": "{}"}.get(form, "l{}")
    documents = [
        (t, [names.format(i) for i in rng.sample(range(9), rng.randint(1, 4))])
        for t in [*texts, "the last of all texts"]
    ]
    documents[0] = (documents[0][0], [names.format(i) for i in (3, 5)])
    made = {
        "fasttext": lambda text, labels: " ".join([*(f"__label__{name}" for name in labels), text]),
        "annif": lambda text, labels: f"{text}\t{' '.join(f'<{name}>' for name in labels)}",
        "libmultilabel": lambda text, labels: f"{len(text)}\t{' '.join(labels)}\t{text}",
        "text2text": lambda text, labels: f"{','.join(labels)}\t{text}",
    }[form]
    path = folder / "lines.txt"
    path.write_text("".join(made(*document) + "\n" for document in documents), newline="")
    return path, documents, form


def check(seed: int, folder: Path) -> str:
    """Writes one set and reads it; returns "same", or the refusal."""
    rng = random.Random(seed)
    write = rng.choice([write_table, write_table, write_table, write_typed, write_lines])
    path, documents, how = write(rng, folder)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", Note)
            split = open_dataset(path).load_split("train")
    except InputError as error:
        assert str(error).startswith(f"{path}:"), (seed, how, str(error))
        return f"{how}: {error}"
    finally:
        path.unlink()
    found = [
        (text, sorted(split.vocabulary[j] for j in row.indices))
        for text, row in zip(split.texts, split.labels, strict=True)
    ]
    wanted = [(text.replace("\r\n", "\n"), sorted(set(names))) for text, names in documents]
    told = [str(note.message) for note in caught if "several lines" in str(note.message)]
    assert found == wanted or told, (
        seed,
        how,
        [pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]][:2],
    )
    return "same" if found == wanted else f"{how}: told"


def check_many(seeds: range, folder: Path) -> None:
    outcomes = [check(seed, folder) for seed in seeds]
    n_same = outcomes.count("same")
    print(
        f"{n_same:,} of {len(seeds):,} came back; others, such as {[o for o in outcomes if o != 'same'][:3]}"
    )
    assert n_same >= 0.97 * len(seeds), [o for o in outcomes if o != "same"][:20]


def test_tables_come_back_or_are_refused(tmp_path):
    check_many(range(250), tmp_path)


@pytest.mark.slow
def test_ten_thousand_tables_come_back_or_are_refused(tmp_path):
    check_many(range(1000, 11000), tmp_path)
