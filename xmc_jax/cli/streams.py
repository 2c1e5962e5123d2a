"""Standard streams as a shell, a scheduler or a container left them: closed, of another encoding, on a full disk."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import Any, NoReturn, TextIO


def prepare_streams() -> None:
    """Makes standard streams that can be written to whatever they are.

    What an encoding lacks is written as `\\u00e9`, which JSON reads. A closed output is an error when something is
    written to it, and not before; files that are opened later do not take its number.
    """
    codecs.register_error("xmc-escape", _escape)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        _hold(number)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Closed() if name == "stdout" else _open_nothing())
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="xmc-escape")


class Closed:
    """Standard output that is closed."""

    encoding, errors = "utf-8", "strict"

    def write(self, text: str) -> NoReturn:
        raise OSError(errno.EBADF, "closed; give results somewhere to go", "standard output")

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 1


def _hold(number: int) -> None:
    """Opens the null device as a standard stream that is closed."""
    try:
        os.fstat(number)
    except OSError:
        if os.open(os.devnull, os.O_RDWR) != number:  # cannot be: the lowest free number is taken
            raise


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2].hex() for i in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end


def tell(line: str) -> None:
    """Writes a line to standard error; if nobody reads it any more, work continues."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = _open_nothing()


def greet(line: str) -> None:
    """Writes a line at once where somebody looks on: JAX takes a second to import. A file needs none."""
    if sys.stderr.isatty():
        tell(line)


def flush_output() -> None:
    """Writes out what standard output holds back.

    Raises:
        OSError: with the name of the stream, if that is not possible; nobody tries it again.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        drop_output(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from error


def drop_output(stream: Any) -> None:
    """Points a stream whose reader has gone at the null device: Python flushes it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_nothing() -> TextIO:
    return open(os.devnull, "r+", encoding="utf-8")
