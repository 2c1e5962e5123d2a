import pytest

from xmc_jax.data.split import collect_documents, find_file
from xmc_jax.errors import InputError

DOCUMENTS = [("f", 1, "one", ["b"]), ("f", 2, "two", []), ("g", 1, "three", ["a", "b"])]


def test_collects_in_one_pass():
    split = collect_documents("train", "f", iter(DOCUMENTS), None)
    assert split.vocabulary == ["a", "b"] and len(split) == 3
    assert split.labels.toarray().tolist() == [[0, 1], [0, 0], [1, 1]]
    assert list(split.texts) == ["one", "two", "three"]


def test_names_file_and_line():
    with pytest.raises(InputError, match="g:7: the text is 3"):
        collect_documents("train", "f", [*DOCUMENTS, ("g", 7, 3, [])], None)
    with pytest.raises(InputError, match="somewhere: no documents"):
        collect_documents("train", "somewhere", [], None)


def test_finds_the_one_file(tmp_path):
    assert find_file(tmp_path, ["a", "b"]) is None
    (tmp_path / "b").write_text("")
    assert find_file(tmp_path, ["a", "b"]) == tmp_path / "b"
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="a and b are both there"):
        find_file(tmp_path, ["a", "b"])
