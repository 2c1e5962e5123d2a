"""Wrong inputs of training through the command line: exit code 2, one line that names the place, nothing left."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

GOOD = '{"text": "a b c", "labels": ["x"]}\n'


def write_npz(folder: Path, features, labels) -> None:
    sp.save_npz(folder / "X.trn.npz", sp.csr_matrix(features))
    sp.save_npz(folder / "Y.trn.npz", sp.csr_matrix(labels))


# What stands in the data folder, and what the line must say.
FILES: dict[str, tuple[dict[str, str | bytes], str]] = {
    "malformed json": ({"train.jsonl": GOOD + '{"text": \n'}, "train.jsonl:2: is not JSON"),
    "no text": ({"train.jsonl": GOOD * 2 + '{"labels": ["x"]}\n'}, "train.jsonl:3: no key 'text'"),
    "no labels key": ({"train.jsonl": '{"text": "a"}\n'}, "which column holds the labels"),
    "text a number": ({"train.jsonl": '{"text": 3, "labels": []}\n'}, "train.jsonl:1: "),
    "labels a string": (
        {"train.jsonl": GOOD + '{"text": "a", "labels": "x"}\n'},
        "train.jsonl:2: ",
    ),
    "label a fraction": (
        {"train.jsonl": GOOD + '{"text": "a", "labels": [0.5]}\n'},
        "train.jsonl:2: the label 0.5 is not a string",
    ),
    "label null": ({"train.jsonl": '{"text": "a", "labels": [null]}\n'}, "no document has a label"),
    "label with a newline": (
        {"train.jsonl": GOOD + '{"text": "a", "labels": ["x\\ny"]}\n'},
        "train.jsonl:2: the label 'x\\ny' holds a line break",
    ),
    "empty label": ({"train.jsonl": '{"text": "a", "labels": [" "]}\n'}, "no document has a label"),
    "not an object": ({"train.jsonl": GOOD + '["a"]\n'}, "train.jsonl:2: "),
    "not utf-8": (
        {"train.jsonl": GOOD.replace("a b", "ä b").encode() + b'{"text": "\xe9"}'},
        "train.jsonl:2: byte 0xe9",
    ),
    "half a surrogate": ({"train.jsonl": '{"text": "\\ud800", "labels": []}'}, "train.jsonl:1: "),
    "no documents": ({"train.jsonl": "\n\n"}, "train.jsonl: no documents"),
    "no label anywhere": (
        {"train.jsonl": '{"text": "a", "labels": []}\n' * 3},
        "train.jsonl: no document has a label",
    ),
    "truncated gzip": (
        {"train.jsonl.gz": gzip.compress(GOOD.encode() * 1000, mtime=0)[:-20]},
        "train.jsonl.gz: the compressed data is truncated",
    ),
    "damaged gzip": (
        {"train.jsonl.gz": gzip.compress(GOOD.encode() * 1000, mtime=0)[:-8] + bytes(8)},
        "train.jsonl.gz: ",
    ),
    "not gzip": ({"train.jsonl.gz": GOOD}, "train.jsonl.gz: is not a gzip file"),
    "label not in labels.txt": (
        {"train.jsonl": GOOD, "labels.txt": "y\n"},
        "train.jsonl:1: the label 'x' is not in labels.txt",
    ),
    "name twice in labels.txt": (
        {"train.jsonl": GOOD, "labels.txt": "x\ny\nx\n"},
        "labels.txt:3: ",
    ),
    "empty folder": ({}, "no data set there"),
    "test only": ({"test.jsonl": GOOD}, "has no split 'train'"),
    "two formats": ({"train.jsonl": GOOD, "train.csv": "text,labels\na,x\n"}, "two formats"),
    "both plain and gzip": (
        {"train.jsonl": GOOD, "train.jsonl.gz": gzip.compress(GOOD.encode())},
        "are both there",
    ),
    "xmc header": ({"train.txt": "1 2\n0 0:1\n"}, "train.txt:1: "),
    "xmc count": ({"train.txt": "3 2 2\n0 0:1\n1 1:1\n"}, "train.txt:1: the header says 3"),
    "xmc feature id": ({"train.txt": "2 2 2\n0 0:1\n1 5:1\n"}, "train.txt:3: "),
    "xmc label id": ({"train.txt": "2 2 2\n0 0:1\n7 1:1\n"}, "train.txt:3: "),
    "xmc nan": ({"train.txt": "2 2 2\n0 0:nan\n1 1:1\n"}, "train.txt:2: "),
    "xmc infinite": ({"train.txt": "2 2 2\n0 0:1\n1 1:1e999\n"}, "train.txt:3: "),
    "xmc feature twice": ({"train.txt": "2 2 2\n0 0:1 0:2\n1 1:1\n"}, "train.txt:2: "),
    "csv column": ({"train.csv": "txt,labels\na,x\n"}, "--data.text_column"),
    "csv ragged": ({"train.csv": "text,labels\na,x\nb,y,z\n"}, "train.csv:3: "),
    "attentionxml counts": ({"train_texts.txt": "a\nb\n", "train_labels.txt": "x\n"}, "train_"),
    "pecos not npz": ({"X.trn.npz": "x", "Y.trn.npz": "y"}, ".trn.npz: not a sparse matrix"),
    "pecos alone": ({"X.trn.txt": "a\n"}, "Y.trn.npz is needed"),
    "only empty texts": ({"train.jsonl": GOOD.replace("a b c", "") * 3}, "no term in the 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_data_on_disk(name, tmp_path, xmc, check_refused):
    files, message = FILES[name]
    (tmp_path / "data").mkdir()
    for file, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / "data" / file).write_bytes(content)
    outcome = xmc("train", "--data", tmp_path / "data", "--workdir", tmp_path / "w")
    check_refused(outcome, message)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[1.0, np.nan], [0, 1]], np.eye(2), "X.trn.npz, row 1: the value of feature 1 is nan"),
        ([[1.0, 0], [0, np.inf]], np.eye(2), "X.trn.npz, row 2: the value of feature 1 is inf"),
        ([[1.0, 0], [0, 1e300]], np.eye(2), "X.trn.npz, row 2: "),
        (np.eye(3), np.eye(2), "X.trn.npz: 3 rows, but"),
        (np.eye(2), np.eye(2) * np.nan, "Y.trn.npz, row 1: "),
        (np.eye(2), -np.eye(2), "Y.trn.npz, row 1: "),
        (np.eye(2), np.zeros((2, 3)), "no document has a label"),
        (np.eye(2) * 1j, np.eye(2), "X.trn.npz: holds values of type complex"),
    ],
)
def test_matrices_on_disk(features, labels, message, tmp_path, xmc, check_refused):
    (tmp_path / "data").mkdir()
    write_npz(tmp_path / "data", np.asarray(features), labels)
    outcome = xmc("train", "--data", tmp_path / "data", "--workdir", tmp_path / "w")
    check_refused(outcome, message)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", "data 'nowhere': no such file or folder"),
        ("bundled:wordnett", "did you mean 'wordnet'?"),
        ("pecos:nowhere", "data 'pecos:nowhere': no such file or folder"),
    ],
)
def test_data_named_wrongly(data, message, tmp_path, xmc, check_refused):
    check_refused(xmc("train", "--data", data, "--workdir", tmp_path / "w"), message)
    check_refused(xmc("plan", "--data", data), message)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tree.branchin", "3"], "unknown option '--tree.branchin'; did you mean '--tree.branch"),
        (["--wrokdir", "w2"], "unknown option '--wrokdir'; did you mean '--workdir'?"),
        (["--branching", "1"], "option '--branching 1': branching=1 given, 2 or more needed"),
        (["--max_share", "1.5"], "option '--max_share 1.5'"),
        (
            ["--beam", "ten"],
            "option '--beam ten': search.beam='ten' given, auto or a whole number needed",
        ),
        (["--beam", "1.5"], "a whole number needed"),
        (["--threshold", "nan"], "a number needed"),
        (["--cost_positive", "1,-1"], "numbers above 0 needed"),
        (["--loss", "hinged"], "did you mean 'hinge'?"),
        (["--binary"], "option '--binary' needs a value"),
        (["--kind", "flat"], "--features.kind or --tree.kind"),
        (["--seed", "-1"], "option '--seed -1'"),
        (["--search", "3"], "'--search'"),
        (["stray"], "'stray'"),
        (["--model", "xr-transformer", "--encoder.name", "./no"], "encoder './no': no such folder"),
        (["--model", "xr-transformr"], "did you mean 'xr-transformer'?"),
        (["--model", "xr-transformer", "--warm", "3"], "did you mean '--warmup'?"),
        (["--steps", "3"], "'--steps': this model has no such setting"),
        (["--model", "bert"], "'--model bert'"),
        (["--embedding", "pifa_lf_concat"], "label_features"),
        (
            ["--embedding", "pifa_lf_concat", "--label_features", "no.npz"],
            "no.npz: no such file",
        ),
        (
            ["--label_features", "no.npz", "--embedding", "pifa_lf_concat"],
            "no.npz: no such file",
        ),
        (["--negatives", "tfn,usn+man"], "ranker.negatives='usn+man' needs negatives"),
        (["--copies", "7"], "option '--copies 7': copies=7 given, 1 to 6 needed"),
        (["--copies", "2", "--capacity", "0.5"], "capacity=0.5 given, none, 1 or more"),
        (["--merge", "sum"], "known: auto, mean, max, noisy-or"),
        (["--merge", "noisy-or", "--post_processor", "noop"], "set disentangle.merge to auto"),
        (["--config", "no.py"], "config 'no.py' cannot be read"),
        (["--config", "card.json"], "config 'card.json' given, a Python file"),
        (["--tree", "no.json"], "'no.json'"),
        (["--tree", "tree.txt"], "tree file 'tree.txt' given"),
    ],
)
def test_options_of_training(words, message, tiny, tmp_path, xmc, monkeypatch, check_refused):
    monkeypatch.chdir(tmp_path)
    outcome = xmc("train", "--data", tiny.data, "--workdir", "w", *words)
    check_refused(outcome, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["--data", "--workdir"])
def test_options_that_are_needed(missing, tiny, tmp_path, xmc, check_refused):
    words = {"--data": tiny.data, "--workdir": tmp_path / "w"}
    del words[missing]
    check_refused(xmc("train", *[w for pair in words.items() for w in pair]), missing)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": ["label 00", \n}', "tree.json, line 2: "),
        ('{"tree": {"a": ["label 00"], "b": ["label 01"]}}', "tree.json: "),
        ('{"tree": {"a": ["label 00", "nobody"]}}', "tree.json: "),
        ('{"parents": {"label 00": "label 01", "label 01": "label 00"}}', "tree.json: "),
        ("3", "tree.json: "),
    ],
)
def test_trees(content, message, tiny, tmp_path, xmc, check_refused):
    (tmp_path / "tree.json").write_text(content)
    words = ["train", "--data", tiny.data, "--workdir", tmp_path / "w"]
    check_refused(xmc(*words, "--tree", tmp_path / "tree.json"), message)
    assert not (tmp_path / "w").exists()


def test_a_tree_matrix_of_another_label_set(tiny, tmp_path, xmc, check_refused):
    sp.save_npz(tmp_path / "tree.npz", sp.csr_matrix(np.ones((3, 2))))
    words = ["train", "--data", tiny.data, "--workdir", tmp_path / "w"]
    check_refused(xmc(*words, "--tree", tmp_path / "tree.npz"), "tree.npz", "20 rows needed")
    assert not (tmp_path / "w").exists()


def test_output_folders_that_are_taken(tiny, vectors, settings, tmp_path, xmc, check_refused):
    train = ["train", "--data", tiny.data, "--workdir"]
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/run"):
        check_refused(
            xmc(*train, tmp_path / folder), "file: is a file; a folder for the run needed"
        )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    check_refused(xmc(*train, tmp_path / "full"), "holds files but no run")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]
    before = (tiny.run / "config.json").read_bytes()
    other = xmc(*train, tiny.run, *settings, "--beam", "7")
    check_refused(other, "search.beam: 'auto' -> 7", "give another folder")
    other = xmc("train", "--data", vectors.data, "--workdir", tiny.run, *settings)
    assert (other.code, other.out) == (2, "")
    assert "other data" in other.err[-1] and "documents 60 -> 40" in other.err[-1]
    assert (tiny.run / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", "nowhere", "--workdir", "w"],
        ["predict", "--workdir", "nowhere", "--input", "-", "--output", "o"],
        ["plan", "--data", "bundled:wordnet", "--ranker.los", "hinge"],
    ],
)
def test_a_real_process(words, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "xmc_jax", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert list(tmp_path.iterdir()) == []
