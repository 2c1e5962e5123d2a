"""Commands on a finished run that are stopped or find no place: one line, nothing half-written, and the same command
works afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.test_interrupts import SIGNALS, start, stop
from xmc_jax.progress import LineProgress

COMMANDS = {
    "update": ["--from", "RUN", "--data", "new.jsonl", "--workdir", "OUT/u"],
    "report": ["--workdir", "RUN", "--data", "DATA", "--output", "OUT/r.html"],
    "calibrate": ["--workdir", "OUT/run", "--data", "DATA", "--split", "test"],
    "explain": ["--workdir", "RUN", "--input", "texts.txt"],
    "evaluate": ["--workdir", "RUN", "--data", "DATA"],
}
WRITE = ["update", "report", "calibrate"]


@pytest.fixture
def make(tiny, tmp_path, monkeypatch):
    """Gives the words of a command that writes into a folder, made anew."""
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"text": t, "labels": ["0", "9"]}) for t in tiny.corpus.test_texts]
    (tmp_path / "new.jsonl").write_text("\n".join(rows))
    (tmp_path / "texts.txt").write_text("\n".join(tiny.corpus.test_texts))

    def words(name: str, out: Path) -> list[str]:
        out.mkdir(exist_ok=True)
        if name == "calibrate":
            shutil.copytree(tiny.run, out / "run", dirs_exist_ok=True)
        places = {"RUN": str(tiny.run), "DATA": str(tiny.data)}
        named = (places.get(word, word) for word in COMMANDS[name])
        return [name, *(word.replace("OUT", str(out)) for word in named)]

    return words


def read(name: str, out: Path) -> object:
    """Returns what a command left, without what differs from call to call."""
    folder = {"update": "u", "calibrate": "run"}.get(name)
    if folder is None:
        pages = sorted(p.name for p in out.iterdir())
        assert pages == ["r.html"] * (name == "report")
        return [(out / page).stat().st_size // 1000 for page in pages]
    import xmc_jax as xmc

    model = xmc.load(out / folder)
    found = model.predict(["a b c", "d e"], top_k=5)
    assert not [p for p in out.rglob("*") if p.name.endswith((".part", ".tmp", ".lock"))]
    proba = model.predict_proba(["a b c"]).scores.tolist() if name == "calibrate" else None
    return found.ids.tolist(), found.scores.tolist(), proba


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("name", ["report", "calibrate", "evaluate"])
def test_a_command_that_is_stopped_in_its_first_stage_works_afterwards(
    name, number, make, tmp_path, xmc, monkeypatch
):
    words = make(name, tmp_path / "out")
    begin = LineProgress.start

    def interrupt(self, *stage) -> None:
        begin(self, *stage)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(LineProgress, "start", interrupt)
        done = xmc(*words)
    assert done.code == 128 + number
    check(done.code, done.err, number)
    assert xmc(*words).code == 0
    read(name, tmp_path / "out")


def check(code: int, err: list[str], number: int) -> None:
    assert code in (0, 128 + number), err
    assert not any("Traceback" in line or "unforeseen" in line for line in err), err
    if code:
        assert err[-1].startswith("xmc: interrupted; "), err


LISTENS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from xmc_jax.cli.interrupts import Interrupts
from xmc_jax.cli.main import main
enter = Interrupts.__enter__
Interrupts.__enter__ = lambda self: (enter(self), print("listens", file=sys.stderr, flush=True))[0]
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_processes_that_are_stopped_anywhere(name, make, tmp_path):
    rng = random.Random(1)
    whole = make(name, tmp_path / "whole")

    def run(words: list[str], number: int | None = None, wait: float = 0.0) -> tuple[int, list]:
        process = start(LISTENS, *words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        if number is None:
            return process.wait(), process.communicate()[1].splitlines()
        process.stderr.readline()
        time.sleep(wait)
        code, err, took = stop(process, number)
        assert took < 10, (took, err)
        return code, err

    began = time.monotonic()
    assert run(whole)[0] == 0
    longest = time.monotonic() - began
    for i in range(2):
        words = make(name, tmp_path / f"out{i}")
        for number in SIGNALS * 2:
            code, err = run(words, number, rng.random() * longest)
            check(code, err, number)
        assert run(words)[0] == 0
        assert read(name, tmp_path / f"out{i}") == read(name, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITE)
def test_a_read_only_disk_is_one_line(name, make, disk, xmc):
    place = disk(4000)
    words = make(name, place / "out")
    disk(4000, ",ro")
    before = sorted(place.rglob("*"))
    done = xmc(*words)
    assert done.code in (1, 2) and len(done.err) >= 1, done.err
    assert "Read-only file system" in done.err[-1] or "a writable folder needed" in done.err[-1]
    assert str(place) in done.err[-1] and sorted(place.rglob("*")) == before
    disk(4000, ",rw")
    assert xmc(*words).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("left", [0, 4, 12, 40])
def test_a_full_disk_is_one_line_and_the_same_command_works_afterwards(name, left, make, disk, xmc):
    place = disk(4000)
    words = make(name, place / "out")
    fill(place / "fill", left)
    done = xmc(*words)
    if done.code == 0 and left:  # the rest was enough
        return
    assert done.code == 1 and "No space left on device" in done.err[-1], done.err
    assert str(place) in done.err[-1] and "Traceback" not in str(done.err)
    assert not [p for p in place.rglob("*") if p.name.endswith((".part", ".tmp", ".lock"))]
    (place / "fill").unlink()
    assert xmc(*words).code == 0
    read(name, place / "out")


def fill(path: Path, left: int) -> None:
    """Writes a file that leaves so many kilobytes of a disk."""
    n = 0
    with open(path, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                n += file.write(bytes(4096))
        file.truncate(max(0, n - 1024 * left))
