import gzip
import io

import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data.input import read_batches
from xmc_jax.errors import InputError


def read_input(*arguments, **named):
    """Returns the texts of the batches, whose fields other tests look at."""
    return (batch.texts for batch in read_batches(*arguments, **named))


def test_text_is_a_document_a_line_also_a_blank_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b'\xef\xbb\xbfone\r\n\r\n{"text": "x"}\nlast')
    assert list(read_input(path, 2)) == [["one", ""], ['{"text": "x"}', "last"]]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_objects_need_no_labels(tmp_path, name):
    data = b'{"text": "one"}\n\n{"text": "", "labels": 5}\n'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert list(read_input(tmp_path / name, 5)) == [["one", ""]]


def test_other_key(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"title": "one"}\n')
    assert list(read_input(tmp_path / "a.jsonl", 1, DataConfig(text_column="title"))) == [["one"]]


@pytest.mark.parametrize("columns", ["title", "title,body"])
def test_text_is_read_where_the_columns_of_training_are_missing(tmp_path, columns):
    config = DataConfig(text_column=columns)
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    assert list(read_input(tmp_path / "a.jsonl", 1, config)) == [["one"]]
    assert list(read_input("-", 1, config, stdin=io.BytesIO(b'{"text": "one"}\n'))) == [["one"]]
    with pytest.raises(InputError, match="no key 'title'"):
        list(read_input("-", 1, config, stdin=io.BytesIO(b'{"words": "one"}\n')))


def test_standard_input_mixes_text_and_json():
    stream = io.BytesIO('plain ż\n{"text": "from json"}\n\n {"text": 1}\n'.encode())
    texts = [text for batch in read_input("-", 3, stdin=stream) for text in batch]
    assert texts == ["plain ż", "from json", "", ' {"text": 1}']


def test_streams():
    def lines():
        yield b"one\n"
        yield b"two\n"
        raise AssertionError("read too far")

    assert next(read_input("-", 2, stdin=lines())) == ["one", "two"]


@pytest.mark.parametrize("text", [b"", b"one\n" * 4])
def test_last_batch_is_never_empty(text):
    assert all(read_input("-", 2, stdin=io.BytesIO(text)))
    assert sum(map(len, read_input("-", 2, stdin=io.BytesIO(text)))) == text.count(b"\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken\n", "standard input:2: is not JSON"),
        (b'{"labels": []}\n', "standard input:2: which column holds the text"),
        (b'{"text": 4}\n', "standard input:2: the text is 4"),
        (b"\xff\n", "standard input:2: byte 0xff"),
    ],
)
def test_names_the_faulty_line(line, message):
    with pytest.raises(InputError, match=message):
        list(read_input("-", 1, stdin=io.BytesIO(b"fine\n" + line)))


def test_refuses_at_once(tmp_path):
    (tmp_path / "a.docx").write_text("")
    with pytest.raises(InputError, match=r"a\.docx: one of \.txt, \.csv, \.tsv"):
        read_input(tmp_path / "a.docx", 1)
    with pytest.raises(InputError, match=r"b\.txt: no such file"):
        read_input(tmp_path / "b.txt", 1)
    with pytest.raises(InputError, match="batch=0"):
        read_input("-", 0)


def test_file_with_a_plain_text_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\nplain\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: is not JSON"):
        list(read_input(tmp_path / "a.jsonl", 9))
