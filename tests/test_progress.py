from __future__ import annotations

import io
import re
import sys

import jax
import pytest

from xmc_jax.progress import BarProgress, Compiling, LineProgress, format_time, open_progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_every_ten_seconds_and_at_the_end():
    clock, lines = Clock(), []
    progress = LineProgress(lines.append, clock)
    progress.start("level 1", 100)
    clock.now = 4
    progress.advance(10)
    assert lines == []
    clock.now = 20
    progress.advance(10)
    assert lines == ["level 1: 20 %, 1:20 left"]
    clock.now = 21
    progress.advance(80)
    progress.finish("12 weights")
    assert lines[1:] == ["level 1: done in 21.0 s, 12 weights"]


def test_a_stage_of_unknown_length_counts():
    clock, lines = Clock(), []
    progress = LineProgress(lines.append, clock)
    progress.start("data", 0)
    clock.now = 12
    progress.advance(1234)
    progress.start("tree", 5)
    progress.finish("")
    assert lines == ["data: 1,234 done, 12.0 s", "tree: done in 0.0 s"]


def test_bars_leave_the_same_lines():
    stream = io.StringIO()
    with BarProgress(stream) as progress:
        progress.start("level [0]", 3)
        progress.advance(3)
        progress.finish("fine")
        progress.start("other", 0)
        progress.advance(1)
    assert re.search(r"level \[0\]: done in \d+\.\d s, fine\n", stream.getvalue())


def test_a_terminal_gets_bars_and_a_file_gets_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with open_progress() as progress:
        progress.start("data", 0)
        progress.finish("read")
    assert "data: done in" in sys.stderr.getvalue() and "\x1b[" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with open_progress() as progress:
        progress.start("data", 0)
        progress.finish("")
    assert sys.stderr.getvalue() == "data: done in 0.0 s\n"
    with open_progress(False) as progress:
        progress.start("labels", 3)
        progress.finish("")
    assert sys.stderr.getvalue() == "data: done in 0.0 s\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (187.2, "3:07"), (7387, "2:03:07"), (59.99, "60.0 s")]
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text


def test_compilations_are_told_while_they_last():
    told = []
    compiling = Compiling(told.append)
    jax.jit(lambda x: x * 3 + len(told))(1.5)
    assert told[:2] == [True, False] and compiling.programs == 0
    compiling.close()
    n = len(told)
    jax.jit(lambda x: x * 5 - n)(1.5)
    assert len(told) == n


def test_a_bar_says_that_a_program_is_compiled():
    stream = io.StringIO()
    stream.isatty = lambda: True
    with BarProgress(stream) as bar:
        bar.start("level 0", 10)
        assert bar._compiling is not None
        bar._compiling._hear(Compiling._BEGINS, 0.1)
        bar.note("loss 0.1")
        bar._bar.refresh()
        assert "level 0: loss 0.1, compiling …" in stream.getvalue()
        bar._compiling._hear(Compiling._ENDS, 0.1)
        bar.finish("")
