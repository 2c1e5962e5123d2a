"""The one-vs-rest problems of a level, posed on the host: the instances and signs that each cluster trains on.

A level is one block-diagonal problem. Its rows are (cluster, instance) pairs of the mask, sorted by cluster, with the
features of their instances. A *unit* is a cluster with at most `MAX_COLUMNS` of its children, so a cluster with very
many children is several units over the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import Loss
from xmc_jax.ops import concatenate_ranges
from xmc_jax.types import Features

MAX_COLUMNS = 256


@dataclass(frozen=True)
class Penalty:
    """The objective ½(‖w‖² + b²) + Σ C_i · loss(y_i (w·x_i + b·bias)) of each label.

    C_i is cost_positive · weight_i for positives and cost_negative for negatives.
    """

    loss: Loss
    cost_positive: float
    cost_negative: float
    bias: float


@dataclass(frozen=True)
class Census:
    """Counts over all rows of a level of which each of several processes holds only some.

    Attributes:
        n_rows: int64 [C], rows of each cluster.
        n_slots: int64 [C], sparse slots of these rows.
        n_features: int64 [C], distinct features of these rows.
        lengths: int64 [longest + 1], number of rows with each number of slots.
        start: number of this process's first document among all.
    """

    n_rows: np.ndarray
    n_slots: np.ndarray
    n_features: np.ndarray
    lengths: np.ndarray
    start: int


@dataclass(frozen=True)
class LevelProblem:
    """The rows of a level and its positives.

    Attributes:
        features: features of all N instances.
        child_offsets: int32 [C + 1], where the children of each cluster begin.
        row_offsets: int64 [C + 1], where the rows of each cluster begin.
        row_instance: int32 [R], the instance of each row.
        row_masked: bool [R], False for an instance outside the mask, which is only a positive.
        positive_row: int64 [Z], the rows of the positives, ascending.
        positive_node: int32 [Z], their children (numbered over the level).
        positive_weight: float32 [Z], their relevance, or None for 1; a pair of weight 0 is in no problem.
        census: counts over the rows of all processes, if these rows are only some of them.
    """

    features: Features
    child_offsets: np.ndarray
    row_offsets: np.ndarray
    row_instance: np.ndarray
    row_masked: np.ndarray
    positive_row: np.ndarray
    positive_node: np.ndarray
    positive_weight: np.ndarray | None
    census: Census | None = None

    @property
    def n_clusters(self) -> int:
        return len(self.child_offsets) - 1

    @property
    def max_columns(self) -> int:
        return min(int(np.diff(self.child_offsets).max()), MAX_COLUMNS)


@dataclass(frozen=True)
class Units:
    """Some (cluster, range of children) pairs [U], each array int64."""

    cluster: np.ndarray
    first_child: np.ndarray
    n_children: np.ndarray

    def __len__(self) -> int:
        return len(self.cluster)

    def __getitem__(self, which: np.ndarray) -> Units:
        return Units(self.cluster[which], self.first_child[which], self.n_children[which])


@dataclass(frozen=True)
class Chunk:
    """Some units of a level with their features renumbered: a block-diagonal problem of its own.

    Local ids are those of the features that each unit uses, followed by the constant feature of each unit.
    """

    units: Units
    row_unit: np.ndarray
    """int64 [R]."""
    row_level: np.ndarray
    """int64 [R], the row's number in the level."""
    slots: sp.csr_matrix
    """float32 [R, F + U]: features by local id, the constant feature last (if there is a bias)."""
    feature_unit: np.ndarray
    """int64 [F]: unit of a local feature, ascending."""
    feature_id: np.ndarray
    """int64 [F]: feature id of a local feature."""

    @property
    def n_features(self) -> int:
        return len(self.feature_id)

    @property
    def column_unit(self) -> np.ndarray:
        """Unit of each column of `slots`, int64 [F + U]: that of each local feature, then the constants."""
        return np.append(self.feature_unit, np.arange(len(self.units)))


