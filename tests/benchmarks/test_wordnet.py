import json

import pytest
from wordnet import build, find_ancestors, is_test, make_documents, read_synsets

from xmc_jax.data import open_dataset
from xmc_jax.data.dataset import BUNDLED
from xmc_jax.errors import InputError

LICENCE = "  1 This software is licensed  \n  2   \n  3 WordNet 3.0 Copyright 2006  \n"


def line(offset, lemma, above, gloss):
    pointers = "".join(f" @ {a:08d} n 0000" for a in above) + " ~ 00000099 n 0000"
    lemmas = " ".join(f"{lemma} {i}" for i in range(10))
    return f"{offset:08d} 03 n 0a {lemmas} {len(above) + 1:03d}{pointers} | {gloss}  \n"


@pytest.fixture
def source(tmp_path):
    """Thing 1 is above 2 (a big animal) which is above 300 leaves; leaf 150 hangs below leaf
    149.
    """
    folder = tmp_path / "source"
    folder.mkdir()
    lines = [line(1, "thing", [], "anything"), line(2, "big_animal", [1], "an animal")]
    lines += [
        line(i, f"leaf_{i}", [149, 2] if i == 150 else [2], f'number {i}; "an {i} ran"; "it ate"')
        for i in range(100, 400)
    ]
    (folder / "data.noun").write_text(LICENCE + "".join(lines))
    (folder / "data.verb").write_text(LICENCE + "00000005 30 v 01 go 0 000 01 + 02 00 | move  \n")
    return folder


def test_reads_the_format(source):
    synsets = read_synsets(source)
    assert len(synsets) == 303
    assert synsets["n00000002"] == ("big animal", ["n00000001"], "an animal")
    assert synsets["v00000005"] == ("go", [], "move")
    assert find_ancestors(synsets)["n00000150"] == {"n00000149", "n00000002", "n00000001"}


def test_labels_are_narrow_ancestors_and_examples_are_cut(source):
    assert make_documents(read_synsets(source)) == [("number 150", ["leaf 149 <n00000149>"])]


def test_an_ancestor_of_itself_is_no_label(source):
    with (source / "data.verb").open("a") as stream:
        stream.write("00000006 30 v 01 stop 0 001 @ 00000007 v 0000 | cease  \n")
        stream.write("00000007 30 v 01 halt 0 001 @ 00000006 v 0000 | cease  \n")
    documents = make_documents(read_synsets(source))
    assert [names for _, names in documents[1:]] == [["halt <v00000007>"], ["stop <v00000006>"]]


def test_builds_a_folder_the_same_each_time(source, tmp_path):
    with (source / "data.verb").open("a") as stream:
        for i in range(100, 150):
            stream.write(f"{i:08d} 30 v 01 walk 0 001 @ {i + 50:08d} v 0000 | walk {i}  \n")
            stream.write(f"{i + 50:08d} 30 v 01 go 0 000 | go  \n")
    meta = build(source, tmp_path / "one")
    build(source, tmp_path / "two")
    for name in ("train.jsonl.gz", "test.jsonl.gz", "meta.json", "NOTICE"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert meta["train_docs"] + meta["test_docs"] == meta["labels"] == 51
    dataset = open_dataset(tmp_path / "one")
    train, test = dataset.load_split("train"), dataset.load_split("test")
    assert (len(train), len(test)) == (meta["train_docs"], meta["test_docs"]) and len(test)
    assert all(map(is_test, test.texts)) and not any(map(is_test, train.texts))
    notice = (tmp_path / "one" / "NOTICE").read_text()
    assert notice == "This software is licensed\n\nWordNet 3.0 Copyright 2006\n"


def test_faults_are_named(source, tmp_path):
    missing = r"data\.noun: no such file; install Debian's package wordnet-base"
    with pytest.raises(InputError, match=missing):
        build(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (source / "data.verb").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"data\.verb:1: not a synset"):
        read_synsets(source)
    (source / "data.verb").write_text("00000005 30 v 01 go 0 001 @ 00000006 v 0000 | move  \n")
    with pytest.raises(InputError, match="no line for its ancestor v00000006"):
        make_documents(read_synsets(source))


def test_bundled_files_are_what_the_notice_allows():
    folder = BUNDLED["wordnet"]
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["train_docs"], meta["test_docs"], meta["labels"]) == (81964, 9021, 20388)
    assert "Copyright 2006 by Princeton University" in (folder / "NOTICE").read_text()
