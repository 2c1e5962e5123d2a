import json

import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.data.jsonl import write_documents
from xmc_jax.errors import InputError, Note


def read(folder, text, config=None):
    path = folder / "train.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_dataset(folder, config).load_split("train")


def test_reads_documents(tmp_path):
    split = read(tmp_path, '{"text": "a b", "labels": ["x", "y"]}\n{"text": "", "labels": []}\n')
    assert list(split.texts) == ["a b", ""]
    assert split.vocabulary == ["x", "y"]
    assert split.labels.toarray().tolist() == [[1, 1], [0, 0]]
    assert split.features is None and split.n_unknown_labels == 0 and len(split) == 2


def test_reads_byte_order_mark_crlf_blank_lines_and_no_last_line_end(tmp_path):
    line = '{"text": "ź", "labels": ["ł"]}'
    split = read(tmp_path, f"\ufeff{line}\r\n\r\n{line}\r\n\r\n\n{line}")
    assert list(split.texts) == ["ź"] * 3 and split.vocabulary == ["ł"]


def test_other_keys_by_config(tmp_path):
    config = DataConfig(text_column="title", labels_column="tags")
    split = read(tmp_path, '{"title": "t", "tags": ["x"], "text": 5}\n', config)
    assert list(split.texts) == ["t"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "labels": ["x"]', "is not JSON"),
        ("nonsense", "is not JSON"),
        ('["a"]', "an object such as"),
        ('"a"', "an object such as"),
        ('{"labels": ["x"]}', "no key 'text'; the object has: 'labels'"),
        ('{"text": "a"}', "no key 'labels'; the object has: 'text'"),
        ("{}", "the object has: none"),
        ('{"text": 5, "labels": ["x"]}', "the text is 5, a string needed"),
        ('{"text": null, "labels": ["x"]}', "the text is None"),
        ('{"text": "a", "labels": "x"}', "the labels are the string 'x'"),
        ('{"text": "a", "labels": {"x": 1}}', "a list of strings needed"),
        ('{"text": "a", "labels": ["x", 5.5]}', "the label 5.5 is not a string"),
        ('{"text": "a", "labels": [true]}', "the label True is not a string"),
        ('{"text": "a", "labels": [[["x"]]]}', "is not a string"),
        ('{"text": "a", "labels": ["x\\ny"]}', "holds a line break"),
        ('{"text": "\\ud800", "labels": ["x"]}', "half a surrogate pair"),
        ("[" * 100000, "nested too deeply|is not JSON"),
    ],
)
def test_names_the_faulty_line(tmp_path, line, message):
    good = b'{"text": "a", "labels": ["x"]}\n\n'
    line = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(InputError, match=rf"train\.jsonl:3: .*({message})") as error:
        read(tmp_path, good + line + b"\n")
    assert "\n" not in str(error.value)


def test_blank_labels_and_null_are_left_out_and_counted(tmp_path):
    lines = ['{"text": "a", "labels": [" x", "", "\\t", null]}', '{"text": "b", "labels": null}']
    with pytest.warns(Note, match="3 blank labels are left out"):
        split = read(tmp_path, "\n".join(lines))
    assert split.vocabulary == ["x"] and split.labels.toarray().tolist() == [[1], [0]]


def test_numbers_are_named_by_their_digits(tmp_path):
    with pytest.warns(Note, match="such as '3'"):
        split = read(tmp_path, '{"text": "a", "labels": [3, 7.0]}\n')
    assert split.vocabulary == ["3", "7"]


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_refuses_no_documents(tmp_path, text):
    with pytest.raises(
        InputError, match=r"train\.jsonl: (no documents|is empty; documents needed)"
    ):
        read(tmp_path, text)


def test_refuses_training_without_any_label(tmp_path):
    with pytest.raises(InputError, match="no document has a label"):
        read(tmp_path, '{"text": "a", "labels": []}\n')


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_writes_what_it_reads(tmp_path, name):
    documents = [("a\nb", ["x"]), ("żółw", []), ("", ["日本", "y z"])]
    write_documents(tmp_path / name, documents)
    dataset = open_dataset(tmp_path)
    assert dataset.splits == ("train",)
    read_back = [(text, names) for _, _, text, names in dataset.reader.documents("train")]
    assert read_back == documents


def test_refuses_plain_and_compressed_side_by_side(tmp_path):
    for name in ("train.jsonl", "train.jsonl.gz"):
        write_documents(tmp_path / name, [("a", ["x"])])
    with pytest.raises(InputError, match=r"train\.jsonl and train\.jsonl\.gz are both there"):
        open_dataset(tmp_path)


def test_label_on_every_document(tmp_path):
    lines = "".join(json.dumps({"text": str(i), "labels": ["all"]}) + "\n" for i in range(5))
    assert read(tmp_path, lines).labels.sum() == 5
