import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.data.hub import open_hub
from xmc_jax.data.split import collect_documents
from xmc_jax.errors import InputError, Note

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def load(columns, features=None, **settings):
    table = datasets.Dataset.from_dict(columns, features and datasets.Features(features))
    reader = open_hub("hf:x", {"train": table}, DataConfig(**settings))
    return collect_documents("train", "hf:x", reader.documents("train"), None)


def test_loads_a_path(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "a", "labels": ["x", "y"]}\n')
    (folder / "validation.jsonl").write_text('{"text": "b", "labels": ["y", "z"]}\n')
    dataset = open_dataset(f"hf:{folder}")
    assert dataset.splits == ("train", "valid")
    split = dataset.load_split("valid")
    assert list(split.texts) == ["b"] and split.vocabulary == ["x", "y"]
    assert split.n_unknown_labels == 1


def test_class_numbers_become_names():
    classes = datasets.ClassLabel(names=["no", "yes"])
    one = load(
        {"text": ["a", "b"], "labels": [1, 0]},
        {"text": datasets.Value("string"), "labels": classes},
    )
    assert one.vocabulary == ["no", "yes"] and one.labels.toarray().tolist() == [[0, 1], [1, 0]]
    features = {"text": datasets.Value("string"), "labels": datasets.List(classes)}
    many = load({"text": ["a", "b"], "labels": [[1, 0], []]}, features)
    assert many.labels.toarray().tolist() == [[1, 1], [0, 0]]


def test_plain_numbers_become_their_digits():
    with pytest.warns(Note, match="numbers are named by their digits, such as '12'"):
        assert load({"text": ["a"], "labels": [[7, 12]]}).vocabulary == ["12", "7"]
    with pytest.warns(Note):
        assert load({"text": ["a"], "labels": [7]}).vocabulary == ["7"]


def test_texts_of_labels():
    assert load({"text": ["a"], "labels": ["x / y"]}, label_separator="/").vocabulary == ["x", "y"]
    assert load({"text": ["a"], "labels": ['["x", "y"]']}).vocabulary == ["x", "y"]


def test_more_rows_than_a_batch():
    split = load({"text": [str(i) for i in range(2500)], "labels": [["x"]] * 2500})
    assert list(split.texts) == [str(i) for i in range(2500)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"b": ["a"], "labels": [["x"]]}, "which column holds the text.*set --data.text_column"),
        ({"text": ["a"], "b": [1.5]}, "which column holds the labels.*set --data.labels_column"),
        ({"text": ["a", None], "labels": [["x"], ["x"]]}, r"hf:x \[train\]:2: the text is None"),
        ({"text": [], "labels": []}, "no documents"),
    ],
)
def test_names_the_faulty_row(columns, message):
    with pytest.raises(InputError, match=message):
        load(columns)


def test_unknown_class():
    features = {"text": datasets.Value("string"), "labels": datasets.ClassLabel(names=["no"])}
    with pytest.raises(InputError, match=r"hf:x \[train\]:1: class -1 is unknown"):
        load({"text": ["a"], "labels": [-1]}, features)


def test_refuses_what_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match="hf:NAME needed"):
        open_dataset("hf:")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded") as error:
        open_dataset(f"hf:{tmp_path / 'empty'}")
    assert "\n" not in str(error.value)


def test_lists_of_zeros_and_ones_are_indicators_named_by_the_classes():
    classes = datasets.List(datasets.ClassLabel(names=["sad", "glad", "mad"]))
    features = {"text": datasets.Value("string"), "labels": classes}
    split = load({"text": ["a", "b"], "labels": [[0, 1, 1], [1, 0, 0]]}, features)
    names = [{split.vocabulary[j] for j in row.indices} for row in split.labels]
    assert names == [{"glad", "mad"}, {"sad"}]
    plain = load({"text": ["a", "b"], "labels": [[0.0, 1.0], [1.0, 1.0]]})
    assert plain.vocabulary == ["0", "1"] and plain.labels.toarray().tolist() == [[0, 1], [1, 1]]


def test_a_revision_and_a_configuration_are_passed_on(monkeypatch):
    asked = []

    def load_dataset(name, config, revision):
        asked.append((name, config, revision))
        return {"train": datasets.Dataset.from_dict({"text": ["a"], "labels": [["x"]]})}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for spec in (
        "hf:org/name@refs/convert/parquet:part",
        "hf:org/name:part",
        "hf:name@v1",
        "hf:name",
    ):
        assert open_dataset(spec).load_split("train").vocabulary == ["x"]
    assert asked == [
        ("org/name", "part", "refs/convert/parquet"),
        ("org/name", "part", None),
        ("name", None, "v1"),
        ("name", None, None),
    ]
