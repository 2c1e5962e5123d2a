"""Solves a level whose documents are held by several processes.

Each process poses the rows of its documents. From counts that all processes share, they divide the level in the same
way, as one process would; each then receives the rows of its own chunks, with the features of their documents, and the
resulting weights are sent to the process that owns their cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.model import LevelShare, balance_clusters
from xmc_jax.ops import concatenate_ranges
from xmc_jax.parallel import Arrays, Rows, add_up, gather_each, list_share, trade
from xmc_jax.ranker.parts import Part, choose_child_type, join_parts
from xmc_jax.ranker.problem import Census, LevelProblem, Units, measure_rows
from xmc_jax.types import Features

_COUNTED_SLOTS = 2**22
"""Number of slots per process whose features are counted at once."""


def take_census(problem: LevelProblem, rows: Rows) -> LevelProblem:
    """Returns the rows of this process's documents with counts over those of all; all processes call this together.

    Args:
        problem: the rows of this process's documents, from `pose_level`.
        rows: the documents of each process.
    """
    lengths = measure_rows(problem)
    totals = np.append(0, np.cumsum(lengths, dtype=np.int64))
    counts = add_up(np.stack([np.diff(problem.row_offsets), np.diff(totals[problem.row_offsets])]))
    longest = max(int(sent["n"]) for sent in gather_each({"n": np.asarray(lengths.max(initial=0))}))
    histogram = add_up(np.bincount(lengths, minlength=longest + 1).astype(np.int64))
    n_features = _count_features(problem, counts[1])
    return replace(problem, census=Census(counts[0], counts[1], n_features, histogram, rows.start))


def _count_features(problem: LevelProblem, n_slots: np.ndarray) -> np.ndarray:
    """Returns the number of distinct features of each cluster's rows, int64 [C]; each process counts some clusters."""
    features, width = problem.features.sparse, problem.features.n_sparse
    n_processes, me = jax.process_count(), jax.process_index()
    found = np.zeros(problem.n_clusters, np.int64)
    group = np.cumsum(n_slots) // (_COUNTED_SLOTS * n_processes)
    bounds = np.append(np.flatnonzero(np.append(True, np.diff(group) != 0)), problem.n_clusters)
    for first, end in pairwise(bounds.tolist()):
        offsets = problem.row_offsets[first : end + 1]
        instance = problem.row_instance[offsets[0] : offsets[-1]]
        lengths = np.diff(features.indptr)[instance].astype(np.int64)
        at = concatenate_ranges(features.indptr[:-1][instance], lengths)
        cluster = np.repeat(np.arange(first, end), np.diff(offsets))
        keys = np.unique(np.repeat(cluster * width, lengths) + features.indices[at])
        cuts = first + (end - first) * np.arange(n_processes + 1) // n_processes
        places = np.searchsorted(keys, cuts * width)
        sent = trade([{"keys": keys[a:b]} for a, b in pairwise(places.tolist())])
        mine = np.unique(np.concatenate([part["keys"] for part in sent]))
        found[cuts[me] : cuts[me + 1]] = np.bincount(
            mine // max(width, 1) - cuts[me], minlength=cuts[me + 1] - cuts[me]
        )
    return add_up(found)


def fetch_chunks(problem: LevelProblem, chunks: Sequence[Units]) -> LevelProblem:
    """Returns the rows that this process solves, given those of its documents; all processes call this together.

    Args:
        problem: from `take_census`.
        chunks: the chunks of all processes, in the order in which they are dealt out.

    Returns:
        All rows of the clusters in this process's chunks, and no others, with the features of their documents.
    """
    n_processes = jax.process_count()
    dealt = [list_share(len(chunks), process) for process in range(n_processes)]
    wanted = [
        np.unique(np.concatenate([np.zeros(0, np.int64), *(chunks[k].cluster for k in share)]))
        for share in dealt
    ]
    sent = trade([_cut_rows(problem, clusters) for clusters in wanted])
    return _join_rows(problem, wanted[jax.process_index()], sent)


def _cut_rows(problem: LevelProblem, clusters: np.ndarray) -> dict[str, np.ndarray]:
    """Returns this process's rows of some clusters as a message."""
    n_rows = np.diff(problem.row_offsets)[clusters]
    rows = concatenate_ranges(problem.row_offsets[clusters], n_rows)
    documents, instance = np.unique(problem.row_instance[rows], return_inverse=True)
    bounds = np.searchsorted(problem.positive_row, np.stack([rows, rows + 1]))
    n_positives = bounds[1] - bounds[0]
    which = concatenate_ranges(bounds[0], n_positives)
    features = problem.features[documents]
    out = {
        "n_rows": n_rows,
        "instance": instance.astype(np.int32),
        "masked": problem.row_masked[rows],
        "n_positives": n_positives.astype(np.int32),
        "node": problem.positive_node[which],
        "n_slots": np.diff(features.sparse.indptr).astype(np.int32),
        "indices": features.sparse.indices.astype(np.int32, copy=False),
        "values": features.sparse.data,
        "dense": features.dense,
    }
    if problem.positive_weight is not None:
        out["weight"] = problem.positive_weight[which]
    return out


