"""Progress: a bar on a terminal or in a notebook, plain lines on standard error elsewhere.

All are a `xmc_jax.types.Progress`: stage after stage they hear `start("level 1", 4096)`,
`advance(64)` ..., perhaps `note("loss 0.1")`, `finish("1.2 M weights")`.
"""

from __future__ import annotations

import contextlib
import html
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from xmc_jax.course import TOLD, Course, format_about
from xmc_jax.errors import XMCError

if TYPE_CHECKING:
    from xmc_jax.course import Step
    from xmc_jax.types import Progress

EVERY = 10.0
"""Seconds between plain lines about one stage."""
REDRAWN = 0.25
"""Seconds between two drawings of a notebook's bar."""


class LineProgress:
    """Writes a line when a stage is done, and while it lasts one every ten seconds."""

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write_line = write or _write_to_stderr
        self._clock = clock
        self.stage, self._total, self._done, self._note = "", 0, 0, ""
        self._first: tuple[float, int] | None = (
            None  # the clock and what was done, once anything was
        )
        self._began = self._told = clock()
        self._course = Course((), clock)

    def expect(self, steps: Sequence[Step]) -> None:
        """Numbers the stages that follow, and says how long they will take together."""
        self._course = Course(steps, self._clock)

    def start(self, stage: str, total: int) -> None:
        self.stage = self._course.start(stage)
        self._total, self._done, self._note = total, 0, ""
        self._began = self._told = self._clock()
        self._first = None

    def count(self, n: int) -> None:
        """Counts what is done and writes nothing."""
        self._done += n
        # What comes first is slower, as programs are compiled for it, or was done by the run that is resumed.
        self._first = self._first or (self._clock(), self._done)

    def advance(self, n: int) -> None:
        self.count(n)
        now = self._clock()
        if now - self._told < EVERY:
            return
        self._told = now
        if not self._total:
            self._write(f"{self._done:,} done, {format_time(now - self._began)}{self._note}")
            return
        done, spent = self._measure()
        rest = ""
        if done >= TOLD:
            rest = f", {format_time(spent / done * (1 - self._done / self._total))} left"
        told = self.tell_rest()
        more = f"{told} in all" if told else ""
        self._write(f"{100 * self._done / self._total:.0f} %{rest}{self._note}{more}")

    def _measure(self) -> tuple[float, float]:
        """Returns the share of the stage that was done after the first piece of it, and the seconds that it took."""
        if not self._total or self._first is None:
            return 0.0, 0.0
        began, done = self._first
        return (self._done - done) / self._total, self._clock() - began

    def tell_rest(self) -> str:
        """Returns how long all stages will still take, to be put behind other words; empty if nobody knows."""
        left = max(0.0, 1 - self._done / self._total) if self._total else 1.0
        seconds = self._course.estimate(*self._measure(), left)
        return f"; {format_about(seconds)} left" if seconds else ""

    def note(self, text: str) -> None:
        self._note = f"; {text}"

    def finish(self, note: str) -> None:
        took = format_time(self._clock() - self._began)
        self._course.finish()
        self._total = 0
        self._write(f"done in {took}" + (f", {note}" if note else "") + self.tell_rest())

    def _write(self, text: str) -> None:
        self._write_line(f"{self.stage}: {text}")


