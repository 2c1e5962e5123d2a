"""Lines of plain and gzip-compressed files, with the place of whatever cannot be read."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from xmc_jax.errors import InputError

BOM = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"


def read_byte_lines(path: str | os.PathLike) -> Iterator[bytes]:
    """Yields the lines of a file (gzip if its name ends in `.gz`) without line ends and byte-order
    mark.

    Raises:
        InputError: no such file, not gzip, truncated or damaged gzip, gzip under another name.
    """
    path = Path(path)
    zipped = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if zipped else open(path, "rb") as stream:
            if not zipped and stream.peek(2)[:2] == GZIP_MAGIC:
                raise InputError(f"{path}: holds gzip data; rename it to {path.name}.gz")
            yield from split_lines(stream)
    except gzip.BadGzipFile as error:
        raise InputError(
            f"{path}: is not a gzip file ({error}); compress it or drop .gz from its name"
        ) from None
    except EOFError:
        raise InputError(
            f"{path}: the gzip data is truncated; copy or download the file again"
        ) from None
    except zlib.error as error:
        raise InputError(
            f"{path}: the gzip data is damaged ({error}); copy or download the file again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def split_lines(stream: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    """Yields a binary stream's lines without line ends (LF or CRLF) and without a byte-order mark
    at its start."""
    for i, line in enumerate(stream):
        if i == 0 and line.startswith(BOM):
            line = line[len(BOM) :]
        yield line.rstrip(b"\r\n")


def decode_lines(lines: Iterable[bytes], name: str | os.PathLike) -> Iterator[str]:
    """Yields the lines as text; `name` says in errors where they come from.

    Raises:
        InputError: bytes that are not UTF-8, with the number of the line.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}:{number}: byte 0x{line[error.start]:02x} at column {error.start + 1} is "
                "not UTF-8; "
                "convert the file to UTF-8"
            ) from None


def read_lines(path: str | os.PathLike) -> Iterator[str]:
    """Yields the lines of a UTF-8 file, plain or gzip; errors as in `read_byte_lines` and
    `decode_lines`."""
    return decode_lines(read_byte_lines(path), path)
