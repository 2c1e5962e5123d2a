"""Ctrl-C and SIGTERM stop a command whenever they come, and leave a run that is resumed to the same predictions."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from xmc_jax.cli.interrupts import Interrupts, Watched, listen, watch
from xmc_jax.types import NoProgress

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_and_is_remembered(number):
    before = signal.getsignal(number)
    interrupts = Interrupts()
    with listen(interrupts):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert interrupts.asked == number
        assert interrupts.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_an_exception_that_was_lost_is_raised_by_the_next_report():
    class Loses:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)  # Python drops what a destructor raises
            for _ in range(100):
                time.sleep(0.01)

    interrupts = Interrupts()
    with listen(interrupts):
        progress = watch(NoProgress())
        progress.start("level 0", 3)
        thing = Loses()
        del thing
        gc.collect()
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            progress.advance(1)


def test_what_is_finished_is_told_before_the_end():
    told = []

    class Tells(NoProgress):
        def finish(self, note: str) -> None:
            told.append(note)

    interrupts = Interrupts()
    interrupts.asked = signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        Watched(Tells(), interrupts).finish("done")
    assert told == ["done"]


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listen(Interrupts()):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_set_no_handlers():
    before = signal.getsignal(signal.SIGINT)

    def run() -> None:
        with listen(Interrupts()):
            assert signal.getsignal(signal.SIGINT) == before

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


STUBBORN = """
import signal, time
from xmc_jax.cli.interrupts import Interrupts, listen
signal.signal(signal.SIGINT, signal.default_int_handler)
with listen(Interrupts()):
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("swallowed", flush=True)
"""


LAUNCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from xmc_jax.cli.main import main
sys.exit(main())
"""
"""A test run in the background may ignore Ctrl-C, which its children would inherit."""


def start(code: str, *words: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *words], text=True, **options)


def stop(process: subprocess.Popen, number: int) -> tuple[int, list[str], float]:
    """Sends a signal; returns the exit code, the lines of standard error, and the seconds that it took to end.

    Seconds are those of the processor if these are fewer: the machine may be busy.
    """
    before, sent = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    told = Path(f"/proc/{process.pid}/stat")
    ticks = (
        sum(map(int, told.read_text().rpartition(")")[2].split()[11:13])) if told.exists() else 0
    )
    process.send_signal(number)
    err = process.communicate(timeout=120)[1].splitlines()
    took, after = time.monotonic() - sent, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ticks:
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took = min(took, max(0.0, used - ticks / os.sysconf("SC_CLK_TCK")))
    return process.returncode, err, took


def test_the_second_signal_ends_at_once():
    process = start(STUBBORN, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "swallowed\n"
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=10)[1]
    assert (process.returncode, err) == (130, "xmc: ended at once\n")


AFTERWARDS = """
import atexit, sys, time
from xmc_jax.cli.main import main
sys.argv = ["xmc", *sys.argv[1:]]
code = main()
atexit.register(lambda: (print("ended", flush=True), time.sleep(30)))
sys.exit(code)
"""


