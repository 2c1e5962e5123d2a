"""Wrong inputs through the command line: exit code 2, one line that names the place, nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

GOOD = '{"text": "a b c", "labels": ["x"]}\n'


def check_refused(outcome, *parts: str) -> None:
    """Asserts that a command line was refused as the contract says; `parts` must be in its line.

    What was read before the fault may have been told.
    """
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    *told, line = outcome.err
    assert all(words.startswith(("data: ", "note: ")) for words in told), outcome.err
    assert line.startswith("xmc: ")
    assert "unforeseen" not in line and "Traceback" not in line
    for part in parts:
        assert part in line, line


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
    "pecos not npz": ({"X.trn.npz": "x", "Y.trn.npz": "y"}, ".trn.npz: no sparse matrix"),
    "pecos alone": ({"X.trn.txt": "a\n"}, "Y.trn.npz is needed"),
    "only empty texts": ({"train.jsonl": GOOD.replace("a b c", "") * 3}, "no term in the 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_data_on_disk(name, tmp_path, xmc):
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
def test_matrices_on_disk(features, labels, message, tmp_path, xmc):
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
def test_data_named_wrongly(data, message, tmp_path, xmc):
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
def test_options_of_training(words, message, tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = xmc("train", "--data", tiny.data, "--workdir", "w", *words)
    check_refused(outcome, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["--data", "--workdir"])
def test_options_that_are_needed(missing, tiny, tmp_path, xmc):
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
def test_trees(content, message, tiny, tmp_path, xmc):
    (tmp_path / "tree.json").write_text(content)
    words = ["train", "--data", tiny.data, "--workdir", tmp_path / "w"]
    check_refused(xmc(*words, "--tree", tmp_path / "tree.json"), message)
    assert not (tmp_path / "w").exists()


def test_a_tree_matrix_of_another_label_set(tiny, tmp_path, xmc):
    sp.save_npz(tmp_path / "tree.npz", sp.csr_matrix(np.ones((3, 2))))
    words = ["train", "--data", tiny.data, "--workdir", tmp_path / "w"]
    check_refused(xmc(*words, "--tree", tmp_path / "tree.npz"), "tree.npz", "20 rows needed")
    assert not (tmp_path / "w").exists()


def test_output_folders_that_are_taken(tiny, vectors, settings, tmp_path, xmc):
    train = ["train", "--data", tiny.data, "--workdir"]
    (tmp_path / "file").write_text("")
    check_refused(xmc(*train, tmp_path / "file"), "is a file; a folder for the run needed")
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


Damage = Callable[[Path], None]


def cut(name: str) -> Damage:
    """Halves the largest file below a folder of the run (or the file of that name)."""

    def damage(run: Path) -> None:
        path = run / name
        if path.is_dir():
            path = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def remove(name: str) -> Damage:
    def damage(run: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def write(name: str, content: str) -> Damage:
    def damage(run: Path) -> None:
        (run / name).write_text(content)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("config.json"), "config.json"),
        (remove("meta.json"), "unfinished run"),
        (remove("labels.txt"), "labels.txt"),
        (remove("vectorizer"), "vectorizer"),
        (remove("vectorizer/weights.npz"), "weights.npz"),
        (remove("tree"), "tree"),
        (remove("level_01"), "level_01"),
        (cut("config.json"), "config.json: damaged"),
        (cut("meta.json"), "meta.json: damaged"),
        (cut("labels.txt"), "labels.txt: "),
        (cut("vectorizer/weights.npz"), "weights.npz"),
        (cut("vectorizer/vocabulary.json"), "vocabulary.json"),
        (cut("tree"), "tree"),
        (cut("level_01"), "level_01"),
        (cut("level_00/0/meta"), "level_00"),
        (write("config.json", "{}"), "config.json"),
        (write("config.json", "[]"), "config.json"),
        (write("config.json", '{"format": 99, "config": {}, "data": {}}'), "version 99"),
        (write("config.json", '{"format": 1, "config": {"bean": 1}, "data": {}}'), "bean"),
        (write("meta.json", '{"complete": true}'), "meta.json"),
        (write("meta.json", "[1]"), "meta.json"),
    ],
)
def test_damaged_and_incomplete_runs(damage, message, run_copy, tiny, tmp_path, xmc):
    damage(run_copy)
    (tmp_path / "in.txt").write_text("a\n")
    words = ["predict", "--workdir", run_copy, "--input", tmp_path / "in.txt"]
    check_refused(xmc(*words, "--output", tmp_path / "out.jsonl"), message)
    check_refused(xmc("evaluate", "--workdir", run_copy, "--data", tiny.data), message)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "in.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.jsonl", b'{"text": "a"}\n{"text"\n', "in.jsonl:2: is not JSON"),
        ("in.jsonl", b'{"text": "a"}\n{"body": "a"}\n', "in.jsonl:2: no key 'text'"),
        ("in.jsonl", b'{"text": [5]}\n', "in.jsonl:1: "),
        ("in.jsonl", b'"a"\n', "in.jsonl:1: "),
        ("in.txt", "schön\nschön\n".encode() + b"\xff\n", "in.txt:3: byte 0xff"),
        (
            "in.jsonl.gz",
            gzip.compress(b'{"text": "a"}\n' * 999, mtime=0)[:-9],
            "in.jsonl.gz: the compressed data",
        ),
        ("in.txt.gz", b"a\n", "in.txt.gz: is not a gzip file"),
        ("in.docx", b"text\na\n", "in.docx: one of .txt"),
        ("in.npz", b"", "in.npz: holds vectors, but the model was trained on texts"),
        ("", None, "no.txt: no such file"),
    ],
)
def test_inputs_of_prediction(name, content, message, tiny, tmp_path, xmc):
    source = tmp_path / (name or "no.txt")
    if content is not None:
        source.write_bytes(content)
    words = ["predict", "--workdir", tiny.run, "--input", source]
    check_refused(xmc(*words, "--output", tmp_path / "out.jsonl"), message)
    assert [p.name for p in tmp_path.iterdir()] == ([name] if name else [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "no/out.jsonl"], "option '--output no/out.jsonl': no folder no"),
        (["--output", "."], "option '--output .': is the folder that holds the input"),
        (["--output", "in.txt"], "option '--output in.txt': is the input"),
        (["--output", "o", "--top-k", "0"], "'0' given, a whole number of 1 or more needed"),
        (["--output", "o", "--top_kk", "3"], "did you mean '--top-k'?"),
        (["--output", "o", "--beam", "-1"], "option '--beam -1'"),
        (["--output", "o", "--ranker.threshold", "0.1"], "unknown option '--ranker.threshold'"),
        (["--output", "o", "--workdir", "."], "'.': holds no run"),
        (["--output", "o", "--workdir", "no"], "'no': no such folder"),
        (["--output", "o", "--workdir", "in.txt"], "'in.txt': is a file"),
        ([], "--output"),
    ],
)
def test_options_of_prediction(words, message, tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n")
    outcome = xmc("predict", "--workdir", tiny.run, "--input", "in.txt", *words)
    check_refused(outcome, message)
    assert [p.name for p in tmp_path.iterdir()] == ["in.txt"]


def test_vectors_of_another_kind_or_width(vectors, tiny, tmp_path, xmc):
    predict = ["predict", "--workdir", vectors.run, "--output", tmp_path / "o", "--input"]
    sp.save_npz(tmp_path / "wide.npz", sp.csr_matrix(np.ones((2, 9), np.float32)))
    check_refused(xmc(*predict, tmp_path / "wide.npz"), "9", "8")
    sp.save_npz(tmp_path / "nan.npz", sp.csr_matrix(np.full((2, 8), np.nan, np.float32)))
    check_refused(xmc(*predict, tmp_path / "nan.npz"), "nan")
    (tmp_path / "a.txt").write_text("a\n")
    check_refused(xmc(*predict, tmp_path / "a.txt"), "a.txt", "trained on vectors")
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    check_refused(xmc(*predict, tmp_path / "objects.npy"), "objects.npy")
    assert not (tmp_path / "o").exists()

    data = tmp_path / "wide"
    data.mkdir()
    sp.save_npz(data / "X.tst.npz", sp.csr_matrix(np.ones((2, 9), np.float32)))
    sp.save_npz(data / "Y.tst.npz", sp.csr_matrix(np.eye(8, dtype=np.float32)[:2]))
    evaluate = ["evaluate", "--workdir", vectors.run, "--data"]
    check_refused(xmc(*evaluate, data), "9", "8")
    check_refused(xmc("evaluate", "--workdir", tiny.run, "--data", data), str(data))


def test_data_of_evaluation(tiny, tmp_path, xmc):
    words = ["evaluate", "--workdir", tiny.run, "--data"]
    check_refused(xmc(*words, tiny.data, "--split", "valid"), "no split 'valid'", "train, test")
    check_refused(xmc(*words, tmp_path / "no"), "no such file or folder")
    unknown = {"text": "a", "labels": ["never", "seen"]}
    (tmp_path / "test.jsonl").write_text(json.dumps(unknown) + "\n")
    check_refused(xmc(*words, tmp_path), "2 labels, all of them unknown to the model")
    (tmp_path / "test.jsonl").write_text('{"text": "a", "labels": []}\n')
    check_refused(xmc(*words, tmp_path), "0 labels, none there")
    (tmp_path / "test.jsonl").write_text("{\n")
    check_refused(xmc(*words, tmp_path), "test.jsonl:2: ")


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
