"""`xmc update`: a new run from a complete one, again from that one, and what is wrong with a command line."""

from __future__ import annotations

import json

import pytest


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    lines = (json.dumps({"text": text, "labels": list(labels)}) for text, labels in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.parent


@pytest.fixture
def more(tiny, tmp_path):
    """Two new documents with a label that is new, and one that is known with another label."""
    corpus = tiny.corpus
    rows = [
        ("something quite new", ["novelty"]),
        ("new again", ["novelty", corpus.train_labels[0][0]]),
    ]
    return write(tmp_path / "more" / "train.jsonl", [*rows, (corpus.train_texts[0], ["novelty"])])


def test_two_generations(tiny, more, tmp_path, xmc):
    first, second = tmp_path / "first", tmp_path / "second"
    name = tiny.corpus.train_labels[5][0]
    words = ["update", "--from", tiny.run, "--workdir", first, "--data", more]
    done = xmc(*words, "--rename", f"{name}=renamed")
    assert done.code == 0, done.err
    assert "(2 new, 1 corrected)" in done.err[-2] and "(1 new, 1 renamed)" in done.err[-2]
    assert done.err[-1] == f"next: xmc describe --workdir {first}"
    assert "already complete" in "\n".join(xmc(*words, "--rename", f"{name}=renamed").err)
    # The documents of the first are found again by what it noted: the old data, then the update.
    done = xmc("update", "--from", first, "--workdir", second, "--retire", "renamed")
    assert done.code == 0, done.err
    facts = json.loads(xmc("describe", "--workdir", second, "--json").out)
    assert [u["retired"] for u in facts["updates"]] == [0, 1]
    assert facts["new_tree_due"] is False and facts["data"]["documents"] == 62
    shown = xmc("describe", "--workdir", second).out
    assert "update 2" in shown and "positives in reach" in shown
    texts = tmp_path / "in.txt"
    texts.write_text("something quite new\n", encoding="utf-8")
    found = xmc("predict", "--workdir", second, "--input", texts, "--output", "-")
    assert json.loads(found.out)["labels"][0] == "novelty"
    assert xmc("evaluate", "--workdir", second, "--data", tiny.data).code == 0


def test_wrong_command_lines(tiny, more, tmp_path, xmc):
    words = ["update", "--from", tiny.run, "--workdir", tmp_path / "new"]
    cases = [
        (
            ["update", "--from", tiny.run, "--workdir", tiny.run, "--data", more],
            "is the run to update",
        ),
        (["update", "--from", tmp_path / "none", "--workdir", tmp_path / "new"], "no such folder"),
        ([*words], "nothing to update given"),
        ([*words, "--retire", "nobody"], "'nobody' to retire is unknown"),
        ([*words, "--rename", "nobody"], "LABEL=NAME needed"),
        ([*words, "--data", more, "--same", "both"], "same='both'"),
        ([*words, "--data", tmp_path / "none"], "no such file or folder"),
        ([*words, "--data", more, "--known", more], "the model does not have it"),
        ([*words, "--data", more, "--beam", "3"], "--beam"),
    ]
    for line, says in cases:
        done = xmc(*line)
        assert done.code == 2 and says in done.err[-1], done.err
        assert not (tmp_path / "new").exists()


def test_a_new_tree_is_due_when_beams_hold_less():
    from xmc_jax.cli.update import is_due

    first = {"added": 1000, "reached_before": 0.99, "reached_new": 0.8, "reached_after": 0.99}
    assert not is_due([first])
    assert is_due([first | {"reached_after": 0.96}])
    assert is_due([first, first | {"reached_new": 0.7}])
    assert not is_due([first, first | {"reached_new": 0.7, "added": 20}])  # may be chance
    assert not is_due([{"added": 5}, {"added": 5}])  # no clusters


def test_a_name_with_an_equals_sign():
    from xmc_jax.cli.update import read_pairs

    assert read_pairs(["a=b=c"], ["a=b"]) == {"a=b": "c"}
    assert read_pairs(["a=b=c"], ["a"]) == {"a": "b=c"}
