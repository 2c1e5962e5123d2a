from __future__ import annotations

import time

import jax
import numpy as np
import pytest

from xmc_jax.parallel import run_shares, shares


def square(k: int) -> dict[str, np.ndarray]:
    return {"square": np.asarray(k * k), "thrice": np.arange(3 * k)}


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_outcomes_come_in_order_and_each_is_heard_of_once(n, n_workers):
    heard = []
    found = run_shares(square, n, n_workers=n_workers, done=heard.extend)
    assert [int(arrays["square"]) for arrays in found] == [k * k for k in range(n)]
    assert heard == list(range(n))


def test_a_process_does_its_share_and_deals_it_to_its_devices(monkeypatch):
    """The second of two processes, whose three devices stand for numbers here."""
    seen, heard = [], []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(shares, "gather_shares", lambda mine: [None, *mine])
    monkeypatch.setattr(jax, "default_device", Here)

    def work(k):
        seen.append((k, Here.device))
        return square(k)

    found = run_shares(work, 9, devices=("a", "b", "c"), done=heard.append)
    assert seen == [(1, "a"), (3, "b"), (5, "c"), (7, "a")]
    assert heard == [[1], [3], [5], [7], [0, 2, 4, 6, 8]]
    assert [int(arrays["square"]) for arrays in found[1:]] == [1, 9, 25, 49]


class Here:
    """What `jax.default_device` is to one thread."""

    device = None

    def __init__(self, device) -> None:
        self.wanted = device

    def __enter__(self) -> None:
        Here.device = self.wanted

    def __exit__(self, *_) -> None:
        Here.device = None


def test_an_interruption_does_not_wait_for_pieces_that_have_not_begun():
    begun = []

    def work(k):
        begun.append(k)
        if k:
            time.sleep(0.05)
        return square(k)

    def done(pieces):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_shares(work, 300, n_workers=2, done=done)
    assert len(begun) < 20
