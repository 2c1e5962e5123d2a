"""Work mapped over threads: order, look-ahead, and what is left undone when it is stopped."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from xmc_jax.threads import count_cores, map_threads


@pytest.mark.parametrize("ahead", [None, 0, 100])
@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_results_come_in_order(threads, ahead):
    found = list(map_threads(lambda x: x * x, range(40), threads, ahead))
    assert found == [x * x for x in range(40)]


@pytest.mark.parametrize("n", [0, 1])
def test_few_items_need_no_thread(n):
    found = list(map_threads(lambda x: threading.get_ident(), range(n), 4))
    assert found == [threading.get_ident()] * n


def test_threads_limit_the_workers_and_the_look_ahead():
    taken, names = [], set()

    def work(x):
        names.add(threading.get_ident())
        return x

    results = map_threads(work, (taken.append(i) or i for i in range(100)), 2)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) < 10
    assert list(results) == list(range(2, 100))
    assert len(names) <= 2


def test_a_long_look_ahead_goes_on_beside_a_slow_item():
    others = threading.Semaphore(0)

    def work(x):
        if x:
            others.release()
        else:  # the first is not done before all others are
            assert all(others.acquire(timeout=60) for _ in range(19))
        return x

    assert list(map_threads(work, range(20), 2, ahead=20)) == list(range(20))


def test_an_error_of_a_worker_is_raised_and_ends_the_work():
    begun = []

    def work(x):
        begun.append(x)
        if x == 3:
            raise ValueError("of 3")
        hold.wait(0.01)

    hold = threading.Event()
    with pytest.raises(ValueError, match="of 3"):
        list(map_threads(work, range(500), 2, ahead=500))
    assert len(begun) < 100


def test_an_interruption_of_the_caller_does_not_wait_for_what_has_not_begun():
    begun = []
    hold = threading.Event()

    def work(x):
        begun.append(x)
        if x:
            hold.wait(0.05)

    results = map_threads(work, range(200), 2, ahead=200)
    with pytest.raises(KeyboardInterrupt), closing(results):
        for _ in results:
            raise KeyboardInterrupt
    n = len(begun)
    assert n < 20
    hold.wait(0.2)
    assert len(begun) == n


def test_there_is_a_core():
    assert count_cores() >= 1
