"""One training at a time: the second is refused with who holds the folder; who is gone holds nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from xmc_jax.errors import RunError
from xmc_jax.run.lock import Lock, check_free, hold

HOST = socket.gethostname()
HOLDS = """
import sys, time
from pathlib import Path
from xmc_jax.run.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def claim(folder, **holder) -> None:
    (folder / ".lock").write_text(json.dumps({"pid": 1, "host": HOST, "began": None} | holder))


def test_the_second_is_refused_with_process_and_host_and_takes_over_from_the_dead(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(RunError, match=rf"process {child.pid} on {HOST} is training in it"):
                Lock(tmp_path)
    finally:
        child.kill()
        child.communicate()
    with hold(tmp_path), pytest.raises(RunError, match=rf"process {os.getpid()} on"):
        Lock(tmp_path)  # nor a second one of this process
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_lives_on_this_host_or_may_on_another_holds_it(tmp_path):
    claim(tmp_path, pid=os.getppid())
    with pytest.raises(RunError, match=rf"process {os.getppid()} on {HOST}"):
        Lock(tmp_path)
    claim(tmp_path, host="elsewhere")
    with pytest.raises(
        RunError, match=r"process 1 on elsewhere .* delete .*\.lock if that process"
    ):
        check_free(tmp_path)


@pytest.mark.parametrize("holder", [{"pid": 2**22 + 5}, {"began": "9" * 20}, {"pid": os.getpid()}])
def test_a_stale_lock_is_taken_over(tmp_path, holder):
    """Of a process that is gone, of one whose number another has now, of one that let it go without a word."""
    claim(tmp_path, **holder)
    with hold(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_holds_nothing(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    with hold(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    with pytest.raises(RunError, match=r"gone/\.lock: cannot be written \(No such file"):
        Lock(tmp_path / "gone")
