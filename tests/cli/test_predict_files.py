"""`xmc predict` as a tool: any input, ids and fields beside the labels, any output, resumed after a kill."""

from __future__ import annotations

import csv
import io
import json
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from xmc_jax import results
from xmc_jax.cli import predict
from xmc_jax.ops import count_programs

LIMIT = """
import os, resource, sys
from xmc_jax.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def frame(tiny) -> pd.DataFrame:
    texts = tiny.corpus.test_texts
    return pd.DataFrame({"id": [f"d{i}" for i in range(len(texts))], "text": texts, "n": range(12)})


@pytest.fixture
def expected(tiny, tmp_path, xmc) -> list[dict]:
    source = tmp_path / "plain.txt"
    source.write_text("".join(f"{text}\n" for text in tiny.corpus.test_texts))
    done = xmc("predict", "--workdir", tiny.run, "--input", source, "--output", "-")
    return [json.loads(line) for line in done.out.splitlines()]


WRITERS = {
    "in.csv": lambda frame, path: frame.to_csv(path, index=False),
    "in.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "in.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "in.parquet": lambda frame, path: frame.to_parquet(path),
    "in.feather": lambda frame, path: frame.to_feather(path),
    "in.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "in.json": lambda frame, path: frame.to_json(path, orient="records"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_training_reads_is_labelled(name, frame, expected, tiny, tmp_path, xmc):
    WRITERS[name](frame, tmp_path / name)
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / name, "--output", "-"]
    done = xmc(*words, "--id-column", "id", "--keep", "n,text")
    assert done.code == 0
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["id"] for row in rows] == frame["id"].tolist()
    assert [str(row["n"]) for row in rows] == [str(n) for n in range(12)]
    assert [row["text"] for row in rows] == frame["text"].tolist()
    assert [(row["labels"], row["scores"]) for row in rows] == [
        (row["labels"], row["scores"]) for row in expected
    ]
    refused = xmc(*words, "--keep", "nn")
    assert refused.code == 2 and "'nn'" in refused.err[-1]


def test_a_folder_of_texts(expected, tiny, tmp_path, xmc):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i, text in enumerate(tiny.corpus.test_texts):
        (folder / f"{i:02}.txt").write_text(text)
    words = ["predict", "--workdir", tiny.run, "--input", folder]
    rows = [json.loads(line) for line in xmc(*words, "--output", "-").out.splitlines()]
    assert [row.pop("id") for row in rows] == [f"{i:02}.txt" for i in range(12)]
    assert rows == expected
    out = tmp_path / "out"
    assert xmc(*words, "--output", f"{out}/", "--format", "annif").code == 0
    assert sorted(p.name for p in out.iterdir()) == [f"{i:02}.annif" for i in range(12)]
    best = (out / "03.annif").read_text().splitlines()[0].split("\t")
    assert best == [expected[3]["labels"][0], str(expected[3]["scores"][0])] or len(best) == 3
    assert xmc(*words, "--output", folder).code == 0
    assert json.loads((folder / "03.jsonl").read_text()) == {"id": "03.txt"} | expected[3]


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.parquet"])
def test_the_ending_says_how_results_are_written(name, frame, expected, tiny, tmp_path, xmc):
    frame.to_csv(tmp_path / "in.csv", index=False)
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / "in.csv"]
    done = xmc(*words, "--output", tmp_path / name, "--id-column", "id", "--top-k", "3")
    assert (done.code, done.out) == (0, "")
    if name == "o.parquet":
        rows = pq.read_table(tmp_path / name).to_pylist()
    else:
        delimiter = {"o.csv": ",", "o.tsv": "\t"}[name]
        text = io.StringIO((tmp_path / name).read_text())
        rows = [
            row | {"labels": row["labels"].split(";")}
            for row in csv.DictReader(text, delimiter=delimiter)
        ]
    assert [row["id"] for row in rows] == frame["id"].tolist()
    assert [row["labels"] for row in rows] == [row["labels"][:3] for row in expected]
    other = ["--output", tmp_path / "other", "--format", name.partition(".")[2]]
    assert xmc(*words, *other, "--id-column", "id", "--top-k", "3").code == 0
    assert (tmp_path / "other").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "xml"], "known: jsonl, csv"),
        (["--format", "cvs"], "did you mean 'csv'"),
        (["--keep", "labels"], "rename it"),
        (["--keep", "n"], "no columns"),
        (["--output", "-", "--resume"], "only a file"),
    ],
)
def test_what_cannot_be_is_refused_first(words, said, tiny, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("a text\n")
    output = [] if "--output" in words else ["--output", tmp_path / "o"]
    done = xmc("predict", "--workdir", tiny.run, "--input", tmp_path / "in.txt", *output, *words)
    assert done.code == 2 and said in done.err[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt"]


def test_ids_of_mixed_lines(tiny, xmc, monkeypatch):
    text = 'plain\n{"text": "x", "key": [1, null]}\n{"text": "y"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))
    words = [
        "predict",
        "--workdir",
        tiny.run,
        "--input",
        "-",
        "--output",
        "-",
        "--id-column",
        "key",
    ]
    rows = [json.loads(line) for line in xmc(*words).out.splitlines()]
    assert [row["id"] for row in rows] == [None, [1, None], None]


def test_each_line_is_answered_when_it_comes(tiny):
    words = ["--workdir", str(tiny.run), "--input", "-", "--output", "-", "--stream"]
    child = subprocess.Popen(
        [sys.executable, "-m", "xmc_jax", "predict", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        for text in tiny.corpus.test_texts[:3]:
            child.stdin.write(text.encode() + b"\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["labels"]
    finally:
        child.communicate()
    assert child.returncode == 0


def test_another_number_of_labels_or_documents_compiles_nothing(tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 64)
    words = ["predict", "--workdir", tiny.run, "--output", tmp_path / "o"]
    texts = tiny.corpus.train_texts + tiny.corpus.test_texts

    def label(n_documents: int, top_k: int) -> int:
        (tmp_path / "in.txt").write_text("\n".join((texts * 3)[:n_documents]) + "\n")
        before = count_programs()
        assert xmc(*words, "--input", tmp_path / "in.txt", "--top-k", str(top_k)).code == 0
        return count_programs() - before

    label(64, 10), label(64 + 13, 10), label(64 + 1, 10)  # the sizes that there are
    assert [label(64 + 5, 10), label(30, 3), label(2 * 64 + 9, 20), label(1, 1)] == [0, 0, 0, 0]


def start(words: list) -> subprocess.Popen:
    command = [sys.executable, "-c", LIMIT, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["o.jsonl.gz", "o.parquet"])
def test_a_killed_call_is_gone_on_with_to_the_same_bytes(name, tiny, tmp_path):
    n, rng = 60_000, random.Random(0)
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{rng.choice(tiny.corpus.train_texts)} {i}\n" for i in range(n)))
    words = ["predict", "--workdir", tiny.run, "--input", source, "--output"]
    whole = start([*words, tmp_path / f"whole{name}"])
    assert whole.wait(600) == 0
    whole.communicate()
    path, kills = tmp_path / name, 0
    for _ in range(20):
        child = start([*words, path, "--resume"])
        while child.poll() is None and not results.find_part(path).exists():
            time.sleep(0.01)
        if kills < 5:  # at any moment from when the first batch may be written
            time.sleep(rng.uniform(0, 1))
            child.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        child.communicate()
        kills += child.returncode != 0
        if path.exists():
            break
    assert kills and path.read_bytes() == (tmp_path / f"whole{name}").read_bytes()


@pytest.mark.slow
def test_a_long_stream_takes_no_more_memory_than_a_short_one(tiny, tmp_path):
    def peak(n: int) -> int:
        child = start(["predict", "--workdir", tiny.run, "--input", "-", "--output", "/dev/null"])
        texts = tiny.corpus.train_texts
        block = "".join(f"{text}\n" for text in texts).encode()
        for _ in range(n // len(texts)):
            child.stdin.write(block)
        _, said = child.communicate()
        assert child.returncode == 0
        return int(said.split()[-1])

    short, long = peak(10_000), peak(200_000)
    assert long - short < 200, f"{short} MB for 10,000 documents, {long} MB for 200,000"
