"""The documents of a process where each of several holds its part of them, in the order of the processes."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from xmc_jax.parallel.exchange import gather_each


@dataclass(frozen=True)
class Rows:
    """Documents of all processes.

    Attributes:
        bounds: int64 [P + 1], the first document of each process, and how many there are in all.
    """

    bounds: np.ndarray

    @property
    def total(self) -> int:
        """Documents N of all processes."""
        return int(self.bounds[-1])

    @property
    def start(self) -> int:
        """The number of this process's first document."""
        return int(self.bounds[jax.process_index()])

    @property
    def mine(self) -> slice:
        """This process's documents among all."""
        return slice(*self.bounds[jax.process_index() :][:2].tolist())


def count_off(n_mine: int) -> Rows:
    """Returns whose documents are which, from the number of those that each process has; all call this together."""
    counts = [int(sent["n"]) for sent in gather_each({"n": np.asarray(n_mine)})]
    return Rows(np.append(0, np.cumsum(counts, dtype=np.int64)))
