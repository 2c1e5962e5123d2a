"""`xmc explain`."""

from __future__ import annotations

import json


def test_a_text_and_a_file(tiny, tmp_path, xmc):
    text = tiny.corpus.test_texts[0]
    words = ["explain", "--workdir", tiny.run, "--top-k", "2"]
    done = xmc(*words, "--text", text)
    assert done.code == 0
    assert "rank 1; score" in done.out
    assert "level 0" in done.out
    file = tmp_path / "in.txt"
    file.write_text("\n".join(tiny.corpus.test_texts[:3]) + "\n", encoding="utf-8")
    lines = xmc(*words, "--input", file, "--json").out.splitlines()
    assert len(lines) == 3
    made = json.loads(lines[0])
    assert made["text"] == text
    assert [r["rank"] for r in made["reasons"]] == [1, 2]
    name = made["reasons"][1]["name"]
    one = json.loads(xmc(*words, "--text", text, "--label", name, "--json").out)
    assert [r["name"] for r in one["reasons"]] == [name]
    assert one["reasons"][0]["rank"] == 2


def test_what_cannot_be_done_is_said(tiny, xmc):
    words = ["explain", "--workdir", tiny.run]
    for more, message in (
        ([], "one of --text and --input"),
        (["--text", "a", "--input", "b"], "one of --text and --input"),
        (["--text", "a", "--label", "no such"], "unknown label"),
    ):
        done = xmc(*words, *more)
        assert done.code == 2
        assert message in done.err[-1]
