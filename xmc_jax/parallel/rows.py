"""Which documents belong to which process, if each of several holds a part of them, in the order of the processes."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from xmc_jax.parallel.exchange import gather_each


@dataclass(frozen=True)
class Rows:
    """The documents of all processes.

    Attributes:
        bounds: int64 [P + 1], the first document of each process, and the total number.
    """

    bounds: np.ndarray

    @property
    def total(self) -> int:
        """Number N of documents in all processes."""
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
    """Returns the documents of all processes from the number that each has; all processes call this together."""
    counts = [int(sent["n"]) for sent in gather_each({"n": np.asarray(n_mine)})]
    return Rows(np.append(0, np.cumsum(counts, dtype=np.int64)))
