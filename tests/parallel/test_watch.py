"""A process that dies ends the others, which say which one it was; at the end of the work they wait for each other."""

from __future__ import annotations

import os
import signal
import time

import pytest

from xmc_jax.parallel import watch as watch_module
from xmc_jax.parallel.watch import Watch

CHILD = """
import sys, time
n, process, address, seconds = sys.argv[1:]
from xmc_jax.parallel import ending, join_processes
join_processes(address, int(n), int(process))
with ending(lambda: print("let go")):
    print("here", flush=True)
    time.sleep(float(seconds) if process == "1" else 300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "terminated", "failed"])
def test_the_others_end_within_a_minute_and_say_who_died(processes, how):
    address = processes.find_address()
    code = CHILD.replace("300)", "300); assert process != '1'") if how == "failed" else CHILD
    seconds = 1 if how == "failed" else 300
    children = [processes.start(code, 3, i, address, seconds) for i in range(3)]
    for child in children:
        while "here" not in child.stdout.readline():
            assert child.poll() is None
    if how != "failed":
        os.kill(children[1].pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
    children[1].communicate(timeout=60)
    began = time.monotonic()
    for i in (0, 2):
        _, errors = children[i].communicate(timeout=120)
        assert children[i].returncode == 1
        assert f"xmc: process 1 of 3 died, so process {i} ends;" in errors
    assert time.monotonic() - began < 60


class Service:
    """The coordination service as one process sees it."""

    def __init__(self, live: list[int]) -> None:
        self.live, self.at_end = live, []

    def get_live_nodes(self, everyone: list[int]) -> dict[int, int]:
        return dict.fromkeys(self.live, 1)

    def wait_at_barrier(self, name: str, milliseconds: int) -> None:
        self.at_end.append(name)
        if len(self.live) < 2:
            raise RuntimeError("the others do not come")


def test_processes_that_come_to_the_end_leave_once():
    service = Service([0, 1])
    watch = Watch(service, 1, 2)
    assert watch.leave() and watch.leave()
    assert service.at_end == ["xmc_jax/end"]


def test_a_process_that_fails_alone_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(watch_module, "_PAUSE", 0.05)
    watch = Watch(Service([0, 1]), 1, 2)
    watch._client.live = [1]
    ended = []
    watch._end = ended.append
    assert not watch.leave(failed=True) and not watch.leave(failed=True)
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    watch._ended.set()
    assert ended[0] == [0]
