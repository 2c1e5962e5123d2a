"""Files and folders that are either complete or absent: the only way in which this package writes.

Content is written under a hidden name beside its destination until it is complete and on disk, and then renamed. So a
process that is killed, or a disk that is full, leaves what was there before.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from xmc_jax.errors import InputError, RunError

FOREIGN = {"lost+found", "desktop.ini", "Thumbs.db", "$RECYCLE.BIN", "System Volume Information"}
"""What file systems and desktops put into an empty folder; hidden names (`.DS_Store`) are ignored too."""
_LONGEST = 200  # bytes of a name, which leaves room for what is appended


@contextlib.contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a binary stream whose content appears at `path` in one rename when the block ends without an error.

    A file whose name ends in `.gz` is compressed, without a time stamp, so that equal content gives equal bytes. A pipe
    or a device is written in place; for a link, its target is replaced.

    Raises:
        RunError: it cannot be written; an existing file is unchanged.
    """
    path = Path(path)
    in_place = path.exists() and not path.is_file() and not path.is_dir()
    real = path if in_place else Path(os.path.realpath(path))
    part = real if in_place else hide(real, f"{os.getpid()}.part")
    with name_write_errors(path):
        try:
            with open(part, "wb") as raw:
                if path.suffix == ".gz":
                    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as zipped:
                        yield zipped  # type: ignore[misc]
                else:
                    yield raw
                if not in_place:
                    raw.flush()
                    os.fsync(raw.fileno())
            if not in_place:
                _keep_mode(real, part)
                os.replace(part, real)
        except BaseException:
            if not in_place:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
            raise


def check_target(path: str | os.PathLike) -> None:
    """Refuses, before any work is done, a path that no file can be written to.

    Raises:
        InputError: it is a folder, or its folder is missing or not writable.
    """
    path = os.fspath(path)
    folder = os.path.dirname(os.path.realpath(path))
    is_new = not os.path.exists(path) or os.path.isfile(path)
    if os.path.isdir(path) or (is_new and not os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"output {path} given, a file in a writable folder needed")


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file completely or not at all, creating the folders above it."""
    with name_write_errors(Path(path)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        stream.write(content)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON completely or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def read_json(path: str | os.PathLike, hint: str) -> Any:
    """Reads JSON.

    Args:
        path: the file.
        hint: what to do if it cannot be read, for the error.

    Raises:
        InputError: it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {hint}") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged, not JSON ({error}); {hint}") from error


@contextlib.contextmanager
def replace_folder(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder that is moved to `path` when the block ends without an error.

    Args:
        path: a new or empty folder; its parents are created.
        overwrite: replaces an existing folder, which stays until the new one is complete.

    Raises:
        InputError: `path` is taken.
        RunError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: a file; give a new or empty folder")
    if not overwrite and path.exists() and any(path.iterdir()):
        raise InputError(
            f"{path}: exists; give a new or empty folder, or overwrite=True to replace what is there"
        )
    with name_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = hide(path, f"{secrets.token_hex(4)}.part")
        part.mkdir()
        try:
            yield part
            _exchange(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    """Moves a folder to its place; what was there is removed once the new one is in place."""
    if not path.exists():
        os.replace(new, path)
        return
    old = hide(path, f"{os.getpid()}.old")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def name_write_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns disk failures into one line with the file and the cause; a closed pipe is raised as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise explain_write_error(path, error) from error


def explain_write_error(path: str | os.PathLike, error: OSError) -> RunError:
    """Returns the error to raise when `path` could not be written."""
    cause = error.strerror or str(error)
    return RunError(
        f"{path}: cannot be written ({cause}); free space or change permissions there, then run the same command again"
    )


def hide(path: Path, ending: str) -> Path:
    """Returns a hidden name beside a path, short enough for a file system."""
    name = path.name.encode(errors="surrogateescape")[:_LONGEST].decode(errors="ignore")
    return path.with_name(f".{name}.{ending}")


def is_foreign(name: str) -> bool:
    """Returns whether a name in a folder is not ours: hidden, or created by a file system or a desktop."""
    return name.startswith(".") or name in FOREIGN


def _keep_mode(old: Path, new: Path) -> None:
    with contextlib.suppress(OSError):
        os.chmod(new, stat.S_IMODE(old.stat().st_mode))
