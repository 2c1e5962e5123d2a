"""A level that several processes hold together, each with the weights of a range of clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmc_jax.model.level_weights import LevelWeights
from xmc_jax.parallel import gather_each

MOST_WHOLE = 512
"""Number of nodes up to which every process keeps a whole level."""


@dataclass(frozen=True)
class LevelShare:
    """This process's weights of a level, and what every process knows of the whole level.

    Attributes:
        weights: the weights of the clusters `first` … `stop` - 1; clusters and nodes are numbered from 0 in it.
        first, stop: the range of this process's clusters.
        child_offsets: the child offsets of the whole level, int32 [C + 1].
        bias: the biases of the whole level, float32 [nodes].
        total: the number of entries in all processes.
    """

    weights: LevelWeights
    first: int
    stop: int
    child_offsets: np.ndarray
    bias: np.ndarray
    total: int

    @classmethod
    def gather(cls, weights: LevelWeights, first: int, child_offsets: np.ndarray) -> LevelShare:
        """Returns the share of a process that knows its own weights; all processes call this together.

        Args:
            weights: the weights of clusters from `first` on; those of process p + 1 follow the ones of process p.
            first: this process's first cluster.
            child_offsets: the child offsets of the whole level.
        """
        facts = {"bias": weights.bias, "n": np.asarray(weights.n_entries)}
        every = gather_each(facts)
        bias = np.concatenate([sent["bias"] for sent in every])
        total = sum(int(sent["n"]) for sent in every)
        return cls(weights, first, first + weights.n_clusters, child_offsets, bias, total)

    @property
    def n_clusters(self) -> int:
        return len(self.child_offsets) - 1

    @property
    def n_nodes(self) -> int:
        return len(self.bias)

    @property
    def n_entries(self) -> int:
        """Number of weights of the whole level, without biases and dense columns."""
        return self.total

    @property
    def n_bytes(self) -> int:
        """Bytes that this process holds of the level."""
        return self.weights.n_bytes + self.child_offsets.nbytes + self.bias.nbytes

    @property
    def max_children(self) -> int:
        return int(np.diff(self.child_offsets).max(initial=0))


def balance_clusters(entries: np.ndarray, n_shares: int) -> np.ndarray:
    """Returns the first cluster of each share and the end, so that shares have about equally many entries.

    Args:
        entries: the number of entries of each cluster [C].
        n_shares: the number of shares, each of consecutive clusters; some may be empty.
    """
    # A cluster without weights still has a cost.
    total = np.append(0, np.cumsum(entries, dtype=np.int64)) + np.arange(len(entries) + 1)
    targets = total[-1] * np.arange(1, n_shares) / n_shares
    return np.concatenate([[0], np.searchsorted(total, targets), [len(entries)]])