def _join_rows(problem: LevelProblem, clusters: np.ndarray, sent: Sequence[Arrays]) -> LevelProblem:
    """Returns the rows that all processes sent, by cluster and then by the global number of the document."""

    def join(name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in sent])

    n_documents = [len(part["n_slots"]) for part in sent]
    first = np.repeat(np.cumsum([0, *n_documents[:-1]]), [len(part["instance"]) for part in sent])
    cluster = np.concatenate([np.repeat(clusters, part["n_rows"]) for part in sent])
    order = np.argsort(cluster, kind="stable")
    offsets = np.zeros(problem.n_clusters + 1, np.int64)
    offsets[1:] = np.cumsum(np.bincount(cluster, minlength=problem.n_clusters))
    n_positives = join("n_positives").astype(np.int64)
    starts = np.cumsum(n_positives) - n_positives
    which = concatenate_ranges(starts[order], n_positives[order])
    indptr = np.append(0, np.cumsum(join("n_slots"), dtype=np.int64))
    sparse = sp.csr_matrix(
        (join("values"), join("indices"), indptr), (sum(n_documents), problem.features.n_sparse)
    )
    return replace(
        problem,
        features=Features(sparse, join("dense")),
        row_offsets=offsets,
        row_instance=(first + join("instance"))[order].astype(np.int32),
        row_masked=join("masked")[order],
        positive_row=np.repeat(np.arange(len(order)), n_positives[order]),
        positive_node=join("node")[which],
        positive_weight=None if problem.positive_weight is None else join("weight")[which],
    )


def share_parts(child_offsets: np.ndarray, n_dense: int, parts: list[Part]) -> LevelShare:
    """Returns the weights of the clusters that this process owns, given the parts that all processes solved.

    Args:
        child_offsets: int32 [C + 1].
        n_dense: H.
        parts: parts of this process; the list is emptied.
    """
    n_processes, me, n_clusters = jax.process_count(), jax.process_index(), len(child_offsets) - 1
    counts = np.zeros(n_clusters, np.int64)
    for part in parts:
        np.add.at(counts, part.cluster, part.n_entries)
    bounds = balance_clusters(add_up(counts), n_processes)
    messages: list[list[Part]] = [[] for _ in range(n_processes)]
    while parts:
        part = parts.pop()
        for process, (start, stop) in enumerate(pairwise(bounds.tolist())):
            messages[process].append(_cut_part(part, child_offsets, start, stop))
    empty = _empty_part(child_offsets, n_dense)
    sent = trade([_join([empty, *some])._asdict() for some in messages])
    start, stop = int(bounds[me]), int(bounds[me + 1])
    first = int(child_offsets[start])
    own = [_renumber(Part(**arrays), start, first) for arrays in sent]
    weights = join_parts(child_offsets[start : stop + 1] - first, n_dense, own)
    return LevelShare.gather(weights, start, np.asarray(child_offsets, np.int32))


def _cut_part(part: Part, child_offsets: np.ndarray, start: int, stop: int) -> Part:
    """Returns the entries of a part in the clusters from `start` to `stop` - 1."""
    units = (part.cluster >= start) & (part.cluster < stop)
    entries = np.repeat(units, part.n_entries)
    nodes = (part.node >= child_offsets[start]) & (part.node < child_offsets[stop])
    return Part(
        part.cluster[units],
        part.n_entries[units],
        part.feature[entries],
        part.child[entries],
        part.value[entries],
        part.node[nodes],
        part.bias[nodes],
        part.dense[nodes],
    )


def _renumber(part: Part, cluster: int, node: int) -> Part:
    return part._replace(cluster=part.cluster - cluster, node=part.node - node)


def _join(parts: Sequence[Part]) -> Part:
    return Part(*map(np.concatenate, zip(*parts, strict=True)))


def _empty_part(child_offsets: np.ndarray, n_dense: int) -> Part:
    none, real = np.zeros(0, np.int64), np.zeros(0, np.float32)
    child: np.ndarray = np.zeros(0, choose_child_type(child_offsets))
    dense = np.zeros((0, n_dense), np.float32)
    return Part(none, none, none.astype(np.int32), child, real, none, real, dense)
