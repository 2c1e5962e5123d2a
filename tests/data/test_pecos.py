import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset, pecos
from xmc_jax.errors import InputError

AS_THEY_ARE = DataConfig(vector_norm="none")

X = sp.csr_matrix(np.array([[0.5, 0.0], [0.0, 2.0]]))
Y = sp.csr_matrix(np.array([[0, 1, 0], [1, 1, 0]]))


def save(folder, x=X, y=Y, ending="trn"):
    sp.save_npz(folder / f"X.{ending}.npz", x)
    sp.save_npz(folder / f"Y.{ending}.npz", y)


def test_reads_matrices_of_any_kind(tmp_path):
    save(tmp_path, sp.csc_matrix(X), sp.coo_matrix(Y))
    dataset = open_dataset(tmp_path, AS_THEY_ARE)
    split = dataset.load_split("train")
    assert dataset.format == "pecos" and dataset.splits == ("train",)
    np.testing.assert_array_equal(split.features.toarray(), X.toarray())
    np.testing.assert_array_equal(split.labels.toarray(), Y.toarray())
    assert split.features.dtype == split.labels.dtype == np.float32
    assert split.vocabulary == ["0", "1", "2"] and split.texts is None


def test_reads_texts_beside_or_instead(tmp_path):
    save(tmp_path)
    (tmp_path / "X.trn.txt").write_text("one\n\n\n")
    both = open_dataset(tmp_path, AS_THEY_ARE).load_split("train")
    assert list(both.texts) == ["one", ""] and both.features is not None
    (tmp_path / "X.trn.npz").unlink()
    texts_only = open_dataset(tmp_path, AS_THEY_ARE).load_split("train")
    assert list(texts_only.texts) == ["one", ""] and texts_only.features is None


def test_reads_features_of_the_published_sets(tmp_path):
    (tmp_path / "tfidf-attnxml").mkdir()
    sp.save_npz(tmp_path / "tfidf-attnxml" / "X.tst.npz", X)
    sp.save_npz(tmp_path / "Y.tst.npz", Y)
    split = open_dataset(tmp_path, AS_THEY_ARE).load_split("test")
    np.testing.assert_array_equal(split.features.toarray(), X.toarray())


@pytest.mark.parametrize("n_parts", [1, 2, 3])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.coo_matrix])
def test_parts_are_the_documents_of_the_whole(tmp_path, kind, n_parts):
    rng = np.random.default_rng(0)
    x, y = (sp.random(7, n, 0.4, format="csr", random_state=rng) for n in (5, 4))
    y.data[:] = 1
    save(tmp_path, kind(x), kind(y))
    (tmp_path / "X.trn.txt").write_text("".join(f"text {i}\n" for i in range(7)))
    dataset = open_dataset(tmp_path, AS_THEY_ARE)
    whole = dataset.load_split("train")
    parts = [dataset.load_split("train", part=(i, n_parts)) for i in range(n_parts)]
    for name in ("features", "labels"):
        joined = sp.vstack([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined.toarray(), getattr(whole, name).toarray())
    assert [text for part in parts for text in part.texts] == list(whole.texts)
    assert {part.total for part in parts} == {7}


def test_a_part_of_matrices_is_not_unpacked_whole(tmp_path, monkeypatch):
    save(tmp_path, sp.vstack([X] * 4, format="csr"), sp.vstack([Y] * 4, format="csr"))
    monkeypatch.setattr(pecos, "load_matrix", pytest.fail)
    part = open_dataset(tmp_path, AS_THEY_ARE).load_split("train", part=(1, 2))
    np.testing.assert_array_equal(part.features.toarray(), sp.vstack([X, X]).toarray())


def test_a_wrong_value_is_told_with_its_row_in_the_file(tmp_path):
    save(tmp_path, sp.csr_matrix(np.array([[1.0, 0.0], [0.0, np.nan]])))
    with pytest.raises(InputError, match=r"X\.trn\.npz, row 2: the value of feature 1"):
        open_dataset(tmp_path, AS_THEY_ARE).load_split("train", part=(1, 2))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("one\n", r"X\.trn\.txt: 1 lines, but .* 2 rows"),
        ("a\nb\n\nc\n", r"X\.trn\.txt:4: a text, but"),
    ],
)
def test_refuses_another_number_of_texts(tmp_path, lines, message):
    save(tmp_path)
    (tmp_path / "X.trn.txt").write_text(lines)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path, AS_THEY_ARE).load_split("train")


def test_refuses_different_numbers_of_rows(tmp_path):
    save(tmp_path, sp.vstack([X, X]))
    with pytest.raises(InputError, match=r"X\.trn\.npz: 4 rows, but .*Y\.trn\.npz has 2"):
        open_dataset(tmp_path, AS_THEY_ARE).load_split("train")


@pytest.mark.parametrize(
    ("name", "needed"), [("X.trn.npz", "Y.trn.npz"), ("Y.trn.npz", "X.trn.npz or")]
)
def test_refuses_one_file_without_the_other(tmp_path, name, needed):
    sp.save_npz(tmp_path / name, X)
    with pytest.raises(InputError, match=f"stands alone; {needed}"):
        open_dataset(tmp_path, AS_THEY_ARE)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_refuses_values_that_are_not_finite(tmp_path, value):
    save(tmp_path, sp.csr_matrix(np.array([[1.0, 0.0], [0.0, value]])))
    with pytest.raises(InputError, match=r"X\.trn\.npz, row 2: the value of feature 1"):
        open_dataset(tmp_path, AS_THEY_ARE).load_split("train")


def test_refuses_complex_values(tmp_path):
    save(tmp_path, X.astype(complex))
    with pytest.raises(InputError, match=r"X\.trn\.npz: .*complex128, real numbers needed"):
        open_dataset(tmp_path, AS_THEY_ARE).load_split("train")


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def _pickled(path):
    np.savez(
        path,
        format="csr",
        data=np.array([_Bomb()], object),
        indices=[0],
        indptr=[0, 1],
        shape=[1, 1],
    )


def _out_of_range(path):
    np.savez(path, format="csc", data=[1.0], indices=[70], indptr=[0, 1, 1, 1], shape=[2, 3])


def _dense(path):
    with path.open("wb") as stream:
        np.save(stream, np.eye(2))


def _object_pickle(path):
    path.write_bytes(pickle.dumps(_Bomb()))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_pickled, "pickled objects, which are never loaded"),
        (_object_pickle, "pickled objects, which are never loaded"),
        (_out_of_range, "not a valid sparse matrix|not a sparse matrix"),
        (lambda path: np.savez(path, a=[1]), "not a sparse matrix"),
        (lambda path: path.write_bytes(b"text"), "not a sparse matrix"),
        (lambda path: path.write_bytes(b""), "not a sparse matrix"),
        (lambda path: path.write_bytes(b"PK\x03\x04broken"), "not a sparse matrix"),
        (_dense, "not a sparse matrix"),
    ],
)
def test_refuses_files_that_hold_no_matrix(tmp_path, write, message):
    save(tmp_path)
    write(tmp_path / "Y.trn.npz")
    for part in (None, (0, 2)):
        with pytest.raises(InputError, match=rf"Y\.trn\.npz: .*({message})"):
            open_dataset(tmp_path, AS_THEY_ARE).load_split("train", part=part)


def test_truncated_file(tmp_path):
    save(tmp_path)
    path = tmp_path / "Y.trn.npz"
    path.write_bytes(path.read_bytes()[:-30])
    for part in (None, (1, 2)):
        with pytest.raises(InputError, match="not a sparse matrix"):
            open_dataset(tmp_path, AS_THEY_ARE).load_split("train", part=part)
