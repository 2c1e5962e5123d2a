from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from xmc_jax.errors import InputError, RunError
from xmc_jax.parallel import (
    agree_first,
    agree_least,
    exchange,
    gather_shares,
    list_share,
    run_first,
    run_together,
)

CHILD = """
import sys
from xmc_jax.parallel import join_processes, is_first, run_first, run_together, wait
from xmc_jax.errors import InputError, RunError, XMCError
process, address = sys.argv[1:]
join_processes(address, 2, int(process))
done = []

def fail(error, of):
    def work():
        done.append(type(error).__name__)
        if int(process) == of:
            raise error
        return "fine"
    return work

for run, error, of in (
    (run_together, InputError("a: bad"), 1),
    (run_together, RunError("b: full"), 0),
    (run_first, InputError("c: taken"), 0),
):
    try:
        run(fail(error, of))
    except XMCError as e:
        print(f"{type(e).__name__} {e}", end="; ")
run_first(lambda: (wait("nobody else"), run_first(lambda: done.append("alone"))))
import numpy as np
from xmc_jax.parallel import add_up, count_off, exchange, gather_each, trade
exchange._BLOCK = 4096  # messages of several blocks
me, big = int(process), np.arange(5000, dtype=np.int32)
got = trade([{"x": big[: 1000 * me + 1]}, {"x": big[:4000] + me, "y": np.ones((2, 0))}])
assert [len(part["x"]) for part in got] == ([1, 1001] if me == 0 else [4000, 4000])
assert me == 0 or (got[0]["x"] == big[:4000]).all() and got[0]["y"].shape == (2, 0)
assert (add_up(np.array([[me, 1], [2**40, 3]])) == [[1, 2], [2**41, 6]]).all()
assert [int(part["me"]) for part in gather_each({"me": np.asarray(me)})] == [0, 1]
rows = count_off(3 + me)
assert (rows.total, rows.start, rows.mine) == (7, 3 * me, slice(3 * me, 3 + 4 * me))
print(run_together(fail(None, 2)), *done)
"""


def test_one_process_has_all_the_work():
    pieces = [{"a": np.arange(3)}, {}]
    assert list_share(3) == [0, 1, 2] and agree_least(7) == 7 and agree_first(0.1) == 0.1
    assert gather_shares(pieces) == pieces


def test_one_process_works_alone():
    done = []
    run_first(lambda: done.append(1))
    assert done == [1] and run_together(lambda: 7) == 7
    with pytest.raises(InputError, match=r"^bad$"):
        run_together(partial(fail, InputError("bad")))
    with pytest.raises(RunError, match=r"^full$"):
        run_first(partial(fail, RunError("full")))


def fail(error):
    raise error


def test_an_error_in_one_of_two_processes_is_raised_in_both(processes):
    address = processes.find_address()
    children = [processes.start(CHILD, i, address) for i in range(2)]
    first, second = processes.finish(*children)
    assert first == (
        "InputError process 1: a: bad; RunError b: full; InputError c: taken; "
        "fine InputError RunError InputError alone NoneType"
    )
    assert second == (
        "InputError a: bad; RunError process 0: b: full; InputError process 0: c: taken; "
        "fine InputError RunError NoneType"
    )


def test_shares_come_back_in_the_order_of_the_work(monkeypatch):
    every = [{"ids": np.arange(i, dtype=np.int32), "values": np.ones((i, 2))} for i in range(5)]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts = []
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parts.append([every[i] for i in list_share(5)])
    assert [len(part) for part in parts] == [3, 2]
    sent = [exchange._pack_pieces(part) for part in parts]
    monkeypatch.setattr(exchange, "_gather_bytes", lambda data: sent)
    found = gather_shares(parts[0])
    assert len(found) == 5
    for mine, theirs in zip(every, found, strict=True):
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert array.dtype == theirs[name].dtype
            np.testing.assert_array_equal(array, theirs[name])
