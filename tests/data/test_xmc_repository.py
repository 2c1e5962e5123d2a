import gzip

import numpy as np
import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset, xmc_repository
from xmc_jax.errors import InputError

AS_THEY_ARE = DataConfig(vector_norm="none")


def read(folder, text):
    (folder / "train.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_dataset(f"xmc_repository:{folder}", AS_THEY_ARE).load_split("train")


def test_reads_features_and_labels(tmp_path):
    split = read(tmp_path, "3 4 5\n1,4 0:1 3:-0.5\n 2:1e-1\n0\n")
    np.testing.assert_array_equal(
        split.features.toarray(), np.float32([[1, 0, 0, -0.5], [0, 0, 0.1, 0], [0, 0, 0, 0]])
    )
    np.testing.assert_array_equal(
        split.labels.toarray(), [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    )
    assert split.vocabulary == ["0", "1", "2", "3", "4"]
    assert split.texts is None and split.features.dtype == np.float32


def test_forms_that_look_wrong_but_are_not(tmp_path):
    text = "\ufeff4 3 2\r\n0 2:1 0:.5 1:2.\r\n\r\n1,1\t0:+1E2 \r\n0:3\r\n\r\n\r\n"
    split = read(tmp_path, text)
    np.testing.assert_array_equal(
        split.features.toarray(), [[0.5, 2, 1], [0, 0, 0], [100, 0, 0], [3, 0, 0]]
    )
    np.testing.assert_array_equal(split.labels.toarray(), [[1, 0], [0, 0], [0, 1], [0, 0]])
    assert split.features.has_sorted_indices


def test_one_document_with_one_label(tmp_path):
    assert read(tmp_path, "1 1 1\n0 0:1").labels.toarray().tolist() == [[1]]


def test_only_labels_no_features(tmp_path):
    split = read(tmp_path, "2 1 1\n0\n0\n")
    assert split.features.nnz == 0 and split.labels.nnz == 2


def test_small_chunks_give_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    dense = rng.random((50, 7)).round(3)
    lines = [
        f"{i % 5},{i % 3} " + " ".join(f"{j}:{v}" for j, v in enumerate(row))
        for i, row in enumerate(dense)
    ]
    text = "50 7 5\n" + "\n".join(lines)
    whole = read(tmp_path, text)
    monkeypatch.setattr(xmc_repository, "_CHUNK", 150)
    parts = read(tmp_path, text)
    np.testing.assert_array_equal(whole.features.toarray(), dense.astype(np.float32))
    np.testing.assert_array_equal(parts.features.toarray(), dense.astype(np.float32))
    assert (whole.labels != parts.labels).nnz == 0
    with pytest.raises(InputError, match=r"train\.txt:51: feature 7 is out of range"):
        read(tmp_path, text + " 7:1")


def test_names_from_label_file_and_compressed(tmp_path):
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"1 1 2\n1 0:1\n"))
    (tmp_path / "features.txt").write_text("word\n")
    (tmp_path / "labels.txt").write_text("first\nsecond\n")
    dataset = open_dataset(tmp_path, AS_THEY_ARE)
    assert dataset.format == "xmc_repository"
    assert dataset.load_split("train").vocabulary == ["first", "second"]
    moved = dataset.load_split("train", vocabulary=["second", "other"])
    assert moved.labels.toarray().tolist() == [[1, 0]]


def test_refuses_label_file_of_another_length(tmp_path):
    (tmp_path / "labels.txt").write_text("first\n")
    with pytest.raises(InputError, match=r"labels\.txt: 1 names, but .*train\.txt has 2 labels"):
        read(tmp_path, "1 1 2\n1 0:1\n")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 1, "header 'N D L' needed"),
        ("1,2 0:1\n", 1, "libsvm without a header; put a first line 'N D L'"),
        ("1 2\n0 0:1\n", 1, "header 'N D L' needed"),
        ("-1 2 3\n", 1, "header 'N D L' needed"),
        ("0 2 3\n", 1, "no documents"),
        ("1 0 3\n0\n", 1, "1 to 2.31 - 1 of each"),
        ("1 2 9999999999\n0\n", 1, "1 to 2.31 - 1 of each"),
        ("3 2 2\n0 0:1\n0 0:1\n", 1, "the header says 3 documents, the file holds 2"),
        ("1 2 2\n0 0:1\n0 0:1\n", 3, "more than the 1 documents"),
        ("2 2 2\n0 0:1\n0 2:1\n", 3, "feature 2 is out of range; .* ids are 0 to 1"),
        ("2 2 2\n0 0:1\n2 0:1\n", 3, "label 2 is out of range"),
        ("2 2 2\n0 0:1\n0 -1:1\n", 3, "'-1:1' given, 'feature:value'"),
        ("2 2 2\n0 0:1\n-1 0:1\n", 3, "label '-1' given, whole numbers"),
        ("2 2 2\n0 0:1\n0 1:nan\n", 3, "'1:nan' given"),
        ("2 2 2\n0 0:1\n0 1:inf\n", 3, "'1:inf' given"),
        ("2 2 2\n0 0:1\n0 1:1e99\n", 3, "the value of feature 1 is inf"),
        ("2 2 2\n0 0:1\n0 1:x\n", 3, "'1:x' given"),
        ("2 2 2\n0 0:1\n0 1:\n", 3, "'1:' given"),
        ("2 2 2\n0 0:1\n0 1\n", 3, "'1' given, 'feature:value'"),
        ("2 2 2\n0 0:1\n0, 1 0:1\n", 3, "'0,' given, label numbers"),
        ("2 2 2\n0 0:1\nname 0:1\n", 3, "'name' given, label numbers"),
        ("2 2 2\n0 0:1\n0 1:1 1:2\n", 3, "feature 1 is in the row twice"),
        ("2 2 2\n0 0:1\n0 1:1:1\n", 3, "'1:1:1' given"),
        ("2 2 2\n0 0:1\n0 1:1_0\n", 3, "'1:1_0' given"),
        (b"2 2 2\n0 0:1\n\xff 1:1\n", 3, "label numbers"),
    ],
)
def test_names_the_faulty_line(tmp_path, text, place, message):
    with pytest.raises(InputError, match=rf"train\.txt:{place}: .*{message}"):
        read(tmp_path, text)


def test_refuses_training_without_labels(tmp_path):
    with pytest.raises(InputError, match="no document has a label"):
        read(tmp_path, "1 1 1\n 0:1\n")


def test_rows_are_scaled_unless_the_config_says_no(tmp_path):
    (tmp_path / "train.txt").write_text("2 3 1\n0 0:3 1:4\n0 2:0.5\n")
    rows = open_dataset(tmp_path).load_split("train").features.toarray()
    np.testing.assert_allclose(rows, [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], rtol=1e-6)
    rows = open_dataset(tmp_path, AS_THEY_ARE).load_split("train").features.toarray()
    np.testing.assert_array_equal(rows, [[3, 4, 0], [0, 0, 0.5]])
