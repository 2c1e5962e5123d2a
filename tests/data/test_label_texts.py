"""Texts of labels from names, from files, from callers; what is not one is refused by name."""

from __future__ import annotations

import json

import pytest

from xmc_jax.data.label_texts import read_label_texts, read_name, resolve_texts
from xmc_jax.errors import InputError


@pytest.mark.parametrize(
    "name, text",
    [
        ("sea_bird <n01838598>", "sea bird"),
        ("a < b", "a < b"),
        ("<b>", ""),
        ("2024", ""),
        ("10.1_234", ""),
        ("C++", "C++"),
        ("書籍", "書籍"),
        ("Q42", "Q42"),
    ],
)
def test_names_say(name, text):
    assert read_name(name) == text


def test_names_serve_where_nothing_is_given():
    assert resolve_texts(None, ["a_b", "7"], 2) == (["a b", ""], [], 0)
    assert resolve_texts(None, None, 2) == (["", ""], [], 0)


def test_texts_by_name_may_bring_labels_of_their_own():
    found = resolve_texts({"b": "the b", "new": "a new one"}, ["a_1", "b"], 2)
    assert found == (["a 1", "the b", "a new one"], ["new"], 1)


@pytest.mark.parametrize(
    "given, names, words",
    [
        (["one"], ["a", "b"], "1 texts of labels given for 2 labels"),
        ("text", ["a", "b"], "given as str; a list with one for each"),
        ({"x", "y"}, ["a", "b"], "given as set"),
        (3, ["a", "b"], "given as int"),
        ({"a": "x"}, None, "labels have none"),
        ({"a": 3}, ["a", "b"], "'a' given as int"),
        ({" ": "x"}, ["a", "b"], "empty"),
        ([None, "x"], None, "label 0 given as NoneType"),
    ],
)
def test_what_is_refused(given, names, words):
    with pytest.raises(InputError, match=words):
        resolve_texts(given, names, 2)


def test_files(tmp_path):
    texts = {"a b": "one", "c": "two\twords"}
    (tmp_path / "t.json").write_text(json.dumps(texts))
    (tmp_path / "list.json").write_text(json.dumps(["one", "two"]))
    (tmp_path / "t.tsv").write_text("".join(f"{k}\t{v}\n" for k, v in texts.items()))
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    (tmp_path / "wide.tsv").write_text("\ufeff a b \tone\r\nc\ttwo\twords\r\n")
    assert read_label_texts(tmp_path / "wide.tsv") == texts
    assert read_label_texts(tmp_path / "t.json") == read_label_texts(tmp_path / "t.tsv") == texts
    assert read_label_texts(tmp_path / "list.json") == read_label_texts(tmp_path / "t.txt")


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("t.json", "[1", "JSON"),
        ("t.json", "3", "neither"),
        ("t.json", '{"a": "x", "b": "y", "a": "z"}', "json: a second text for 'a'"),
        ("t.tsv", "a\tx\nb\n", ":2: no tab"),
        ("t.tsv", "a\tx\na\ty\n", ":2: a second text"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        read_label_texts(tmp_path / name)
    with pytest.raises(InputError, match="nowhere"):
        read_label_texts(tmp_path / "nowhere.json")
