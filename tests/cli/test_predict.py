from __future__ import annotations

import gzip
import io
import json
import sys

import numpy as np
import scipy.sparse as sp

from xmc_jax import results
from xmc_jax.cli import predict


def read_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def give_input(monkeypatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))


def note_calls(seen: list, method):
    def noted(self, rows, documents):
        seen.append(rows)
        return method(self, rows, documents)

    return noted


def test_a_line_for_each_document_in_order(tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 5)  # so that there are several
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(tiny.corpus.test_texts) + "\n")
    words = ["predict", "--workdir", tiny.run, "--input", source]
    done = xmc(*words, "--output", output, "--top-k", "4")
    assert (done.code, done.out) == (0, "")
    lines = read_lines(output.read_text())
    assert len(lines) == 12
    for line in lines:
        assert set(line) == {"labels", "scores"}
        assert 0 < len(line["labels"]) == len(line["scores"]) <= 4
        assert line["scores"] == sorted(line["scores"], reverse=True)
    hits = [line["labels"][0] in y for line, y in zip(lines, tiny.corpus.test_labels, strict=True)]
    assert sum(hits) > 6  # an order that was lost would give two or three
    assert xmc(*words, "--output", "-", "--top-k", "4").out == output.read_text()
    assert xmc(*words, "--output", tmp_path / "o.jsonl.gz", "--top-k", "4").code == 0
    assert gzip.decompress((tmp_path / "o.jsonl.gz").read_bytes()).decode() == output.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "o.jsonl.gz", "out.jsonl"]


def test_json_lines_and_standard_input_agree(tiny, tmp_path, xmc, monkeypatch):
    text = tiny.corpus.test_texts[0]
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}) + "\n")
    words = ["predict", "--workdir", tiny.run, "--output", "-"]
    from_file = xmc(*words, "--input", tmp_path / "in.jsonl").out
    give_input(monkeypatch, f"{text}\n" + json.dumps({"text": text, "id": 3}) + "\n")
    from_stream = xmc(*words, "--input", "-").out
    assert from_stream == 2 * from_file
    (tmp_path / "other.jsonl").write_text(json.dumps({"body": text}) + "\n")
    other = xmc(*words, "--input", tmp_path / "other.jsonl", "--data.text_column", "body")
    assert other.out == from_file


def test_odd_texts_are_documents_too(tiny, tmp_path, xmc):
    source = tmp_path / "in.jsonl"
    texts = ["", "   ", "zzzzz 12345 qqqqq", "сло\x00во 漢字 \u2028 x", "a" * 100_000]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    done = xmc("predict", "--workdir", tiny.run, "--input", source, "--output", "-")
    assert done.code == 0
    lines = read_lines(done.out)
    assert len(lines) == len(texts)
    assert all(line["labels"] and np.isfinite(line["scores"]).all() for line in lines)
    assert lines[0] == lines[1] == lines[2]  # nothing known of them: what the model expects


def test_no_documents_give_no_lines(tiny, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("")
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / "in.txt"]
    assert xmc(*words, "--output", tmp_path / "out.jsonl").code == 0
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_the_beam_may_be_chosen(tiny, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("\n".join(tiny.corpus.test_texts))
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / "in.txt", "--output", "-"]
    done = xmc(*words, "--top-k", "20", "--beam", "1")
    assert [line[:14] for line in done.err[-1:]] == ["note: top_k=20"]
    narrow = read_lines(done.out)
    wide = read_lines(xmc(*words, "--top-k", "20", "--search.beam", "4").out)
    assert {len(line["labels"]) for line in wide} == {20}
    assert {len(line["labels"]) for line in narrow} == {5}


def test_the_memory_may_be_chosen(tiny, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("\n".join(tiny.corpus.test_texts))
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / "in.txt", "--output", "-"]
    assert xmc(*words, "--memory", "2GB").out == xmc(*words).out
    refused = xmc(*words, "--memory", "100MB")
    assert refused.code == 1 and "search needs" in refused.err[-1]


def test_vectors(vectors, tmp_path, xmc):
    sp.save_npz(tmp_path / "x.npz", vectors.features[:8])
    words = ["predict", "--workdir", vectors.run, "--output", "-", "--top-k", "1"]
    done = xmc(*words, "--input", tmp_path / "x.npz")
    assert [line["labels"] for line in read_lines(done.out)] == [[str(i)] for i in range(8)]


def test_a_file_that_was_there_stays_if_the_input_is_bad(tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 1)
    (tmp_path / "in.jsonl").write_text('{"text": "fine"}\n{"text": 3}\n')
    (tmp_path / "out.jsonl").write_text("old")
    words = ["predict", "--workdir", tiny.run, "--input", tmp_path / "in.jsonl"]
    done = xmc(*words, "--output", tmp_path / "out.jsonl")
    assert done.code == 2
    assert "in.jsonl:2" in done.err[-1] and "--resume" in done.err[-2]
    assert (tmp_path / "out.jsonl").read_text() == "old"
    # What was wrong is mended: the first document is not labelled again.
    (tmp_path / "in.jsonl").write_text('{"text": "fine"}\n{"text": "three"}\n')
    asked: list = []
    monkeypatch.setattr(results.Place, "add", note_calls(asked, results.Place.add))
    assert xmc(*words, "--output", tmp_path / "out.jsonl", "--resume").code == 0
    assert [rows.first for rows in asked] == [1]
    assert len(read_lines((tmp_path / "out.jsonl").read_text())) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_documents_are_read_as_they_are_labelled(tiny):
    """No more than a batch is in memory: the second is not read before the first is asked for."""
    from xmc_jax.data.input import read_batches
    from xmc_jax.estimator import load

    class Endless(io.RawIOBase):
        read_so_far = 0

        def __iter__(self):
            return self

        def __next__(self) -> bytes:
            self.read_so_far += 1
            return b"a text\n"

    stream = Endless()
    batches = read_batches("-", 3, stdin=stream)
    model = load(tiny.run)
    assert len(model.predict(next(batches).texts)) == 3
    assert stream.read_so_far <= 4


def test_devices_may_be_chosen(tiny, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("red apple\n")
    words = ("predict", "--workdir", tiny.run, "--input", tmp_path / "in.txt", "--output", "-")
    assert xmc(*words, "--parallel.data", "1").code == 0
    done = xmc(*words, "--parallel.data", "64")
    assert done.code == 2 and "parallel.data=64" in done.err[-1]
