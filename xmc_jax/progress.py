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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
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
        self._stage, self._total, self._done, self._note = "", 0, 0, ""
        self._began = self._told = clock()

    def start(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done, self._note = stage, total, 0, ""
        self._began = self._told = self._clock()

    def advance(self, n: int) -> None:
        self._done += n
        now = self._clock()
        if now - self._told < EVERY:
            return
        self._told = now
        if self._total and self._done:
            left = (now - self._began) * (self._total - self._done) / self._done
            self._write(
                f"{100 * self._done / self._total:.0f} %, {format_time(left)} left{self._note}"
            )
        else:
            self._write(f"{self._done:,} done, {format_time(now - self._began)}{self._note}")

    def note(self, text: str) -> None:
        self._note = f"; {text}"

    def finish(self, note: str) -> None:
        took = format_time(self._clock() - self._began)
        self._write(f"done in {took}" + (f", {note}" if note else ""))

    def _write(self, text: str) -> None:
        self._write_line(f"{self._stage}: {text}")


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
        self._stage = self._text = ""
        self._compiling: Compiling | None = None

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._compiling is not None:
            self._compiling.close()
        self._bar.stop()

    def start(self, stage: str, total: int) -> None:
        if self._compiling is None and "jax" in sys.modules:
            self._compiling = Compiling(self._describe)
        self._stage = self._text = stage
        self._lines.start(stage, total)
        self._bar.reset(
            self._task, total=total or None, description=stage, visible=True, completed=0
        )

    def advance(self, n: int) -> None:
        self._bar.advance(self._task, n)

    def note(self, text: str) -> None:
        self._text = f"{self._stage}: {text}"
        self._describe(bool(self._compiling and self._compiling.programs))

    def _describe(self, is_compiling: bool) -> None:
        more = ", compiling …" if is_compiling else ""
        self._bar.update(self._task, description=self._text + more)

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
        self._lines = LineProgress(self._keep)
        self._stage, self._said, self._total, self._at = "", "", 0, 0
        self._drawn = 0.0
        self._display = display(_Html("<pre></pre>"), display_id=True)

    def start(self, stage: str, total: int) -> None:
        self._stage, self._said, self._total, self._at = stage, "", total, 0
        self._lines.start(stage, total)
        self._draw()

    def advance(self, n: int) -> None:
        self._at += n
        if time.monotonic() - self._drawn > REDRAWN:
            self._draw()

    def note(self, text: str) -> None:
        self._said = f": {text}"

    def finish(self, note: str) -> None:
        self._lines.finish(note)
        self._stage = ""
        self._draw()

    def _keep(self, line: str) -> None:
        if line.startswith(f"{self._stage}: done"):
            self._done.append(line)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        text = html.escape("\n".join(self._done))
        bar = ""
        if self._stage:
            value = f' max="{self._total}" value="{self._at}"' if self._total else ""
            bar = f"<progress{value}></progress> {html.escape(self._stage + self._said)}"
        self._display.update(_Html(f"<pre>{text}</pre>{bar}"))


class _Html:
    """A piece of HTML that a notebook shows."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


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
    # Where nobody reads it any more, work goes on.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def format_time(seconds: float) -> str:
    """Returns seconds as people write them: `4.2 s`, `3:07`, `2:03:07`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
