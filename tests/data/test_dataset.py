import pytest
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.data.jsonl import write_documents
from xmc_jax.errors import InputError


def fill(folder, **splits):
    for name, documents in splits.items():
        write_documents(folder / f"{name}.jsonl", documents)
    return open_dataset(folder)


def test_vocabulary_is_what_occurs_in_training(tmp_path):
    (tmp_path / "labels.txt").write_text("never\nb\na\nc\n")
    dataset = fill(tmp_path, train=[("t", ["b"]), ("u", ["a"])], test=[("v", ["c", "a", "new"])])
    assert dataset.load_split("train").vocabulary == ["a", "b"]
    test = dataset.load_split("test")
    assert test.vocabulary == ["a", "b"] and test.labels.toarray().tolist() == [[1, 0]]
    assert test.n_unknown_labels == 2


def test_test_split_reads_training_labels_when_asked_first(tmp_path):
    dataset = fill(tmp_path, train=[("t", ["b"])], test=[("v", ["b"])], valid=[("w", [])])
    assert dataset.splits == ("train", "test", "valid")
    assert dataset.load_split("test").vocabulary == ["b"]
    assert dataset.load_split("valid").labels.shape == (1, 1)


def test_vocabulary_of_a_model(tmp_path):
    dataset = fill(tmp_path, test=[("v", ["b", "x"]), ("w", ["x"])])
    split = dataset.load_split("test", vocabulary=["z", "b"])
    assert split.vocabulary == ["z", "b"] and split.labels.toarray().tolist() == [[0, 1], [0, 0]]
    assert split.n_unknown_labels == 2
    with pytest.raises(InputError, match="no split 'train' to take the labels from"):
        dataset.load_split("test")


def test_training_with_a_vocabulary_that_shares_nothing(tmp_path):
    with pytest.raises(InputError, match="no document has a label that the vocabulary holds"):
        fill(tmp_path, train=[("t", ["b"])]).load_split("train", vocabulary=["x"])


def test_label_file_is_checked(tmp_path):
    (tmp_path / "labels.txt").write_text("a\n")
    dataset = fill(tmp_path, train=[("t", ["a"]), ("u", ["b"])])
    with pytest.raises(InputError, match=r"train\.jsonl:2: the label 'b' is not in labels\.txt"):
        dataset.load_split("train")


def test_missing_split_names_those_there(tmp_path):
    dataset = fill(tmp_path, train=[("t", ["a"])], test=[("t", ["a"])])
    with pytest.raises(InputError, match="has no split 'valid'; it has: train, test"):
        dataset.load_split("valid")


def test_two_formats_are_refused_unless_one_is_named(tmp_path):
    (tmp_path / "train.txt").write_text("1 1 1\n0 0:1\n")
    with pytest.raises(InputError, match="two formats, jsonl and xmc_repository; write jsonl:"):
        fill(tmp_path, train=[("t", ["a"])])
    assert open_dataset(f"xmc_repository:{tmp_path}").load_split("train").vocabulary == ["0"]
    assert open_dataset(f"jsonl:{tmp_path}").load_split("train").vocabulary == ["a"]


def test_unrecognised_folder_says_what_was_looked_for(tmp_path):
    (tmp_path / "labels.txt").write_text("a\n")
    with pytest.raises(InputError, match="no data set there") as error:
        open_dataset(tmp_path)
    for name in ("train.jsonl", "train.txt", "train_texts.txt", "Y.trn.npz", "train.csv"):
        assert name in str(error.value)
    with pytest.raises(InputError, match=r"looked for .*train\.csv\[\.gz\] or train\.tsv"):
        open_dataset(f"table:{tmp_path}")


def test_refuses_files_and_unknown_names(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(InputError, match=r"no bundled data set 'wordnt'; did you mean 'wordnet'\?"):
        open_dataset("bundled:wordnt")


def test_bundled_wordnet():
    dataset = open_dataset("bundled:wordnet")
    assert dataset.splits == ("train", "test")
    train, test = dataset.load_split("train"), dataset.load_split("test")
    assert train.labels.shape == (81964, 19664) and test.labels.shape == (9021, 19664)
    assert train.texts[0] == "physical space independent of what occupies it"
    assert train.vocabulary[train.labels[0].indices[0]] == "space <n00028651>"
    assert test.n_unknown_labels == 778


def test_parts_of_a_split_are_all_of_it(tmp_path):
    documents = [(f"text {i} " * (i % 5 + 1), [f"label {i % 7}"]) for i in range(40)]
    write_documents(tmp_path / "train.jsonl", documents)
    (tmp_path / "a.csv").write_text(
        "text,labels\n" + "".join(f"{text.strip()},{names[0]}\n" for text, names in documents)
    )
    matrix = tmp_path / "matrix"
    matrix.mkdir()
    rows = "".join(f"{i % 3} {i}:1.5\n" for i in range(10))
    (matrix / "train.txt").write_text("10 10 3\n" + rows + "\n")
    for spec in (tmp_path / "train.jsonl", tmp_path / "a.csv", matrix):
        whole = open_dataset(spec).load_split("train")
        parts = [open_dataset(spec).load_split("train", part=(i, 3)) for i in range(3)]
        assert sum(map(len, parts)) == len(whole)
        names = [[p.vocabulary[j] for j in row.indices] for p in parts for row in p.labels]
        assert names == [[whole.vocabulary[j] for j in row.indices] for row in whole.labels]
        if whole.texts is not None:
            assert [text for part in parts for text in part.texts] == list(whole.texts)
        else:
            assert {part.total for part in parts} == {10}
            joined = sp.vstack([part.features for part in parts])
            assert (joined != whole.features).nnz == 0


def test_what_needs_all_documents_has_no_parts(tmp_path):
    write_documents(tmp_path / "train.jsonl", [("a text", ["a"]), ("b text", ["b"])] * 9)
    dataset = open_dataset(tmp_path / "train.jsonl", DataConfig(test_share=0.5))
    with pytest.raises(InputError, match=r"test_share=0\.5 needs all documents in one process"):
        dataset.load_split("train", part=(0, 2))
