import numpy as np
import pytest
import scipy.sparse as sp
import shapes
from shapes import AMAZON_3M, Shape, make_shape, write_shape
from sklearn.svm import LinearSVC

from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError, RunError

SMALL = Shape(400, 100, 500, 600, 6.0, 12.0)


def collect(shape: Shape, **settings) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    x, y = zip(*make_shape(shape, **settings), strict=True)
    return sp.vstack(x, format="csr"), sp.vstack(y, format="csr")


def test_equal_arguments_give_equal_corpora():
    one, two, other = collect(SMALL, seed=3), collect(SMALL, seed=3), collect(SMALL, seed=4)
    for a, b, c in zip(one, two, other, strict=True):
        assert (a != b).nnz == 0 and (a != c).nnz > 0
    assert (collect(SMALL)[0][:100] != collect(SMALL, split="test")[0]).nnz > 0


def test_blocks_are_parts_of_one_corpus(monkeypatch):
    monkeypatch.setattr(shapes, "_BLOCK", 150)
    blocks = list(make_shape(SMALL))
    assert [x.shape for x, _ in blocks] == [(150, 500), (150, 500), (100, 500)]
    assert {y.shape[1] for _, y in blocks} == {600}
    assert (blocks[0][0] != blocks[1][0]).nnz > 0


def test_sizes_and_frequencies():
    shape = AMAZON_3M.scale(0.001)
    x, y = collect(shape)
    assert x.shape == (1718, 10659) and y.shape == (1718, 2812)
    assert y.nnz / 1718 == pytest.approx(shape.labels_per_document, rel=0.05)
    assert x.nnz / 1718 == pytest.approx(shape.features_per_document, rel=0.05)
    assert np.diff(x.indptr).min() >= 1 and np.diff(y.indptr).min() >= 1
    for matrix in (x, y):
        counts = np.sort(np.bincount(matrix.indices, minlength=matrix.shape[1]))[::-1]
        assert counts[0] > 8 * np.median(counts) > 0
        assert counts[0] < 0.25 * 1718
        assert matrix.has_canonical_format
    assert np.allclose(sp.linalg.norm(x, axis=1), 1.0, atol=1e-5)
    assert set(y.data) == {1.0}


def test_labels_follow_from_features():
    shape = Shape(1500, 300, 2000, 300, 4.0, 30.0)
    x, y = collect(shape)
    x_test, y_test = collect(shape, split="test")
    counts = np.bincount(y.indices, minlength=300)
    often = np.argsort(counts)[-12:-2]
    found, false_alarms = [], []
    for label in often:
        model = LinearSVC(class_weight="balanced").fit(x, y[:, [label]].toarray().ravel())
        truth = y_test[:, [label]].toarray().ravel() > 0
        says = model.predict(x_test)
        found.append(says[truth].mean())
        false_alarms.append(says[~truth].mean())
    assert np.mean(found) > np.mean(false_alarms) + 0.3


def test_written_folder_reads_back(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "_BLOCK", 150)
    write_shape(tmp_path / "set", SMALL, seed=2)
    dataset = open_dataset(str(tmp_path / "set"))
    assert dataset.format == "pecos"
    for split in ("train", "test"):
        x, y = collect(SMALL, split=split, seed=2)
        held = dataset.load_split(split)
        assert abs(held.features - x).max() < 1e-6 and (held.labels != y).nnz == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="exists"):
        write_shape(tmp_path, SMALL)


def test_no_half_written_folder(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(shapes, "_pack", fail)
    with pytest.raises(RunError, match="disk full"):
        write_shape(tmp_path / "set", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((0, 1, 500, 600, 6.0, 12.0), "n_train=0 given"),
        ((10, 1, 500, 600, 400.0, 12.0), "labels_per_document=400.0 of 600"),
        ((10, 1, 20, 600, 6.0, 12.0), "features_per_document=12.0 of 20"),
    ],
)
def test_refuses_impossible_shapes(settings, told):
    with pytest.raises(InputError, match=told):
        Shape(*settings)


def test_refuses_odd_requests():
    with pytest.raises(InputError, match="factor=0"):
        AMAZON_3M.scale(0)
    with pytest.raises(InputError, match="split='valid'"):
        next(make_shape(SMALL, split="valid"))  # type: ignore[arg-type]