def pose_level(
    features: Features,
    mask: sp.csr_matrix,
    labels: sp.csr_matrix,
    parent: np.ndarray,
    child_offsets: np.ndarray,
    relevance: sp.csr_matrix | None = None,
) -> LevelProblem:
    """Returns the rows of a level: the instances of the mask, and positives outside it.

    Args:
        features: features of N instances.
        mask: [N, C], whose stored entries are the instances that train the children of each cluster.
        labels: [N, nodes] with sorted indices, whose stored entries are the positives.
        parent: int32 [nodes], the cluster of each node.
        child_offsets: int32 [C + 1].
        relevance: [N, nodes], weights of positives; a positive without one has weight 0 and is left out (it is not a
            negative either).

    Example:
        >>> features = Features(sp.csr_matrix(np.eye(3, dtype=np.float32)), np.zeros((3, 0), np.float32))
        >>> labels = sp.csr_matrix(np.array([[1, 0], [0, 1], [0, 0]], np.float32))
        >>> mask = sp.csr_matrix(np.ones((3, 1), np.float32))
        >>> problem = pose_level(features, mask, labels, np.zeros(2, np.int32), np.array([0, 2]))
        >>> problem.row_instance.tolist(), problem.positive_node.tolist()
        ([0, 1, 2], [0, 1])
    """
    n = features.n_rows
    by_node = labels.tocsc()
    node = np.repeat(np.arange(labels.shape[1]), np.diff(by_node.indptr))
    instance = by_node.indices.astype(np.int64)
    weight = None
    if relevance is not None:
        weight = np.asarray(relevance.tocsr()[instance, node], np.float32).reshape(-1)
    rows = sp.csr_matrix(mask, copy=True)
    rows.data = np.full(
        rows.nnz, 2, np.int8
    )  # 2 marks rows in the mask, 1 those that are only positives
    pattern = sp.csr_matrix((np.ones(len(node), np.int8), (instance, parent[node])), mask.shape)
    pattern.data[:] = 1
    by_cluster = (rows + pattern).T.tocsr()
    by_cluster.sort_indices()
    offsets = by_cluster.indptr.astype(np.int64)
    cluster = np.repeat(np.arange(mask.shape[1], dtype=np.int64), np.diff(offsets))
    keys = cluster * n + by_cluster.indices
    positive_row = np.searchsorted(keys, parent[node].astype(np.int64) * n + instance)
    order = np.argsort(positive_row, kind="stable")
    return LevelProblem(
        features=features,
        child_offsets=np.asarray(child_offsets, np.int32),
        row_offsets=offsets,
        row_instance=by_cluster.indices.astype(np.int32),
        row_masked=by_cluster.data >= 2,
        positive_row=positive_row[order],
        positive_node=node[order].astype(np.int32),
        positive_weight=None if weight is None else weight[order],
    )


def list_units(problem: LevelProblem) -> Units:
    """Returns all units of a level; those of a cluster are consecutive."""
    n_children = np.diff(problem.child_offsets).astype(np.int64)
    n_units = -(-n_children // MAX_COLUMNS)
    cluster = np.repeat(np.arange(problem.n_clusters), n_units)
    part = concatenate_ranges(np.zeros(problem.n_clusters, np.int64), n_units)
    # Parts are about equal, since columns are padded to those of the widest unit.
    cut = n_children[cluster] * part // n_units[cluster]
    first = problem.child_offsets[cluster].astype(np.int64) + cut
    count = n_children[cluster] * (part + 1) // n_units[cluster] - cut
    return Units(cluster, first, count)


def split_columns(units: Units, n_parts: int) -> Units:
    """Splits the columns of a single unit into about equal parts over the same rows, so that cores can share it."""
    columns = int(units.n_children[0])
    cuts = np.linspace(0, columns, min(n_parts, columns) + 1).astype(np.int64)
    first = units.first_child[0] + cuts[:-1]
    return Units(np.repeat(units.cluster, len(first)), first, np.diff(cuts))


def count_rows(problem: LevelProblem, units: Units) -> np.ndarray:
    """Returns the number of rows of each unit, int64 [U]."""
    if problem.census is not None:
        return problem.census.n_rows[units.cluster]
    return np.diff(problem.row_offsets)[units.cluster]


def measure_rows(problem: LevelProblem) -> np.ndarray:
    """Returns the number of sparse slots of each row of the level [R]."""
    return np.diff(problem.features.sparse.indptr)[problem.row_instance]


def list_lengths(problem: LevelProblem) -> np.ndarray:
    """Returns the number of sparse slots of each row of the level, in any order, including rows of other processes."""
    if problem.census is not None:
        return np.repeat(np.arange(len(problem.census.lengths)), problem.census.lengths)
    return measure_rows(problem)


def count_nonzeros(problem: LevelProblem) -> np.ndarray:
    """Returns the number of sparse slots of all rows of each cluster, int64 [C]."""
    if problem.census is not None:
        return problem.census.n_slots
    totals = np.append(0, np.cumsum(measure_rows(problem), dtype=np.int64))
    return np.diff(totals[problem.row_offsets])


def cut_chunk(problem: LevelProblem, units: Units, bias: float) -> Chunk:
    """Returns some units with their features renumbered.

    Dense columns become slots like the sparse ones, numbered after them; a constant feature of value `bias` is appended
    to every row (none if it is 0).
    """
    n_rows = count_rows(problem, units)
    rows = concatenate_ranges(problem.row_offsets[units.cluster], n_rows)
    row_unit = np.repeat(np.arange(len(units)), n_rows)
    instance = problem.row_instance[rows]
    slots, feature_unit, feature_id = _renumber(problem.features, instance, row_unit, len(units))
    width = len(feature_id) + len(units)
    if bias > 0:
        slots = _append_constant(slots, row_unit, width, bias)
    else:
        slots.resize(len(rows), width)
    return Chunk(units, row_unit, rows, slots, feature_unit, feature_id)


def _renumber(
    features: Features, instance: np.ndarray, unit: np.ndarray, n_units: int
) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Returns the instances' rows with (unit, feature) pairs renumbered, and the unit and feature of each number."""
    matrix = features.sparse
    lengths = np.diff(matrix.indptr)[instance].astype(np.int64)
    source = concatenate_ranges(matrix.indptr[:-1][instance], lengths)
    width = features.n_sparse + features.n_dense
    ids, values = matrix.indices[source].astype(np.int64), matrix.data[source]
    indptr = np.append(0, np.cumsum(lengths))
    if features.n_dense:
        h = features.n_dense
        wide = lengths + h
        starts = np.append(0, np.cumsum(wide))
        both = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.float32)
        at_sparse = concatenate_ranges(starts[:-1], lengths)
        at_dense = (starts[:-1] + lengths)[:, None] + np.arange(h)
        both[0][at_sparse], both[1][at_sparse] = ids, values
        both[0][at_dense], both[1][at_dense] = (
            features.n_sparse + np.arange(h),
            features.dense[instance],
        )
        ids, values = both
        indptr, lengths = starts, wide
    keys = np.repeat(unit * width, lengths) + ids
    used, local = _number_keys(keys, n_units * width)
    slots = sp.csr_matrix((values, local, indptr), (len(instance), len(used)))
    return slots, used // width, used % width


