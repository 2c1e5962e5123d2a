import bz2
import gzip
import lzma
import zipfile
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from xmc_jax.data.lines import decode_lines, read_byte_lines, read_lines, read_part_lines
from xmc_jax.errors import InputError, Note
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
    path.write_bytes("schön\nschöner\n".encode() + b"na\xefve\n")
    with pytest.raises(InputError, match=r"a\.txt:3: byte 0xef at column 3 is not UTF-8"):
        list(read_lines(path))
    with pytest.raises(InputError, match=r"a\.txt:\d+: is not ascii"):
        list(read_lines(path, "ascii"))


def test_other_encodings_of_one_byte_are_guessed_and_told(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nna\xefve\nsch\xf6n\n")
    with pytest.warns(Note, match=r"read as cp1252 \(2 lines, such as 'naïve'\); --data.encoding"):
        assert list(read_lines(path)) == ["fine", "naïve", "schön"]
    path.write_bytes("Москва\n".encode("cp1251"))
    assert list(read_lines(path, "cp1251")) == ["Москва"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_unicode_in_every_form_and_line_end(tmp_path, encoding, end):
    lines = ["text,labels", "naïve\u2028\u0085 日本,x", "", "b\x0c,y"]
    path = tmp_path / "a.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    assert list(read_lines(path)) == lines


def test_returns_inside_lines_end_none(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\rtwo\nthree")
    assert list(read_lines(path)) == ["one\rtwo", "three"]


def test_refuses_gzip_that_is_not_gzip(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(InputError, match=r"a\.gz: is not a gzip file"):
        list(read_byte_lines(path))


def test_reads_gzip_under_another_name(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(b"text"))
    assert list(read_byte_lines(path)) == [b"text"]


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.xz", "a.zip", "a.zst", "a"])
def test_unpacks_by_the_first_bytes(tmp_path, name):
    content, path = "one\nzwö\n".encode(), tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", content)
    elif name == "a.zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(content)
    else:
        pack = {"a.bz2": bz2.compress, "a.xz": lzma.compress}.get(name, gzip.compress)
        path.write_bytes(pack(content))
    assert list(read_lines(path)) == ["one", "zwö"]


def test_archives_of_several_files_and_workbooks_are_refused(tmp_path):
    for names, message in (
        (["a", "b"], "holds 2 files"),
        (["[Content_Types].xml"], "is a workbook"),
    ):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, "x")
        with pytest.raises(InputError, match=message):
            list(read_lines(tmp_path / "a.zip"))


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


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("n_parts", [1, 2, 3, 7, 40])
def test_parts_of_a_file_are_all_of_it(tmp_path, name, n_parts):
    rng = np.random.default_rng(0)
    lines = [b"x" * n for n in rng.integers(0, 9, 30)]
    content = b"\xef\xbb\xbfhead\n" + b"\r\n".join(lines) + b"\r\n"
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name, "wb") as file:
        file.write(content)
    parts = [list(read_part_lines(tmp_path / name, (i, n_parts), 1)) for i in range(n_parts)]
    assert list(chain(*parts)) == lines
    whole = [list(read_part_lines(tmp_path / name, (i, n_parts))) for i in range(n_parts)]
    assert list(chain(*whole)) == [b"head", *lines]
