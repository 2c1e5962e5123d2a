"""Seconds of a training: what stages take on two cores, and how fast this machine is beside those.

Levels have the seconds of the cost model that chooses their solvers (`xmc_jax/ranker/cost_model.py`), the other stages
a rate from trainings on two cores of a server of 2021. A little work that is timed where a plan is made scales them to
the machine at hand. Its processor seconds count, so that what else the machine does just now changes nothing.
"""

from __future__ import annotations

import time

import numpy as np

from xmc_jax.threads import count_cores

START = 4.0
"""Seconds to start the process, import the libraries and begin a run."""
READING, CUTTING, PARSING = 3e-7, 1e-7, 1.5e-8
"""Seconds per feature that is made, per byte of text that is tokenized, and per byte that is read from a file."""
STAGE = 1.0
"""Seconds for any stage of a level: compiling programs, laying out and writing arrays."""
TREE, PRODUCT = 2e-9, 2e-7
"""Seconds per unit of work in clustering and in an assignment."""
FLOP, TEXT = 3e-11, 2e-5
"""Seconds per floating-point operation of an encoder, and per text in addition."""
FLOPS = 1e9
"""Floating-point operations per text if the encoder is a user's own function."""
SEARCHED = 1e-4
"""Seconds per document that is searched."""
LEARNED = 4e-5
"""Seconds per neighbour that a re-ranker looks at."""

_SIZE, _ROUNDS = 2**18, 60
_USUAL = 0.00051
"""Seconds of a round where the rates were measured."""


def measure_pace() -> float:
    """Returns how many times as long as where the rates were measured work takes on this machine, if nothing else runs
    on it: by the processor seconds of gathers and exponentials in one thread; with a single core, twice that.

    >>> 0 < measure_pace() < 1000
    True
    """
    rng = np.random.default_rng(0)
    values, place = rng.random(_SIZE, np.float32), rng.integers(0, _SIZE, _SIZE)
    rounds = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        (values[place] * values).sum()
        np.exp(values)
        rounds.append(time.thread_time() - began)
    return min(rounds) / _USUAL * (2 if count_cores() == 1 else 1)
