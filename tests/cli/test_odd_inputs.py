"""What looks wrong but is not: it must train, predict and evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

Rows = list[tuple[str, list[str]]]

CASES: dict[str, Rows] = {
    "one document": [("the only text", ["x", "y"])],
    "one label": [("red apple", ["x"]), ("green pear", ["x"]), ("red pear", [])],
    "a label on every document": [("red apple", ["x", "y"]), ("red pear", ["x", "z"])] * 2,
    "documents without labels": [("red apple", ["x"]), ("red pear", []), ("pear", ["y"])] * 2,
    "empty texts": [("", ["x"]), ("red apple", ["y"]), ("red apple", ["y"]), ("", ["x"])],
    "unknown words only in some": [("rare1", ["x"]), ("red pear", ["y"]), ("red pear", ["y"])],
    "the same document again": [("red pear", ["x"])] * 5,
    "a label twice on a document": [("red pear", ["x", "x"]), ("red pear", ["y"])],
    "labels in any script": [
        ("red apple", ["яблоко", "苹果", "تفاحة"]),
        ("red apple", ["яблоко", "🍎 emoji", 'quote " and \\ back']),
        ("red pear", ["inner space", "tab\there", "{json: 1}", "é", "e\u0301"]),
    ],
    "texts in any script": [("苹果 яблоко", ["x"]), ("苹果 груша", ["y"])] * 2,
    "letters that are no words": [("? ! . a red", ["x"]), ("red \x00 \u2028", ["y"])],
    "more labels than documents": [("red pear", [f"label {i}" for i in range(250)])] * 2,
}


def write_rows(path: Path, rows: Rows) -> None:
    lines = [json.dumps({"text": text, "labels": labels}) for text, labels in rows]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_it_works(name, tmp_path, xmc):
    rows = CASES[name]
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for split in ("train", "test"):
        write_rows(data / f"{split}.jsonl", rows)
    trained = xmc("train", "--data", data, "--workdir", run, "--min_count", "1")
    assert trained.code == 0, trained.err
    scored = xmc("evaluate", "--workdir", run, "--data", data)
    assert scored.code == 0, scored.err
    scores = json.loads(scored.out)
    assert scores["n"] == len(rows)
    assert scores["recall@5"] > 0

    words = ["predict", "--workdir", run, "--input", data / "test.jsonl", "--top-k", "300"]
    output = tmp_path / "out.jsonl"
    assert xmc(*words, "--output", output).code == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
    known = {label for _, labels in rows for label in labels}
    assert len(lines) == len(rows)
    assert all(set(line["labels"]) <= known for line in lines)
    assert set(lines[0]["labels"]) == known  # few labels: the beam reaches them all
    assert sorted((run / "labels.txt").read_text().split("\n")[:-1]) == sorted(known)
