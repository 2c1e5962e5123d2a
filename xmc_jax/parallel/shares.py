"""Independent pieces of work, distributed over the processes of a run, their devices and their threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import jax

from xmc_jax.parallel.exchange import Arrays, gather_shares, list_share
from xmc_jax.threads import map_threads


def run_shares(
    work: Callable[[int], Arrays],
    n: int,
    *,
    devices: Sequence[jax.Device] = (),
    n_workers: int = 1,
    done: Callable[[Sequence[int]], None] = lambda pieces: None,
    gathers: bool = True,
) -> list[Arrays]:
    """Returns the results of pieces 0 to n - 1, in order, in every process; the first error or interruption ends it.

    Args:
        work: does a piece, in any thread.
        n: the number of pieces, the same in all processes, which call this together.
        devices: the devices of this process, which take its pieces in turn; empty: the default one.
        n_workers: the number of threads of this process, each of which does one piece at a time.
        done: called in the caller's thread with the numbers of finished pieces; those of other processes come
            together at the end.
        gathers: False: each process gets only the results of its own pieces.
    """
    mine = list_share(n)
    homes = tuple(devices) or (None,)

    def run(place: int) -> Arrays:
        with jax.default_device(homes[place % len(homes)]):
            return work(mine[place])

    outcomes = []
    with closing(map_threads(run, range(len(mine)), n_workers, ahead=n)) as results:
        for k, outcome in zip(mine, results, strict=True):
            outcomes.append(outcome)
            done([k])
    every = gather_shares(outcomes) if gathers else outcomes
    others = sorted(set(range(n)) - set(mine))
    if others:
        done(others)
    return every
