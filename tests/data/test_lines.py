import gzip

import pytest

from xmc_jax.data.lines import decode_lines, read_byte_lines, read_lines
from xmc_jax.errors import InputError
from xmc_jax.files import replace_file


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_drops_byte_order_mark_and_line_ends(tmp_path, name):
    path = tmp_path / name
    with replace_file(path) as stream:
        stream.write("\ufeffone\r\ntwo\n\nпять".encode())
    assert list(read_lines(path)) == ["one", "two", "", "пять"]


def test_empty_file_has_no_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "a.gz").write_bytes(b"")
    assert list(read_lines(tmp_path / "a.txt")) == list(read_lines(tmp_path / "a.gz")) == []


def test_names_the_line_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(InputError, match=r"a\.txt:2: byte 0xef at column 3 is not UTF-8"):
        list(read_lines(path))


def test_refuses_gzip_that_is_not_gzip(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(InputError, match=r"a\.gz: is not a gzip file"):
        list(read_byte_lines(path))


def test_refuses_gzip_under_another_name(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(b"text"))
    with pytest.raises(InputError, match=r"holds gzip data; rename it to a\.jsonl\.gz"):
        list(read_byte_lines(path))


def test_says_that_gzip_is_truncated(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 40)[:-20])
    with pytest.raises(InputError, match="truncated"):
        list(read_byte_lines(path))


def test_says_that_gzip_is_damaged(tmp_path):
    path = tmp_path / "a.gz"
    data = bytearray(gzip.compress(b"some text " * 50))
    data[10:14] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        list(read_byte_lines(path))


def test_refuses_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(read_byte_lines(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_byte_lines(tmp_path))


def test_decode_names_the_stream():
    with pytest.raises(InputError, match="standard input:1"):
        list(decode_lines([b"\xff"], "standard input"))
