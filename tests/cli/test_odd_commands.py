"""Wrong words and folders for the commands that work on a finished run: one line, code 2, nothing written."""

from __future__ import annotations

import json
import shutil

import pytest

FILES = {
    "new.jsonl": '{"text": "a b", "labels": ["x"]}\n',
    "texts.csv": "text,price\na b,1\nc d,2\n",
    "numbers.csv": "a,b\n1,2\n3,4\n",
    "empty.jsonl": "",
    "file": "",
    "bad.py": "def get_config(:\n",
    "bare.py": "x = 1\n",
    "raises.py": "def get_config(): raise ValueError('a\\nb')\n",
}
UPDATE = ["update", "--from", "RUN", "--workdir", "u"]
REPORT = ["report", "--workdir", "RUN", "--output", "r.html", "--data"]
CALIBRATE = ["calibrate", "--workdir", "RUN", "--data"]
EXPLAIN = ["explain", "--workdir", "RUN"]
PREDICT = ["predict", "--workdir", "RUN", "--input", "new.jsonl", "--output", "o"]
PLAN = ["plan", "--data", "DATA"]
CASES = [
    (["update", "--workdir", "u", "--data", "new.jsonl"], "required: --from"),
    (["update", "--from", "none", "--workdir", "u", "--data", "new.jsonl"], "no such folder"),
    (["update", "--from", "file", "--workdir", "u", "--data", "new.jsonl"], "is a file"),
    (["update", "--from", "DATA", "--workdir", "u", "--data", "new.jsonl"], "holds no run"),
    (["update", "--from", "RUN", "--workdir", "RUN", "--data", "new.jsonl"], "give a new folder"),
    (["update", "--from", "RUN", "--workdir", "file/u", "--data", "new.jsonl"], "file: is a file"),
    (UPDATE, "nothing to update given"),
    ([*UPDATE, "--data", "none.jsonl"], "no such file"),
    ([*UPDATE, "--data", "texts.csv"], "no column 'labels'; known: text, price"),
    ([*UPDATE, "--data", "numbers.csv"], "no column 'text'; known: a, b"),
    ([*UPDATE, "--data", "empty.jsonl"], "no documents"),
    ([*UPDATE, "--retire", "nobody"], "label 'nobody' to retire is unknown"),
    ([*UPDATE, "--rename", "abc"], "LABEL=NAME needed"),
    ([*UPDATE, "--rename", "abc=def"], "label 'abc' to rename is unknown"),
    (["report", "--workdir", "RUN"], "required: --output"),
    ([*REPORT, "none"], "no such file"),
    ([*REPORT, "texts.csv"], "no column 'labels'"),
    ([*REPORT, "DATA", "--split", "dev"], "no split 'dev'; it has: train, test"),
    ([*REPORT, "DATA", "--output", "no/r.html"], "output no/r.html given"),
    ([*REPORT, "DATA", "--output", "r.pdf"], "ends in .html needed"),
    ([*REPORT, "DATA", "--worst", "-1"], "'-1' given"),
    ([*CALIBRATE, "DATA", "--split", "valid"], "no split 'valid'"),
    ([*CALIBRATE, "DATA", "--method", "magic"], "'magic' is not a choice; known: isotonic-rank"),
    ([*CALIBRATE, "DATA", "--split", "train"], "documents that the model was not trained on"),
    (EXPLAIN, "one of --text and --input needed"),
    ([*EXPLAIN, "--text", "a", "--input", "new.jsonl"], "one of --text and --input"),
    ([*EXPLAIN, "--text", "a", "--label", "nobody"], "unknown label 'nobody'"),
    ([*EXPLAIN, "--input", "none.txt"], "no such file"),
    ([*EXPLAIN, "--input", "numbers.csv"], "no column 'text'"),
    ([*PLAN, "--target", "a10"], "did you mean 'a100'?"),
    ([*PLAN, "--target", "h100:0"], "1 or more devices"),
    ([*PLAN, "--target", ""], "known: cpu"),
    ([*PLAN, "--target", "h100,v5e-8"], "target 'h100,v5e-8' given"),
    ([*PLAN, "--memory", "12XB"], "a size of 1 MB or more"),
    ([*PLAN, "--config", "none.py"], "cannot be read"),
    ([*PLAN, "--config", "bad.py"], "bad.py:1: invalid syntax"),
    ([*PLAN, "--config", "bare.py"], "defines no function get_config()"),
    ([*PLAN, "--config", "raises.py"], "raises.py:1: ValueError: a b"),
    (["train", "--data", "DATA", "--workdir", "u", "--calibrate.share", "2"], "a share in (0, 0.5]"),
    (["train", "--data", "DATA", "--workdir", "u", "--rerank.mode", "best"], "known: off, mixture"),
    ([*PREDICT, "--probabilities"], "has no probabilities"),
    ([*PREDICT, "--decide", "microf1"], "'micro-f1'?"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"), CASES, ids=lambda x: None if isinstance(x, str) else " ".join(x)
)
def test_wrong_words(words, message, tiny, tmp_path, monkeypatch, xmc):
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(tiny.run), "DATA": str(tiny.data)}
    done = xmc(*[places.get(word, word) for word in words])
    assert (done.code, done.out) == (2, ""), done
    assert done.err[-1].startswith("xmc: ") and message in done.err[-1]
    assert not any("Traceback" in line or "unforeseen" in line for line in done.err)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    "name", ["labels.txt", "config.json", "manifest.json", "vectorizer", "level_01"]
)
@pytest.mark.parametrize(
    "words",
    [
        ["update", "--data", "new.jsonl", "--workdir", "u", "--from"],
        ["report", "--output", "r.html", "--workdir"],
        ["explain", "--text", "a", "--workdir"],
        ["calibrate", "--data", "DATA", "--split", "test", "--workdir"],
    ],
    ids=lambda words: words[0],
)
def test_a_damaged_run_is_named(
    words, name, run_copy, tiny, tmp_path, monkeypatch, xmc, check_refused
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.jsonl").write_text(FILES["new.jsonl"])
    path = run_copy / name
    shutil.rmtree(path) if path.is_dir() else path.write_text(path.read_text()[:-9])
    places = {"DATA": str(tiny.data)}
    done = xmc(*[places.get(word, word) for word in words], run_copy)
    check_refused(done, name, "restore the folder" if name != "config.json" else "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "new.jsonl"]


def test_an_update_tells_its_stages(tiny, tmp_path, xmc):
    rows = zip(tiny.corpus.test_texts, tiny.corpus.test_labels, strict=True)
    lines = [json.dumps({"text": text, "labels": [str(n) for n in names]}) for text, names in rows]
    (tmp_path / "new.jsonl").write_text("\n".join(lines) + "\n")
    done = xmc(
        "update", "--from", tiny.run, "--workdir", tmp_path / "u", "--data", tmp_path / "new.jsonl"
    )
    assert done.code == 0
    stages = [line.split(":")[0] for line in done.err if line.startswith("stage")]
    names = ["features", "tree", "level 0", "level 1", "reached positives"]
    assert stages == [f"stage {i} of 5, {name}" for i, name in enumerate(names, 1)]
