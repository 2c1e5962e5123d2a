"""Signals that end a command. The first one raises KeyboardInterrupt, the second ends the process at once.

An exception that a signal handler raises may be lost: Python drops it in a callback of the garbage collector, libraries
turn it into errors of their own. So the handler leaves a flag as well, which every progress report looks at
(`Watched`), and a thread that hears of signals also while the main thread waits in a library raises it again.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from xmc_jax.progress import expect

if TYPE_CHECKING:
    from xmc_jax.course import Step
    from xmc_jax.types import Progress  # which needs NumPy

_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
_SAME = 0.5
"""Seconds within which two signals are one: a terminal and a wrapper may both send it."""
_AGAIN = 4.0
"""Seconds after which a signal that had no effect is raised again."""


class Interrupts:
    """Hears of signals while it is entered, if that is in the main thread.

    Args:
        ends_process: whether the process ends afterwards; then it keeps listening, and a signal after the work ends the
            process with the exit code of the work.

    Attributes:
        asked: the number of the signal that asked for the end first; 0: none did.
        code: exit code of the work, once it is done.
    """

    def __init__(self, *, ends_process: bool = False) -> None:
        self.asked = 0
        self.code: int | None = None
        self._ends_process = ends_process
        self._first = 0.0
        self._echoes = 0
        self._before: dict[int, Any] = {}
        self._hooks = sys.unraisablehook, threading.excepthook

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may set handlers
        for number in _SIGNALS:
            # A signal that is ignored (nohup, a job in the background) stays so.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._stop)
        if self._ends_process:
            # Python puts default handlers back while it ends, all but those that ignore.
            atexit.register(self._ignore)
        sys.unraisablehook, threading.excepthook = self._hide, self._hide
        self._ends = socket.socketpair()
        self._ends[1].setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True, name="signals").start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._before or self._ends_process:
            return
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook, threading.excepthook = self._hooks
        self._ends[1].close()  # which ends the thread

    def _ignore(self) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    @property
    def exit_code(self) -> int:
        """The exit code of a process that a signal ended, as shells and schedulers have it: 130 for Ctrl-C, 143 for
        SIGTERM."""
        return 128 + (self.asked or signal.SIGINT)

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal asked for it: its own exception may have been lost."""
        if self.asked:
            raise KeyboardInterrupt

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._end_if_done()
        self.asked = self.asked or number
        if not _is_importing(frame):
            raise KeyboardInterrupt

    def _watch(self) -> None:
        heard = self._ends[0]
        with heard, contextlib.suppress(OSError):
            while True:
                ready = select.select([heard], [], [], _AGAIN if self._first else None)[0]
                if not ready:  # asked, but still at work
                    self._echoes += 1
                    _thread.interrupt_main(signal.SIGINT)
                    continue
                numbers = heard.recv(64)
                if not numbers:
                    return
                for number in numbers:
                    if number in self._before:
                        self._hear(number)

    def _end_if_done(self) -> None:
        if self._ends_process and self.code is not None:
            os._exit(self.code)

    def _hear(self, number: int) -> None:
        self._end_if_done()
        if self._echoes:
            self._echoes -= 1
            return
        now = time.monotonic()
        if self._first and now - self._first > _SAME:
            end_at_once("xmc: ended at once", self.exit_code)
        self._first = self._first or now
        self.asked = self.asked or number

    def _hide(self, event: Any) -> None:
        """Keeps quiet about exceptions that the interruption led to where nobody can catch them."""
        is_unraisable = hasattr(event, "err_msg")
        if not self.asked:
            self._hooks[0 if is_unraisable else 1](event)


class Watched:
    """A progress report that looks for interrupts first."""

    def __init__(self, progress: Progress, interrupts: Interrupts) -> None:
        self._progress, self._check = progress, interrupts.check

    def expect(self, steps: Sequence[Step]) -> None:
        expect(self._progress, lambda: steps)

    def start(self, stage: str, total: int) -> None:
        self._check()
        self._progress.start(stage, total)

    def advance(self, n: int) -> None:
        self._check()
        self._progress.advance(n)

    def note(self, text: str) -> None:
        self._check()
        self._progress.note(text)

    def finish(self, note: str) -> None:
        self._progress.finish(note)  # what is done is done
        self._check()


def _is_importing(frame: FrameType | None) -> bool:
    """Returns whether a module is being imported: C code in one prints what is raised there, or leaves halves."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def end_at_once(line: str, code: int) -> None:
    """Ends the process without waiting for its threads; what is written atomically is whole or not there."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
    os._exit(code)


@contextlib.contextmanager
def listen(interrupts: Interrupts) -> Iterator[None]:
    """Hears of signals in a `with` block, the one of the command line that runs in this process."""
    global _current
    before, _current = _current, interrupts
    try:
        with interrupts:
            yield
    finally:
        _current = before


def watch(progress: Progress) -> Progress:
    """Returns a progress report that looks for interrupts first."""
    return Watched(progress, _current)


_current = Interrupts()
