"""Lines of files, plain or compressed; errors name the place of what cannot be read."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from xmc_jax.config import DataConfig
from xmc_jax.data.encodings import choose_encoding, find_wide
from xmc_jax.errors import InputError

BOM = b"\xef\xbb\xbf"
ENDINGS = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
"""Endings of the compressed files that are read; the first bytes decide, not the name."""
_LOOK = 1 << 16


def _open_zstd(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa

    unpacked = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return io.BufferedReader(unpacked, _LOOK)


def _open_zip(raw: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(raw)
    names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise InputError(f"{raw.name}: is a workbook; save its sheet as CSV (UTF-8)")
    if len(names) != 1:
        raise InputError(f"{raw.name}: holds {len(names)} files; unpack it and give one")
    return archive.open(names[0])


COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _open_zstd,
    b"PK\x03\x04": _open_zip,
}
"""Openers, by the first bytes of a file."""
_STRANGERS: dict[bytes, str] = {
    b"%pdf": "is a PDF; give the text in it",
    b"{\\rtf": "is rich text; save it as plain text",
    b"\xd0\xcf\x11\xe0": "is a workbook or document; save its sheet as CSV (UTF-8)",
    b"sqlite format 3": "is an SQLite database; export a table as CSV",
    b"\x89hdf": "is an HDF5 file; write Parquet, or .npz for a matrix",
    b"obj\x01": "is an Avro file; write Parquet",
    b"7z\xbc\xaf": "is an archive; unpack it and give the file or folder in it",
    b"rar!\x1a": "is an archive; unpack it and give the file or folder in it",
    b"orc": "is an ORC file; write Parquet",
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file that it stands for: git lfs pull",
    b"<!doctype html": "is a web page, such as a login or an error; download the file itself",
    b"<html": "is a web page, such as a login or an error; download the file itself",
    **{
        b"\x80"
        + bytes([n]): "is a pickle, which runs code when it is read; write Parquet, CSV or .npz"
        for n in range(2, 6)
    },
}
"""How files that hold no table begin, in lower case, and what to do with them."""
_CONTROL = re.compile(rb"[\0-\x08]")
"""Bytes that no text holds: a file that begins like one of ORC may as well begin with orchids."""


@contextlib.contextmanager
def open_bytes(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Opens a file for reading, decompressed if its first bytes are those of gzip, bzip2, xz, zstd or zip.

    Raises:
        InputError: no such file, truncated or damaged data, plain text whose name ends in `.gz`, what holds no text.
    """
    path = Path(path)
    try:
        with contextlib.ExitStack() as held:
            raw: Any = held.enter_context(open(path, "rb", _LOOK))
            head = raw.peek(64)
            begins = head[:64].removeprefix(codecs.BOM_UTF8).lstrip().lower()
            says = next((s for m, s in _STRANGERS.items() if begins.startswith(m)), None)
            if says and (not begins.startswith(b"orc") or _CONTROL.search(begins)):
                raise InputError(f"{path}: {says}")
            opener = next((o for magic, o in COMPRESSIONS.items() if head.startswith(magic)), None)
            if re.search(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$", path.name, re.IGNORECASE):
                raise InputError(
                    f"{path}: is an archive; unpack it and give the file or folder in it"
                )
            if opener is None and path.suffix == ".gz" and head:
                raise InputError(
                    f"{path}: is not a gzip file; compress it or drop .gz from its name"
                )
            yield held.enter_context(opener(raw)) if opener else raw
    except EOFError:
        raise InputError(
            f"{path}: the compressed data is truncated; copy or download the file again"
        ) from None
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: the compressed data is damaged ({error}); copy or download the file again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_byte_lines(path: str | os.PathLike) -> Iterator[bytes]:
    """Yields the lines of a file in UTF-8 (or in its single-byte encoding) without line ends and byte-order mark.

    A line ends with LF or CRLF, or with CR if the beginning of the file has no LF. UTF-16 and UTF-32, recognised by a
    byte-order mark or by their zeros, are recoded.

    Raises:
        InputError: as `open_bytes`; invalid UTF-16 or UTF-32.
    """
    with open_bytes(path) as stream:
        head = stream.peek(_LOOK)[:_LOOK] if hasattr(stream, "peek") else b""
        wide = find_wide(head)
        blocks = iter(lambda: stream.read(_LOOK), b"")
        if wide is None:
            ended = b"\r" in head and b"\n" not in head
            yield from split_lines(_cut(blocks, b"\r") if ended else stream)
            return
        beginning = codecs.getincrementaldecoder(wide)().decode(head)
        end = b"\r" if "\r" in beginning and "\n" not in beginning else b"\n"
        try:
            recoded = (text.encode() for text in codecs.iterdecode(blocks, wide))
            yield from split_lines(_cut(recoded, end))
        except UnicodeError as error:
            raise InputError(
                f"{path}: is not valid {wide} text ({error}); save it as UTF-8"
            ) from None


def read_part_lines(
    path: str | os.PathLike, part: tuple[int, int], skip: int = 0
) -> Iterator[bytes]:
    """Yields the lines of a part of a file, as `read_byte_lines` does; the parts together are the whole file.

    Of a plain file, only a range of bytes is read, and its part is the lines that begin there. Any other file is read
    whole, and its part is a share of the lines.

    Args:
        path: of the file.
        part: number of the part, from 0, and how many there are.
        skip: lines at the beginning that belong to no part.
    """
    number, n_parts = part
    with open_bytes(path) as stream:
        head = stream.peek(_LOOK)[:_LOOK] if hasattr(stream, "peek") else b""
        is_plain = isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO)
        if is_plain and b"\n" in head and find_wide(head) is None:
            for _ in range(skip):
                stream.readline()
            begin, size = stream.tell(), os.fstat(stream.fileno()).st_size
            first, end = (begin + (size - begin) * k // n_parts for k in (number, number + 1))
            if number:
                stream.seek(first - 1)
                stream.readline()
            yield from split_lines(_read_until(stream, end), is_start=not number and not skip)
            return
    lines = sum(1 for _ in islice(read_byte_lines(path), skip, None))
    first, end = (skip + lines * k // n_parts for k in (number, number + 1))
    yield from islice(read_byte_lines(path), first, end)


def _read_until(stream: IO[bytes], end: int) -> Iterator[bytes]:
    """Yields the lines that begin before byte `end`."""
    while stream.tell() < end and (line := stream.readline()):
        yield line


def _cut(blocks: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """Yields the lines of some blocks of bytes; all but the last end in LF."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(end)
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def split_lines(stream: IO[bytes] | Iterable[bytes], *, is_start: bool = True) -> Iterator[bytes]:
    """Yields a binary stream's lines without line ends (LF or CRLF), and without a byte-order mark if the stream begins
    at the start of the file (`is_start`)."""
    for i, line in enumerate(stream):
        if i == 0 and is_start and line.startswith(BOM):
            line = line[len(BOM) :]
        yield line.rstrip(b"\r\n")


def decode_lines(
    lines: Iterable[bytes],
    name: str | os.PathLike,
    choose: Callable[[], str | None] | None = None,
) -> Iterator[str]:
    """Yields the lines as text.

    Args:
        lines: lines without line ends.
        name: where they come from, for errors.
        choose: called at the first line that is not UTF-8 if all before it are ASCII; returns the encoding of the
            remaining lines, or None.

    Raises:
        InputError: bytes that are not UTF-8, with the number of the line.
    """
    codec, plain = "utf-8", True
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode(codec)
        except UnicodeDecodeError as error:
            found = choose() if choose is not None and plain else None
            if found is None:
                raise InputError(
                    f"{name}:{number}: byte 0x{line[error.start]:02x} at column {error.start + 1} "
                    f"is not {codec.upper()}; convert the file to UTF-8, or name its encoding with --data.encoding"
                ) from None
            codec, choose = found, None
            text = line.decode(codec)
        if plain and not text.isascii():
            plain = False
        yield text


def read_lines(path: str | os.PathLike, encoding: str = "auto") -> Iterator[str]:
    """Yields the lines of a text file, plain or compressed.

    `auto` is UTF-8, UTF-16 or UTF-32; a file that is mostly something else is read as cp1252, and a note says so.

    Raises:
        InputError: as `read_byte_lines` and `decode_lines`.
    """
    if encoding == "auto":
        return decode_lines(
            read_byte_lines(path), path, lambda: choose_encoding(path, read_byte_lines(path))
        )
    return _read_encoded(path, encoding)


def settle_encoding(path: str | os.PathLike, config: DataConfig) -> DataConfig:
    """Returns the settings with the encoding of a file, for a reader that reads it more than once."""
    if config.encoding != "auto":
        return config
    for line in read_byte_lines(path):
        if not line.isascii():
            try:
                line.decode()
                return (
                    config  # later lines in another encoding are damage, reported with their place
                )
            except UnicodeDecodeError:
                found = choose_encoding(path, read_byte_lines(path))
                return config if found is None else replace(config, encoding=found)
    return config


def _read_encoded(path: str | os.PathLike, encoding: str) -> Iterator[str]:
    number = 0
    with open_bytes(path) as stream:
        head = (
            stream.peek(_LOOK)[:_LOOK].decode(encoding, "ignore") if hasattr(stream, "peek") else ""
        )
        end = "\r" if "\r" in head and "\n" not in head else "\n"
        text = io.TextIOWrapper(stream, encoding, newline=end)
        try:
            for number, line in enumerate(text, 1):
                line = line.rstrip("\r\n")
                yield line.removeprefix("\ufeff") if number == 1 else line
        except (UnicodeDecodeError, UnicodeError) as error:
            raise InputError(
                f"{path}:{number + 1}: is not {encoding} ({error}); name another --data.encoding"
            ) from None
