"""Places that take results batch by batch: a file that appears when it is complete, a pipe, a folder of files."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from xmc_jax.errors import InputError, RunError, tell
from xmc_jax.files import name_write_errors, replace_file
from xmc_jax.results.format import Columns, Format, Rows
from xmc_jax.results.progress import (
    Digest,
    Done,
    advance,
    clear,
    find_part,
    find_state,
    read_done,
    write_done,
)

_NOTED = 1.0
"""Seconds between two records of the progress of results."""
_COPIED = 1 << 20
_NUMBERED = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_UNFIT = re.compile(r"[\x00-\x1f/\\]")
"""Characters that a file name cannot contain."""
_STANDARD = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}


class Place(ABC):
    """Takes results in the order of the documents.

    Attributes:
        done: the state that an earlier call left, and what was added since.
    """

    def __init__(self, format: Format, columns: Columns, done: Done) -> None:
        self.format, self.columns, self.done = format, columns, done
        self._digest, self._passed, self._found = Digest(), 0, done.documents

    def pass_over(self, documents: Any, fields: Sequence[dict[str, Any]]) -> int:
        """Returns how many of the next documents already have results.

        Raises:
            InputError: they are not the documents that the earlier call read.
        """
        n = min(self._found - self._passed, len(fields))
        if n <= 0:
            return 0
        self._digest.add(documents[:n], fields[:n])
        self._passed += n
        if self._passed == self._found and self._digest.read() != self.done.digest:
            raise InputError(
                f"the first {self._found:,} documents are not those that the earlier call read; give the same input, "
                "or leave --resume out"
            )
        return n

    def add(self, rows: Rows, documents: Any) -> None:
        """Writes the results of the next documents."""
        self._write(rows)
        self._digest.add(documents, rows.fields)
        self.done = replace(self.done, documents=self.done.documents + len(rows.fields))

    def finish(self) -> None:
        """Completes the results.

        Raises:
            InputError: there were fewer documents than an earlier call read.
        """
        if self._passed < self._found:
            raise InputError(
                f"{self._passed:,} documents given, but an earlier call read {self._found:,}; give the same input, or "
                "leave --resume out"
            )
        self._finish()

    @abstractmethod
    def _write(self, rows: Rows) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...


class Stream(Place):
    """A pipe, a device or standard output, written in place."""

    def __init__(self, raw: BinaryIO, format: Format, columns: Columns, zips: bool) -> None:
        super().__init__(format, columns, Done(""))
        self._out, self._zips = raw, zips
        # A temporary file is removed when this process ends.
        self._part = raw if format.convert is None else tempfile.TemporaryFile()  # noqa: SIM115
        self._put(format.begin(columns))

    def close(self) -> None:
        if self._part is not self._out:
            self._part.close()

    def _write(self, rows: Rows) -> None:
        self._put(self.format.encode(rows, self.columns))

    def _put(self, content: bytes) -> None:
        self._part.write(_zip(content) if self._zips else content)
        self._part.flush()

    def _finish(self) -> None:
        if self.format.convert is not None:
            self._part.seek(0)
            with tempfile.TemporaryFile() as whole:
                self.format.convert(self._part, whole, self.columns)
                whole.seek(0)
                for block in iter(lambda: whole.read(_COPIED), b""):
                    self._out.write(block)
        self._out.flush()


class File(Place):
    """A file, which is written under a hidden name in the same folder until it is complete."""

    def __init__(self, path: Path, format: Format, columns: Columns, of: str, resume: bool) -> None:
        self._path, self._zips = path, path.suffix == ".gz"
        done = (read_done(path, of) if resume else None) or Done(of)
        super().__init__(format, columns, done)
        if resume and not done.documents:
            tell(f"{path}: nothing to resume; starting from the first document")
        with name_write_errors(path):
            # It is not truncated when opened, since another call may be writing it.
            self._part = os.fdopen(os.open(find_part(path), os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            _lock(self._part, path)
        except BaseException:
            self._part.close()
            raise
        self._noted = monotonic()

    def begin(self) -> None:
        """Drops what was written after the last record, or everything that an earlier call wrote."""
        with name_write_errors(self._path):
            self._part.truncate(self.done.size)
            self._part.seek(self.done.size)
        if not self.done.documents:
            find_state(self._path).unlink(missing_ok=True)
            self._put(self.format.begin(self.columns))

    def _write(self, rows: Rows) -> None:
        self._put(self.format.encode(rows, self.columns))

    def add(self, rows: Rows, documents: Any) -> None:
        super().add(rows, documents)
        if monotonic() - self._noted > _NOTED or not find_state(self._path).exists():
            self._note()

    def _note(self) -> None:
        write_done(self._path, advance(self.done, 0, self._part.tell(), self._digest))
        self._noted = monotonic()

    def _put(self, content: bytes) -> None:
        with name_write_errors(self._path):
            self._part.write(_zip(content) if self._zips else content)
            self._part.flush()

    def _finish(self) -> None:
        if self._zips and not self._part.tell():
            self._part.write(gzip.compress(b"", mtime=0))
            self._part.flush()
        if self.format.convert is not None:
            with replace_file(self._path) as out:
                self._part.seek(0)
                self.format.convert(self._part, out, self.columns)
        else:
            with name_write_errors(self._path):
                os.fsync(self._part.fileno())
                if self._path.exists():
                    with contextlib.suppress(OSError):
                        os.chmod(find_part(self._path), self._path.stat().st_mode & 0o7777)
                os.replace(find_part(self._path), self._path)
        clear(self._path)

    def close(self, failed: bool) -> None:
        """Closes the file; after a failure, what was done is kept for a later call."""
        with contextlib.suppress(OSError, RunError):
            if failed and self.done.documents > self._found:
                self._note()
        with contextlib.suppress(OSError):
            self._part.close()
        if failed and not self.done.documents:
            clear(self._path)


class Folder(Place):
    """A folder with a file per document, named by its id."""

    def __init__(self, path: Path, format: Format, columns: Columns) -> None:
        super().__init__(format, columns, Done(""))
        self._path, self._names = path, set[str]()
        with name_write_errors(path):
            path.mkdir(exist_ok=True)

    def _write(self, rows: Rows) -> None:
        for i, fields in enumerate(rows.fields):
            name = str(fields.get("id", rows.first + i + 1))
            stem = _UNFIT.sub("_", name.removesuffix(".gz").removesuffix(".txt"))
            if not stem.strip("."):
                raise InputError(
                    f"document {rows.first + i + 1:,} has the id {name!r}, which no file name can have; name another "
                    "--id-column, or an --output that is one file"
                )
            if stem in self._names:
                raise InputError(
                    f"two documents have the id {name!r:.60}; different ids are needed for a file each"
                )
            self._names.add(stem)
            one = Rows(rows.predictions[i], [fields], rows.first + i)
            content = self.format.encode_alone(one, self.columns)
            file = self._path / f"{stem}{self.format.endings[0]}"
            part = file.with_name(f".{file.name[:200]}.part")
            with name_write_errors(file):
                part.write_bytes(content)
                os.replace(part, file)

    def _finish(self) -> None:
        """Does nothing, since every file is already complete."""


def check_place(output: str, source: str, format: Format, resume: bool) -> None:
    """Checks, before any work is done, that results can be written to a place.

    Args:
        output, format, resume: as in `open_place`.
        source: where documents are read from, which must not be overwritten.

    Raises:
        InputError: results cannot be written there.
    """
    path = Path(output)
    is_stream = _find_number(output) is not None or (path.exists() and not path.is_file())
    if resume and (is_stream or path.is_dir()):
        raise InputError(
            f"option '--resume': only a file can be resumed, and '{output}' is not one; leave --resume out"
        )
    if _find_number(output) is not None:
        return
    if not Path(os.path.realpath(path)).parent.is_dir():
        raise InputError(f"option '--output {output}': no folder {path.parent}; make it first")
    if source == "-" or not path.exists() or not os.path.exists(source):
        return
    if path.is_dir():
        if os.path.isfile(source) and path.samefile(os.path.dirname(source) or "."):
            raise InputError(
                f"option '--output {output}': is the folder that holds the input, which a result could replace; name a "
                "folder for results, or a file"
            )
    elif path.samefile(source):
        raise InputError(f"option '--output {output}': is the input; name another file")


@contextlib.contextmanager
def open_place(
    output: str, format: Format, columns: Columns, of: str = "", *, resume: bool = False
) -> Iterator[Place]:
    """Opens a place for results, which are complete once `finish` is called.

    Args:
        output: a file, replaced when all results are there; `-`, a pipe or a device, written in place; or a folder (an
            existing one, or with a separator at its end), which gets a file per document.
        format: format of the results.
        columns: columns of each document.
        of: digest of everything that decides results.
        resume: whether to continue what an earlier call wrote.

    Raises:
        InputError: there is nothing of this model and these options to resume.
        RunError: the place cannot be written to, or another call writes it.
    """
    path, number = Path(output), _find_number(output)
    if number is not None:
        with _open_number(number) as raw, closing(Stream(raw, format, columns, False)) as stream:
            yield stream
    elif path.is_dir() or output.endswith(os.sep):
        yield Folder(path, format, columns)
    elif path.exists() and not path.is_file():
        zips = path.suffix == ".gz"
        with (
            name_write_errors(path),
            open(path, "wb") as raw,
            closing(Stream(raw, format, columns, zips)) as stream,
        ):
            yield stream
    else:
        place = File(Path(os.path.realpath(path)), format, columns, of, resume)
        try:
            place.begin()
            yield place
        except BaseException:
            place.close(failed=True)
            raise
        place.close(failed=False)


@contextlib.contextmanager
def _open_number(number: int) -> Iterator[BinaryIO]:
    """Opens the stream of a number, and leaves it open for its owner."""
    stream = {1: sys.stdout, 2: sys.stderr}.get(number)
    if stream is None:
        with os.fdopen(os.dup(number), "wb") as raw:
            yield raw
        return
    if not hasattr(stream, "buffer"):
        stream.write("")  # raises an error, since it is closed
    stream.flush()
    yield stream.buffer


def _find_number(output: str) -> int | None:
    """Returns the number of a stream of this process, or None for a file name."""
    match = _NUMBERED.fullmatch(output)
    return int(match[1]) if match else _STANDARD.get(output)


def _zip(content: bytes) -> bytes:
    """Returns a member of a gzip file; members are concatenated."""
    return gzip.compress(content, 9, mtime=0) if content else b""


def _lock(part: BinaryIO, path: Path) -> None:
    """Locks a part, or raises an error if another process writes it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(part.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"{path}: another call is writing it; wait for it, or name another file"
        ) from None
    except OSError:  # a file system without locks
        return
