"""Display names through the commands: kept in the run, shown in outputs, found where a label is asked for."""

from __future__ import annotations

import json

import pytest

import xmc_jax as xmc_jax
from xmc_jax.errors import InputError, Note


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    from xmc_jax.cli.main import main

    folder = tmp_path_factory.mktemp("named")
    rows = [f"word{i % 4} text {i}\t<http://x.org/{i % 4}>" for i in range(24)]
    (folder / "corpus.tsv").write_text("\n".join(rows) + "\n")
    lines = [f'<http://x.org/{i}> <{SKOS}prefLabel> "name {i}"@en .' for i in range(4)]
    lines.append(f'<http://x.org/2> <{SKOS}altLabel> "archaeology"@en .')
    (folder / "voc.ttl").write_text("\n".join(lines) + "\n")
    words = [
        "train",
        "--data",
        folder / "corpus.tsv",
        "--workdir",
        folder / "w",
        "--names-file",
        folder / "voc.ttl",
    ]
    assert main([str(w) for w in [*words, "--min_count", "1"]]) == 0
    return folder


SKOS = "http://www.w3.org/2004/02/skos/core#"


def test_predictions_and_descriptions_show_names(named, tmp_path, xmc):
    (tmp_path / "in.txt").write_text("word2 text\n")
    done = xmc(
        "predict",
        "--workdir",
        named / "w",
        "--input",
        tmp_path / "in.txt",
        "--output",
        "-",
        "--top-k",
        "1",
    )
    line = json.loads(done.out)
    assert line["labels"] == ["http://x.org/2"] and line["names"] == ["name 2"]
    for asked in ("archaeology", "Name 2", "http://x.org/2"):
        shown = xmc("describe", "--workdir", named / "w", "--label", asked)
        assert shown.code == 0, shown.err
        assert "name 2 <http://x.org/2>" in shown.out and "name 3 <http://x.org/3>" in shown.out
    assert xmc("describe", "--workdir", named / "w", "--label", "geology").code == 2
    explained = xmc(
        "explain", "--workdir", named / "w", "--text", "word2", "--label", "archaeology"
    )
    assert explained.code == 0 and "name 2" in explained.out, explained.err


def test_data_shows_names(named, xmc):
    shown = xmc("data", named / "corpus.tsv", "--names-file", named / "voc.ttl")
    assert "-> name 0 <http://x.org/0>" in shown.out


def test_names_in_python(named, tmp_path):
    model = xmc_jax.load(named / "w")
    found = model.predict(["word2 text"], top_k=1)
    assert found.names() == [["http://x.org/2"]] and found.display_names() == [["name 2"]]
    assert model.predict(["word1"], restrict_to=["archaeology"], top_k=1).names() == [
        ["http://x.org/2"]
    ]
    with pytest.warns(Note, match="3 of 4 labels have no display name"):
        model.name_labels({"http://x.org/1": "uno"})
    model.save(tmp_path / "m")
    assert xmc_jax.load(tmp_path / "m").predict(["word1 text"], top_k=1).display_names() == [
        ["uno"]
    ]
    with pytest.raises(InputError, match="no such file"):
        model.name_labels("nowhere.ttl")


def test_a_names_file_is_read_before_training(named, tmp_path, xmc):
    refused = xmc(
        "train",
        "--data",
        named / "corpus.tsv",
        "--workdir",
        tmp_path / "w",
        "--names-file",
        "no.ttl",
    )
    assert refused.code == 2 and "no.ttl: no such file" in refused.err[-1]
    assert not (tmp_path / "w").exists()