def _number_keys(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct keys, ascending, and each key's place among them (int32)."""
    if n_keys <= max(64 * len(keys), 1 << 20):  # a table of all keys is faster than sorting
        seen = np.zeros(n_keys, bool)
        seen[keys] = True
        place = np.cumsum(seen, dtype=np.int32)
        return np.flatnonzero(seen), place[keys] - 1
    used, local = np.unique(keys, return_inverse=True)
    return used, local.astype(np.int32)


def _append_constant(
    slots: sp.csr_matrix, row_unit: np.ndarray, width: int, bias: float
) -> sp.csr_matrix:
    """Appends a slot (constant feature of the row's unit, bias) to every row."""
    n, n_features = slots.shape
    lengths = np.diff(slots.indptr).astype(np.int64)
    indptr = np.append(0, np.cumsum(lengths + 1))
    ids, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    at = concatenate_ranges(indptr[:-1], lengths)
    ids[at], values[at] = slots.indices, slots.data
    ids[indptr[1:] - 1], values[indptr[1:] - 1] = n_features + row_unit, bias
    return sp.csr_matrix((values, ids, indptr), (n, width))


def lay_signs(
    problem: LevelProblem, chunk: Chunk, n_columns: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the labels of a chunk's rows, dense.

    Args:
        problem: the level.
        chunk: some of its units.
        n_columns: K, at least the number of children of any unit.

    Returns:
        signs, int8 [R, K]: 1 for positives, -1 for negatives, 0 for rows not in the problem; and the relevance weights,
        float32 [R, K] (1 for negatives), if the level has any, else None.
    """
    units, k = chunk.units, n_columns
    signs = np.zeros((len(chunk.row_level), k), np.int8)
    is_child = np.arange(k)[None, :] < units.n_children[chunk.row_unit][:, None]
    signs[is_child & problem.row_masked[chunk.row_level][:, None]] = -1
    bounds = np.searchsorted(problem.positive_row, problem.row_offsets)
    first, count = bounds[units.cluster], np.diff(bounds)[units.cluster]
    which = concatenate_ranges(first, count)
    unit = np.repeat(np.arange(len(units)), count)
    # Rows of a unit are contiguous both in the level and in the chunk.
    start = np.cumsum(np.append(0, count_rows(problem, units)))[:-1]
    row = problem.positive_row[which] - problem.row_offsets[units.cluster[unit]] + start[unit]
    child = problem.positive_node[which] - units.first_child[unit]
    own = (child >= 0) & (child < units.n_children[unit])
    signs[row[own], child[own]] = 1
    if problem.positive_weight is None:
        return signs, None
    weights = np.ones(signs.shape, np.float32)
    weight = problem.positive_weight[which][own]
    weights[row[own], child[own]] = weight
    signs[row[own], child[own]] = weight > 0
    return signs, weights
