import gzip

import pytest

from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError


def write(folder, texts, labels, split="train"):
    (folder / f"{split}_texts.txt").write_text(texts)
    (folder / f"{split}_labels.txt").write_text(labels)
    return open_dataset(folder)


def test_pairs_lines(tmp_path):
    split = write(tmp_path, "a b\n\nc\n", "x y\nz\n\n").load_split("train")
    assert list(split.texts) == ["a b", "", "c"]
    assert split.vocabulary == ["x", "y", "z"]
    assert split.labels.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_blank_lines_at_the_end_are_no_documents_but_between_they_are(tmp_path):
    split = write(tmp_path, "a\n\n\nb\n\n\n", "x\n\n\ny\n\n").load_split("train")
    assert list(split.texts) == ["a", "", "", "b"]
    assert split.labels.sum(1).ravel().tolist() == [[1, 0, 0, 1]]


def test_white_text_with_labels_is_a_document(tmp_path):
    split = write(tmp_path, "a\n \n", "x\ny z\n").load_split("train")
    assert len(split) == 2 and split.vocabulary == ["x", "y", "z"]


def test_labels_split_at_plain_spaces_only(tmp_path):
    split = write(tmp_path, "a\n", "x\u00a0y  z\tw\n").load_split("train")
    assert split.vocabulary == ["w", "x\u00a0y", "z"]


def test_compressed_and_test_split(tmp_path):
    for kind, text in (("texts", "a\nb\n"), ("labels", "x\nunseen x\n")):
        (tmp_path / f"test_{kind}.txt.gz").write_bytes(gzip.compress(text.encode()))
    dataset = write(tmp_path, "a\n", "x\n")
    assert dataset.format == "attentionxml" and dataset.splits == ("train", "test")
    split = dataset.load_split("test")
    assert split.vocabulary == ["x"] and split.n_unknown_labels == 1 and len(split) == 2


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("a\nb\n", "x\n", r"train_texts\.txt:2: .*train_labels\.txt ends before"),
        ("a\n", "x\ny\n", r"train_labels\.txt:2: .*train_texts\.txt ends before"),
        ("", "", "no documents"),
    ],
)
def test_refuses_different_numbers_of_lines(tmp_path, texts, labels, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path, texts, labels).load_split("train")


@pytest.mark.parametrize(("there", "missing"), [("texts", "labels"), ("labels", "texts")])
def test_refuses_one_file_without_the_other(tmp_path, there, missing):
    (tmp_path / f"train_{there}.txt").write_text("a\n")
    with pytest.raises(InputError, match=rf"stands alone; train_{missing}\.txt is needed"):
        open_dataset(tmp_path)


def test_label_file_names_the_line(tmp_path):
    (tmp_path / "labels.txt").write_text("x\n")
    with pytest.raises(
        InputError, match=r"train_labels\.txt:2: the label 'y' is not in labels\.txt"
    ):
        write(tmp_path, "a\nb\n", "x\ny\n").load_split("train")
