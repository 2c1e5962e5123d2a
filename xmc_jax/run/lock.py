"""One training at a time per folder: a lock that names its holder and ends with the holder's process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xmc_jax.errors import RunError
from xmc_jax.files import name_write_errors
from xmc_jax.parallel import ending
from xmc_jax.run import layout

try:
    import fcntl
except ImportError:  # not a POSIX system: only the content of the file counts
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A run's folder, held by this process until it is released or the process ends.

    Raises:
        RunError: another training holds it; says which. The lock of a process of this host that is gone is taken over.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / layout.LOCK
        with name_write_errors(self._path):
            self._file = self._open()
        holder = _read_holder(self._path)
        if not self._hold() or (holder and _is_alive(holder)):
            os.close(self._file)
            raise RunError(self._explain(holder))
        try:
            with name_write_errors(self._path):
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, json.dumps(_describe_process()).encode(), 0)
        except BaseException:  # a full disk holds an empty file
            self.release()
            raise

    def release(self) -> None:
        """Releases the folder."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)

    def _hold(self) -> bool:
        """Returns whether the system grants the file to this process."""
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # the file system has no such locks
            return True
        # Its holder may have released and removed it after it was opened here.
        again = self._open()
        is_same = os.path.sameopenfile(self._file, again)
        os.close(again if is_same else self._file)
        if not is_same:
            self._file = again
        return is_same or self._hold()

    def _explain(self, holder: dict[str, Any] | None) -> str:
        who = "another process"
        if holder:
            who = f"process {holder['pid']} on {holder['host']}"
        here = holder is None or holder["host"] == socket.gethostname()
        hint = "" if here else f", or delete {self._path} if that process is gone"
        return (
            f"{self._path.parent}: {who} is training in it; wait until it has finished{hint}, or give another "
            "folder"
        )


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a run's folder for a block."""
    lock = Lock(folder)
    try:
        with ending(lock.release):
            yield
    finally:
        lock.release()


def check_free(folder: Path) -> None:
    """Checks that no training holds a folder.

    Raises:
        RunError: one does.
    """
    if (folder / layout.LOCK).exists():
        Lock(folder).release()


def _describe_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "began": _find_start(os.getpid())}


def _read_holder(path: Path) -> dict[str, Any] | None:
    """Returns the holder of a lock; None: nobody, or the file does not say."""
    try:
        holder = json.loads(path.read_bytes())
        return (
            holder if isinstance(holder["pid"], int) and isinstance(holder["host"], str) else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_alive(holder: dict[str, Any]) -> bool:
    """Returns whether a lock's process may still be running; one on another host may."""
    if holder["host"] != socket.gethostname():
        return True
    pid = holder["pid"]
    if pid == os.getpid():
        return False  # the system has just granted us the file, so an earlier lock of ours was released
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's process
        pass
    began = holder.get("began")
    return began is None or began == _find_start(pid)


def _find_start(pid: int) -> str | None:
    """Returns when a process started, in the system's own notation, as process numbers are reused; None: not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
