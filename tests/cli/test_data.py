"""`xmc data`, and tables, notes and shares through the other commands."""

from __future__ import annotations

import json

import pytest

ROWS = [
    "head;tags",
    *(f"red apple number {i};x|y" if i % 2 else f"green pear {i};y" for i in range(20)),
]
TRAIN = ["--min_count", "1", "--kind", "tfidf"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "products.csv"
    path.write_text("\n".join(ROWS) + "\n")
    return path


def test_shows_what_would_be_read(table, xmc):
    shown = xmc("data", table)
    assert shown.code == 0 and not shown.err
    assert (
        "';' between cells; text from 'head', labels from 'tags', separated by '|' (10 of 20"
        in shown.out
    )
    assert "train      20 documents, 1.5 labels per document" in shown.out
    assert "'red apple number 1'\n    -> x, y" in shown.out
    facts = json.loads(xmc("data", table, "--json").out)
    assert facts["settings"]["data.label_separator"] == "|"
    assert facts["labels"] == 2 and len(facts["documents"]) == 3


def test_tells_what_looks_odd(tmp_path, xmc):
    rows = [
        ("red", ["Beer"]),
        ("red pear", ["beer"]),
        ("", ["wine"]),
        ("red", []),
        ("unique", ["wine"]),
    ]
    for split, more in (("train", []), ("test", [("red", ["BEER", "cider"]), ("qqq", ["gin"])])):
        lines = [json.dumps({"text": t, "labels": names}) for t, names in (*rows, *more)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    shown = xmc("data", tmp_path, "--tree.max_leaf_size", "2")
    told = "\n".join(shown.err)
    assert "1 pairs of labels differ only in case, such as 'Beer' and 'beer'" in told
    assert "3 of 6 labels of 'test' were never seen in training (3 times in its documents)" in told
    assert "of them differ from a known label only in case, such as 'BEER' and 'Beer'" in told
    assert "1 of 5 documents of 'train' have an empty text" in told
    assert "1 of 5 documents of 'train' have no label" in told
    assert "of 7 texts of 'test' are also in 'train'" in told
    assert "2 of 7 documents of 'test' have no word that training knows" in told
    assert "the data are small for a tree" in told and "--tree.kind flat" in told


def test_one_file_is_trained_on_held_out_and_predicted(table, tmp_path, xmc):
    run = tmp_path / "w"
    trained = xmc(
        "train", "--data", table, "--workdir", run, "--test-share", "0.2", "--min_count", "1"
    )
    assert trained.code == 0, trained.err
    assert trained.err[0].startswith(
        f"data: {table}: CSV or TSV, ';' between cells; text from 'head'"
    )
    assert "16 documents, 0.2 of all held out as the split 'test'; 2 labels" in trained.err[1]
    assert trained.err[-1] == f"next: xmc evaluate --workdir {run} --data {table}"
    assert json.loads(xmc("evaluate", "--workdir", run, "--data", table).out)["n"] == 4
    other = tmp_path / "other.csv"
    other.write_text(
        "\n".join(["tags;head", *(";".join(r.split(";")[::-1]) for r in ROWS[1:])]) + "\n"
    )
    assert json.loads(xmc("evaluate", "--workdir", run, "--data", other).out)["n"] == 20
    done = xmc("predict", "--workdir", run, "--input", other, "--output", "-", "--top-k", "1")
    assert len(done.out.splitlines()) == 20
    again = xmc(
        "train", "--data", table, "--workdir", run, "--test-share", "0.2", "--min_count", "1"
    )
    assert again.code == 0, again.err


def test_without_a_test_split_nothing_is_promised(table, tmp_path, xmc):
    run = tmp_path / "w"
    trained = xmc("train", "--data", table, "--workdir", run, "--min_count", "1")
    assert not any("xmc evaluate --workdir" in line for line in trained.err)
    assert "--test-share 0.1" in trained.err[-2]
    assert (
        trained.err[-1]
        == f"next: echo 'a text to label' | xmc predict --workdir {run} --input - --output -"
    )
    refused = xmc("evaluate", "--workdir", run, "--data", table)
    assert refused.code == 2
    assert (
        "has no split 'test', only train, which the model was trained on; --split train"
        in refused.err[-1]
    )
    assert (
        json.loads(xmc("evaluate", "--workdir", run, "--data", table, "--split", "train").out)["n"]
        == 20
    )


def test_evaluation_takes_the_validation_split_and_tells(table, tmp_path, xmc):
    data = tmp_path / "d"
    data.mkdir()
    for split in ("train", "valid"):
        (data / f"{split}.csv").write_text(table.read_text())
    assert xmc("train", "--data", data, "--workdir", tmp_path / "w", "--min_count", "1").code == 0
    scored = xmc("evaluate", "--workdir", tmp_path / "w", "--data", data)
    assert scored.code == 0 and any(
        "has no split 'test'; 'valid' is scored" in e for e in scored.err
    )


def test_labels_never_seen_are_told_with_three_of_them(tiny, tmp_path, xmc):
    known = tiny.corpus.names[0]
    lines = [{"text": "a", "labels": [known, *(f"new {i}" for i in range(5)), known.upper()]}]
    (tmp_path / "test.jsonl").write_text(json.dumps(lines[0]) + "\n")
    told = xmc("evaluate", "--workdir", tiny.run, "--data", tmp_path).err
    assert any(
        "6 of 7 labels of 'test' were never seen in training" in line and line.count("'new ") >= 2
        for line in told
    )
    assert any("1 of them differ from a known label only in case" in line for line in told)


def test_filtered_pairs_count_neither_way(tmp_path, xmc):
    import gzip

    labels = "".join(json.dumps({"uid": f"l{i}", "title": f"name {i}"}) + "\n" for i in range(4))
    rows = [
        {"title": f"word{i % 4} common", "content": "", "target_ind": [i % 4]} for i in range(40)
    ]
    train = "".join(json.dumps(row) + "\n" for row in rows)
    test = json.dumps(rows[0] | {"target_ind": [0, 1]}) + "\n"
    data = tmp_path / "d"
    data.mkdir()
    for name, content in (("trn", train), ("tst", test), ("lbl", labels)):
        (data / f"{name}.json.gz").write_bytes(gzip.compress(content.encode()))
    assert xmc("train", "--data", data, "--workdir", tmp_path / "w").code == 0
    assert (
        json.loads(xmc("evaluate", "--workdir", tmp_path / "w", "--data", data).out)["P@1"] == 100
    )
    (data / "filter_labels_test.txt").write_text("0 0\n")
    scored = json.loads(xmc("evaluate", "--workdir", tmp_path / "w", "--data", data).out)
    assert scored["P@1"] < 100 or scored["P@3"] == pytest.approx(100 / 3)
    assert scored["recall@5"] == 100


@pytest.mark.parametrize("words", [[], ["a", "--data", "b"], ["nowhere"]])
def test_wrong_paths(words, xmc):
    refused = xmc("data", *words)
    assert refused.code == 2 and len(refused.err) == 1


def test_a_folder_of_texts_is_labelled(tiny, tmp_path, xmc):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"some\nwords {i}")
    done = xmc("predict", "--workdir", tiny.run, "--input", tmp_path, "--output", "-")
    assert done.code == 0 and len(done.out.splitlines()) == 3


def test_ids_and_columns_are_carried_over(tiny, tmp_path, xmc):
    table = tmp_path / "in.csv"
    table.write_text("key;text;note\nk1;some words;a\nk2;other words;\n")
    words = ["predict", "--workdir", tiny.run, "--output", "-", "--top-k", "1", "--input"]
    lines = xmc(*words, table, "--id-column", "key", "--keep", "note").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(row["id"], row["note"], len(row["labels"])) for row in found] == [
        ("k1", "a", 1),
        ("k2", "", 1),
    ]
    refused = xmc(*words, table, "--id-column", "nokey")
    assert refused.code == 2 and "no column 'nokey'" in refused.err[-1]
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one.txt").write_text("some words")
    assert json.loads(xmc(*words, tmp_path / "d").out)["id"] == "one.txt"
    (tmp_path / "in.jsonl").write_text('{"text": "a", "id": 7}\n')
    assert json.loads(xmc(*words, tmp_path / "in.jsonl", "--id-column", "id").out)["id"] == 7
