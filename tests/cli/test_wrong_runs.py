"""Wrong inputs of prediction and evaluation: damaged runs, documents and options that are refused in one line."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

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
def test_damaged_and_incomplete_runs(damage, message, run_copy, tiny, tmp_path, xmc, check_refused):
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
def test_inputs_of_prediction(name, content, message, tiny, tmp_path, xmc, check_refused):
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
def test_options_of_prediction(words, message, tiny, tmp_path, xmc, monkeypatch, check_refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n")
    outcome = xmc("predict", "--workdir", tiny.run, "--input", "in.txt", *words)
    check_refused(outcome, message)
    assert [p.name for p in tmp_path.iterdir()] == ["in.txt"]


def test_vectors_of_another_kind_or_width(vectors, tiny, tmp_path, xmc, check_refused):
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


def test_data_of_evaluation(tiny, tmp_path, xmc, check_refused):
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