class BarProgress:
    """Draws a bar with the share done and the time left; a finished stage leaves its line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        console = Console(file=stream or sys.stderr, highlight=False, markup=False)
        self._lines = LineProgress(console.print)
        self._bar = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", visible=False)
        self._said, self._told = "", 0.0
        self._compiling: Compiling | None = None

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._compiling is not None:
            self._compiling.close()
        self._bar.stop()

    def expect(self, steps: Sequence[Step]) -> None:
        """Numbers the stages that follow, and says how long they will take together."""
        self._lines.expect(steps)

    def start(self, stage: str, total: int) -> None:
        if self._compiling is None and "jax" in sys.modules:
            self._compiling = Compiling(self._describe)
        self._said, self._told = "", time.monotonic()
        self._lines.start(stage, total)
        name = self._lines.stage + self._lines.tell_rest()
        self._bar.reset(
            self._task, total=total or None, description=name, visible=True, completed=0
        )

    def advance(self, n: int) -> None:
        self._lines.count(n)
        self._bar.advance(self._task, n)
        if time.monotonic() - self._told > REDRAWN:
            self._told = time.monotonic()
            self._redescribe()

    def note(self, text: str) -> None:
        self._said = f": {text}"
        self._redescribe()

    def _redescribe(self) -> None:
        self._describe(bool(self._compiling and self._compiling.programs))

    def _describe(self, is_compiling: bool) -> None:
        more = ", compiling …" if is_compiling else ""
        text = self._lines.stage + self._said + self._lines.tell_rest()
        self._bar.update(self._task, description=text + more)

    def finish(self, note: str) -> None:
        self._bar.update(self._task, visible=False)
        self._bar.refresh()
        self._lines.finish(note)


class Compiling:
    """Hears from JAX which programs are being compiled; `tell` is told when the first begins and the last ends.

    JAX reports only what has ended: a program's lowering, which its compilation follows, and that.
    """

    _BEGINS = "/jax/core/compile/jaxpr_to_mlir_module_duration"
    _ENDS = "/jax/core/compile/backend_compile_duration"

    def __init__(self, tell: Callable[[bool], None]) -> None:
        from jax import monitoring

        self._tell = tell
        self.programs = 0
        self._lock = threading.Lock()
        monitoring.register_event_duration_secs_listener(self._hear)

    def close(self) -> None:
        """Hears no more."""
        from jax import monitoring

        monitoring.unregister_event_duration_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: object) -> None:
        if event not in (self._BEGINS, self._ENDS):
            return
        with self._lock:
            before = self.programs > 0
            self.programs = max(0, self.programs + (1 if event == self._BEGINS else -1))
            now = self.programs > 0
        if now != before:
            self._tell(now)


class NotebookProgress:
    """Draws a bar below a notebook's cell; a finished stage leaves its line."""

    def __init__(self) -> None:
        from IPython.display import display

        self._done: list[str] = []
        self._lines = LineProgress(self._done.append)
        self._is_busy, self._said, self._total, self._at = False, "", 0, 0
        self._drawn = 0.0
        self._display = display(_Html("<pre></pre>"), display_id=True)

    def expect(self, steps: Sequence[Step]) -> None:
        """Numbers the stages that follow, and says how long they will take together."""
        self._lines.expect(steps)

    def start(self, stage: str, total: int) -> None:
        self._is_busy, self._said, self._total, self._at = True, "", total, 0
        self._lines.start(stage, total)
        self._draw()

    def advance(self, n: int) -> None:
        self._at += n
        self._lines.count(n)
        if time.monotonic() - self._drawn > REDRAWN:
            self._draw()

    def note(self, text: str) -> None:
        self._said = f": {text}"

    def finish(self, note: str) -> None:
        self._lines.finish(note)
        self._is_busy = False
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        text = html.escape("\n".join(self._done))
        bar = ""
        if self._is_busy:
            value = f' max="{self._total}" value="{self._at}"' if self._total else ""
            said = self._lines.stage + self._said + self._lines.tell_rest()
            bar = f"<progress{value}></progress> {html.escape(said)}"
        self._display.update(_Html(f"<pre>{text}</pre>{bar}"))


class _Html:
    """A piece of HTML that a notebook shows."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


def expect(progress: Progress, steps: Callable[[], Sequence[Step]]) -> None:
    """Tells of the stages ahead, if progress is shown by one of the kinds above; another is not asked to count."""
    listen = getattr(progress, "expect", None)
    if listen is None:
        return
    try:
        ahead = steps()
    except XMCError:  # the training itself says what is wrong, if it comes so far
        return
    listen(ahead)


@contextlib.contextmanager
def open_progress(wanted: Progress | bool | None = True) -> Iterator[Progress]:
    """Gives what is told about work, and clears it away at the end.

    Args:
        wanted: True: the kind that a notebook or standard error can show. False or None: one that is silent. Anything
            else is the caller's own and passes.
    """
    if wanted is None or wanted is False:
        from xmc_jax.types import NoProgress

        yield NoProgress()
    elif wanted is not True:
        yield wanted
    elif _is_notebook():
        yield NotebookProgress()
    elif sys.stderr is not None and sys.stderr.isatty():
        with BarProgress() as bar:
            yield bar
    else:
        yield LineProgress()


def _is_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return type(running).__name__ in ("ZMQInteractiveShell", "Shell")  # the latter is Colab's


def _write_to_stderr(line: str) -> None:
    # If nobody reads it any more, work continues.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def format_time(seconds: float) -> str:
    """Returns seconds as people write them: `4.2 s`, `3:07`, `2:03:07`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