@pytest.mark.parametrize(("command", "code"), [("--version", 0), ("trian", 2)])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_work_keeps_its_exit_code(command, code, number):
    process = start(AFTERWARDS, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while "ended" not in process.stdout.readline():
        pass
    process.send_signal(number)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == code and "Traceback" not in err


ENDING = """
import sys, time
from xmc_jax.cli.main import main

class Slow:
    def __init__(self, say, wait):
        self.say, self.wait = say, wait
    def __del__(self):
        self.say("ended\\n"), self.wait(2)

sys.kept = Slow(lambda text, out=1, write=__import__("os").write: write(out, text.encode()), time.sleep)
sys.argv = ["xmc", "--version"]
sys.exit(main())
"""
"""An object that is let go of while Python ends takes its time."""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_python_ends_keeps_the_exit_code(number):
    process = start(ENDING, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while "ended" not in process.stdout.readline():
        pass
    process.send_signal(number)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 0 and "Traceback" not in err


@pytest.fixture
def words(tiny, settings) -> list[str]:
    options = [*settings, "--copies", "2", "--beam", "4"]
    return ["train", "--data", str(tiny.data), *options, "--workdir"]


def test_a_training_is_stopped_and_resumed(words, tiny, tmp_path, xmc, request):
    rng = random.Random(0)
    whole, run = tmp_path / "whole", tmp_path / "run"

    # A signal that comes just after the end is the test's own.
    for number in SIGNALS:
        request.addfinalizer(partial(signal.signal, number, signal.getsignal(number)))
        signal.signal(number, lambda *_: None)

    def train(folder, wait: float | None = None):
        timer = threading.Timer(wait or 0, os.kill, (os.getpid(), rng.choice(SIGNALS)))
        if wait is not None:
            timer.start()
        try:
            return xmc(*words, folder)
        finally:
            timer.cancel()

    began = time.monotonic()
    assert train(whole).code == 0
    longest = time.monotonic() - began
    for _ in range(4):
        done = train(run, 0.1 + rng.random() * longest)
        if done.code:
            assert done.code in (130, 143) and "interrupted" in done.err[-1], done.err
            assert not any("Traceback" in line for line in done.err)
    assert train(run).code == 0
    assert predict(run, tiny, xmc) == predict(whole, tiny, xmc)


def predict(run, tiny, xmc) -> str:
    return xmc(
        "predict", "--workdir", run, "--input", tiny.data / "test.jsonl", "--output", "-"
    ).out


ENCODER = [
    *("--model", "xr-transformer", "--encoder.max_length", "16", "--tuning.steps", "4"),
    *("--tuning.batch_size", "16", "--tuning.save_every", "1", "--tuning.warmup", "1"),
    *("--preliminary.branching", "4", "--preliminary.max_leaf_size", "5"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "wanted"), [("copies", 200), ("xr-transformer", 60)])
def test_many_interrupts(model, wanted, tiny, settings, tiny_encoder, tmp_path, xmc):
    rng = random.Random(1)
    more = ["--copies", "2", "--beam", "4"]
    if model == "xr-transformer":
        more = [*ENCODER, "--encoder.name", str(tiny_encoder)]
    words = ["train", "--data", str(tiny.data), *settings, *more, "--workdir"]
    if model == "xr-transformer":  # settings of the same names are those of the last levels
        words = [w.replace("--max_leaf_size", "--tree.max_leaf_size") for w in words]
        words = [w.replace("--branching", "--tree.branching") for w in words]
    began = time.monotonic()
    for folder in ("first", "whole"):  # the second one finds compiled programs
        began = time.monotonic()
        assert start(LAUNCH, *words, str(tmp_path / folder), stderr=subprocess.DEVNULL).wait() == 0
    longest = time.monotonic() - began
    expected = predict(tmp_path / "whole", tiny, xmc)
    took, number = [], 0
    while len(took) < wanted:
        run, number = tmp_path / f"run {number}", number + 1
        done = False
        for _ in range(6):
            process = start(LAUNCH, *words, str(run), stderr=subprocess.PIPE)
            process.stderr.readline()  # it listens
            time.sleep(rng.random() * longest)
            signal_number = rng.choice(SIGNALS)
            code, err, seconds = stop(process, signal_number)
            if code == 0:
                done = True
                break
            assert code == 128 + signal_number and "Traceback" not in str(err), err
            assert "interrupted" in err[-1], err
            assert seconds < 10, (seconds, err)
            took.append(seconds)
        if not done:
            assert start(LAUNCH, *words, str(run), stderr=subprocess.DEVNULL).wait() == 0
        assert predict(run, tiny, xmc) == expected
        print(f"{len(took)} stopped, {number} runs, slowest {max(took, default=0):.1f} s")
