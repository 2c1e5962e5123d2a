"""The levels of a tree before it exists: rows, slots, clusters and weights of each, and the solver that takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xmc_jax.config import LinearConfig, at_level
from xmc_jax.parallel import Target
from xmc_jax.plan.counts import ENTRY, Counts
from xmc_jax.ranker.cost_model import Choice, choose_solvers
from xmc_jax.ranker.footprint import divide_level, weigh_chunks, weigh_cuts
from xmc_jax.ranker.problem import MAX_COLUMNS
from xmc_jax.ranker.solvers import Sizes, list_solvers


@dataclass(frozen=True)
class LevelShape:
    """A level in the formulas of `plan/linear.py`, where all clusters are alike.

    Attributes:
        level: its number.
        parents, size: the numbers of clusters and of their children.
        rows: the number of rows in all clusters' problems.
        slots: the number of sparse entries in these rows.
        features: the number of features of a cluster.
        positives: the number of (document, child) pairs.
        weights: the number of weights that are kept.
    """

    level: int
    parents: int
    size: int
    rows: float
    slots: float
    features: float
    positives: float
    weights: float

    @property
    def work(self) -> int:
        """Multiply-adds of one pass over the data."""
        return round(self.slots * self.size / self.parents)

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights."""
        return round(self.weights * ENTRY)

    @property
    def n_columns(self) -> int:
        """K, the largest number of children that a unit solves."""
        return min(self.max_children, MAX_COLUMNS)

    @property
    def max_children(self) -> int:
        """Number of children per cluster."""
        return -(-self.size // self.parents)

    @property
    def n_units(self) -> int:
        """Number of units: clusters, of which those with many children are split into several."""
        return self.parents * -(-self.max_children // self.n_columns)

    def list_sizes(self, n_dense: int = 0) -> Sizes:
        """Returns the sizes of the units, whose rows have this many dense columns as well."""
        n = np.full(self.n_units, max(1, self.rows / self.parents), np.float64)
        slots = np.full(self.n_units, (self.slots + self.rows) / self.parents)
        return Sizes(n.astype(np.int64), slots.astype(np.int64), self.n_columns, n_dense)

    def choose(self, config: LinearConfig, target: Target, n_dense: int = 0) -> Choice:
        """Returns which solver takes the level on a target."""
        wanted = at_level(config.ranker.formulation, self.level)
        return choose_solvers(
            list_solvers(), self.list_sizes(n_dense), config.ranker.loss, target, wanted
        )

    def weigh_units(self, choice: Choice) -> np.ndarray:
        """Returns the bytes of each unit while it is solved."""
        solver = choice.solvers[int(choice.solver[0])]
        n, slots, features = (
            np.full(self.n_units, x)
            for x in (
                self.rows / self.parents,
                (self.slots + self.rows) / self.parents,
                self.features,
            )
        )
        return solver.bytes(n, slots, features, self.n_columns, 0)

    def weigh(self, config: LinearConfig, target: Target, left: float) -> float:
        """Returns the host's bytes of the chunks that are solved at once and of those prepared in advance.

        Args:
            config: the settings.
            target: where they are solved.
            left: the bytes of the budget that the chunks may take.
        """
        weights = self.weigh_units(self.choose(config, target))
        memory = max(left, float(weights.max()))
        division = divide_level(weights, int(memory) + 1, target.count_workers())
        at_once = division.n_workers * weigh_chunks(weights, division.n_chunks)
        return at_once + weigh_cuts(self.slots, self.rows)


def shape_levels(
    counts: Counts, config: LinearConfig, sizes: tuple[int, ...], copies: int = 1
) -> list[LevelShape]:
    """Returns the levels of a tree of these sizes.

    Args:
        counts: the counts of the training set.
        config: settings.
        sizes: the number of nodes of each level.
        copies: the number of clusters per label.
    """
    n, a_row = counts.n_documents, counts.nnz_features / counts.n_documents
    labels = max(1.0, copies * counts.nnz_labels / n)
    shapes = []
    for level, size in enumerate(sizes):
        parents = sizes[level - 1] if level else 1
        rows = n * _share_clusters(parents, labels, sizes[-1])
        if "man" in at_level(config.ranker.negatives, level):
            rows += n * min(parents, config.search.choose_beam())
        positives = n * _share_clusters(size, labels, sizes[-1])
        features = _count_cluster_features(counts, rows / parents)
        weights = size * features
        if at_level(config.ranker.threshold, level) > 0:
            weights = min(weights, 0.5 * a_row * positives)
        if config.ranker.max_nonzeros:
            weights = min(weights, size * config.ranker.max_nonzeros)
        shapes.append(
            LevelShape(level, parents, size, rows, rows * a_row, features, positives, weights)
        )
    return shapes


def _share_clusters(n_clusters: int, labels: float, n_labels: int) -> float:
    """Returns how many of a level's clusters a document with this many labels is in."""
    if n_clusters == 1 or n_labels == 1:
        return 1.0
    return min(n_clusters, labels ** (math.log(n_clusters) / math.log(n_labels)))


def _count_cluster_features(counts: Counts, n_rows: float) -> float:
    """Returns how many features the rows of a cluster have."""
    slots = n_rows * counts.nnz_features / counts.n_documents
    share = min(1.0, n_rows / counts.n_documents)
    return min(slots, counts.n_features * share**0.58)
