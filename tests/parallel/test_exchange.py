from __future__ import annotations

import jax
import numpy as np

from xmc_jax.parallel import agree_first, agree_least, exchange, gather_shares, list_share


def test_one_process_has_all_the_work():
    pieces = [{"a": np.arange(3)}, {}]
    assert list_share(3) == [0, 1, 2] and agree_least(7) == 7 and agree_first(0.1) == 0.1
    assert gather_shares(pieces) == pieces


def test_shares_come_back_in_the_order_of_the_work(monkeypatch):
    every = [{"ids": np.arange(i, dtype=np.int32), "values": np.ones((i, 2))} for i in range(5)]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts = []
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parts.append([every[i] for i in list_share(5)])
    assert [len(part) for part in parts] == [3, 2]
    sent = [exchange._pack(part) for part in parts]
    monkeypatch.setattr(exchange, "_gather_bytes", lambda data: sent)
    found = gather_shares(parts[0])
    assert len(found) == 5
    for mine, theirs in zip(every, found, strict=True):
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert array.dtype == theirs[name].dtype
            np.testing.assert_array_equal(array, theirs[name])
