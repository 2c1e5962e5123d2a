from __future__ import annotations

import io
import re
import sys

import jax
import pytest

from xmc_jax.course import Step, format_about
from xmc_jax.progress import (
    BarProgress,
    Compiling,
    LineProgress,
    expect,
    format_time,
    open_progress,
)


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
    # The first piece, for which programs are compiled, says nothing of the others.
    assert lines == ["level 1: 20 %, 2:08 left"]
    clock.now = 21
    progress.advance(80)
    progress.finish("12 weights")
    assert lines[1:] == ["level 1: done in 21.0 s, 12 weights"]


STEPS = [Step("tokens", 1, "tokens"), *(Step(f"level {i}", 10, "level") for i in range(3))]


def test_stages_are_numbered_and_their_rest_is_estimated():
    clock, lines = Clock(), []
    progress = LineProgress(lines.append, clock)
    expect(progress, lambda: STEPS)
    for stage, seconds in (("tokens", 1), ("repair", 0), ("level 0", 200)):
        progress.start(stage, 0)
        clock.now += seconds
        progress.finish("")
    assert lines == [
        "stage 1 of 4, tokens: done in 1.0 s",  # too little to say anything by
        "repair: done in 0.0 s",
        "stage 2 of 4, level 0: done in 3:20; about 7 min left",
    ]
    progress.start("level 1", 100)
    clock.now += 5
    progress.advance(0)
    clock.now += 60
    progress.advance(50)
    assert lines[-1] == "stage 3 of 4, level 1: 50 %, 1:00 left; about 4 min left in all"
    progress.finish("")
    progress.start("level 2", 100)
    clock.now += 100
    progress.finish("")
    assert lines[-1] == "stage 4 of 4, level 2: done in 1:40"


def test_what_a_run_had_done_before_tells_nothing_of_its_speed():
    clock, lines = Clock(), []
    progress = LineProgress(lines.append, clock)
    progress.start("tuning", 100)
    progress.advance(80)
    clock.now = 10
    progress.advance(10)
    assert lines == ["tuning: 90 %, 10.0 s left"]


def test_a_bar_shows_number_and_rest():
    stream = io.StringIO()
    stream.isatty = lambda: True
    with BarProgress(stream) as bar:
        bar.expect(STEPS)
        bar.start("level 1", 10)
        bar.note("loss 0.1")
        bar._bar.refresh()
        assert "stage 3 of 4, level 1: loss 0.1" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "a few seconds"), (44, "about 40 s"), (250, "about 4 min"), (9000, "about 2.5 h")],
)
def test_format_about(seconds, text):
    assert format_about(seconds) == text


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
