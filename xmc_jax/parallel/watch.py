"""Watches the processes of a run: if one dies, the others end and say which it was.

JAX's coordination service receives heartbeats of every process from a thread that no work blocks. By itself it would
end the others with a stack trace, or leave them in an exchange that never ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

HEARTBEAT = 30
"""Seconds without a heartbeat after which a process counts as dead."""
_PAUSE = 2.0
_LINGER = 4.0
"""Seconds that the first process, which serves the others, stays longer."""
_STAY, _FAILED = 24 * 3600, 10
"""Seconds within which the others must finish too: after a run that succeeded, and after one that failed."""


class Watch:
    """Watches the other processes until all have finished.

    Args:
        client: the client of the coordination service.
        process: the number of this process.
        n_processes: the number of processes of the run.
    """

    def __init__(self, client: Any, process: int, n_processes: int) -> None:
        self._client, self._process, self._n = client, process, n_processes
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._gave_up = False
        self._last: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._look, daemon=True, name="watch")
        self._thread.start()
        atexit.register(self._leave_at_exit)

    @contextlib.contextmanager
    def ending(self, last: Callable[[], None]) -> Iterator[None]:
        """Calls `last` if the process ends within the block because another one died."""
        self._last.append(last)
        try:
            yield
        finally:
            self._last.remove(last)

    def leave(self, *, failed: bool = False) -> bool:
        """Waits for the others at the end of the work, so that a process that finishes early does not count as dead.

        Args:
            failed: this process could not do its work; the others may know, or wait for it in vain.

        Returns:
            Whether all have finished.
        """
        if self._ended.is_set() or self._gave_up:
            return not self._gave_up
        try:
            wait = 1000 * (_FAILED if failed else _STAY)
            self._client.wait_at_barrier("xmc_jax/end", wait)
        except Exception:  # whatever the service reports, the others will not arrive
            self._gave_up = True
            return False
        self._ended.set()
        with contextlib.suppress(Exception):
            if self._process:
                jax.distributed.shutdown()
            else:
                # The service lies in this process, which stays until the others have let go of it.
                self._client.get_live_nodes(list(range(self._n)))
        return True

    def wait_for_loss(self) -> None:
        """Gives the watch time to find out which process is gone after a failed exchange; it then ends this process."""
        self._lost.wait(HEARTBEAT + 10)
        time.sleep(2 * _LINGER if self._lost.is_set() else 0)

    def _leave_at_exit(self) -> None:
        self.leave(failed=getattr(sys, "last_value", None) is not None)

    def _look(self) -> None:
        everyone = list(range(self._n))
        while not self._ended.wait(_PAUSE):
            try:
                live = set(self._client.get_live_nodes(everyone))
            except Exception:  # the service is gone, together with its process
                live = set(everyone[1:])
            lost = [process for process in everyone if process not in live]
            if lost and not self._ended.is_set():
                self._end(lost)

    def _end(self, lost: list[int]) -> None:
        self._lost.set()
        who = "process " if len(lost) == 1 else "processes "
        line = (
            f"xmc: {who}{', '.join(map(str, lost))} of {self._n} died, so process {self._process} ends; finished "
            "stages are kept: the same command resumes, also with another number of processes\n"
        )
        os.write(2, line.encode())
        for last in self._last:
            with contextlib.suppress(Exception):
                last()
        if not self._process:
            time.sleep(_LINGER)
        os._exit(1)


_watch: Watch | None = None


def start_watch(client: Any, process: int, n_processes: int) -> None:
    """Starts to watch the processes that have just been joined."""
    global _watch
    _watch = Watch(client, process, n_processes)


def leave_processes(*, failed: bool = False) -> bool:
    """Waits for the other processes at the end of the work and returns whether they came; alone, returns at once.

    Args:
        failed: this process could not do its work; it waits only some seconds.
    """
    return _watch is None or _watch.leave(failed=failed)


def wait_for_loss() -> None:
    """Ends this process as soon as it is known which other one died; returns after a minute if none did."""
    if _watch is not None:
        _watch.wait_for_loss()


def ending(last: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """Calls `last` if the process ends within the block because another one died."""
    return contextlib.nullcontext() if _watch is None else _watch.ending(last)
