"""A trained model on a training set that has grown: its tree grows, and nodes with changed rows are solved again.

The problem of a node consists of the documents that train its cluster and of its positives. A node for which both are
unchanged keeps its weights, bit for bit; the others are solved as in a training, from their old weights if the solver
can begin there. So the outcome is that of a training on the grown tree, within its tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from xmc_jax.config import LinearConfig, TreeConfig
from xmc_jax.disentangle import assign_clusters, count_matches, find_reached
from xmc_jax.features import embed_labels
from xmc_jax.linear.level import choose_rows, prepare_nodes
from xmc_jax.linear.relevance import induce_relevance
from xmc_jax.linear.training import Training
from xmc_jax.memory import release_memory
from xmc_jax.model import LabelTree, LevelWeights, XRModel, labels_at, merge_levels
from xmc_jax.ops import concatenate_ranges
from xmc_jax.predict import lay_out, matched_clusters
from xmc_jax.ranker import Choice, solve_level
from xmc_jax.tree import Grown, cluster_labels, grow_tree
from xmc_jax.types import PAD, Features, Progress

MEASURED = 3_000
"""Largest number of documents whose beams measure how many positives are reached."""


@dataclass(frozen=True)
class Growth:
    """A tree of a model, and the data for its growth.

    Attributes:
        training: settings and all documents, the N known ones first.
        features: of all documents.
        model: the old model, trained on the known documents.
        labels: CSR [N, L], the labels it was trained on.
        label_origin: int32 [L'], the number that a label had before, or PAD for a new one.
        n_kept: number of levels from the top that were made elsewhere (the head of an encoder) and are kept.
    """

    training: Training
    features: Features
    model: XRModel
    labels: sp.csr_matrix
    label_origin: np.ndarray
    n_kept: int = 0

    @property
    def config(self) -> LinearConfig:
        return self.training.config

    @property
    def n_known(self) -> int:
        """Number of documents that the model was trained on."""
        return self.labels.shape[0]

    def grow(self) -> Grown:
        """Returns the tree with the new labels, under the clusters that their documents are routed to."""
        tree = self.model.tree
        capacity = max(tree.max_children(-1), self.config.tree.max_leaf_size)
        new_label, new_cluster = self._place_labels()
        return grow_tree(
            tree,
            self.label_origin,
            new_label,
            new_cluster,
            # Levels that are kept have no weights for nodes of a split.
            capacity=None if self.n_kept >= tree.n_levels - 1 else capacity,
            split=self._split,
        )

    def _place_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the clusters of each new label, at most as many as there are copies."""
        tree, new = self.model.tree, np.flatnonzero(self.label_origin == PAD)
        if not len(new) or tree.n_levels == 1:
            return new, np.zeros(len(new), np.int64)
        labels = self.training.labels[:, new]
        rows = np.flatnonzero(np.diff(labels.indptr))
        n_clusters = tree.n_parents(-1)
        label = cluster = np.zeros(0, np.int64)
        if len(rows):
            beam = self.config.search.choose_beam()
            upper, mesh = self.model.cut(-1), self.training.machine.own_mesh
            matched = matched_clusters(lay_out(upper, mesh), self.features[rows], beam, mesh=mesh)
            order = count_matches(labels[rows], matched).order
            room = np.full(len(new), self.config.disentangle.copies)
            label, cluster = assign_clusters(order, room, np.full(n_clusters, len(new)))
        # A label without documents is put where there is the most room.
        rest = np.setdiff1d(np.arange(len(new)), label)
        smallest = np.argmin(np.diff(tree.children_offsets(-1)))
        label = np.append(label, rest)
        return new[label], np.append(cluster, np.full(len(rest), smallest))

    def _split(self, labels: np.ndarray, depth: int) -> np.ndarray:
        """Returns the parts of a full cluster, by balanced 2-means, as the tree was built."""
        config = self.config.tree
        # Label features exist only for the old labels.
        if config.embedding not in ("pifa", "pii"):
            config = TreeConfig(sketch=config.sketch)
        some = self.training.labels[:, labels]
        rows = np.flatnonzero(np.diff(some.indptr))
        embeddings = embed_labels(
            self.features[rows], some[rows], config=config, seed=self.config.seed
        )
        return cluster_labels(embeddings, depth, seed=self.config.seed)

    def list_relevance(self, tree: LabelTree) -> list[tuple[sp.csr_matrix, sp.csr_matrix] | None]:
        """Returns the old and new relevance of every level's positives; see `induce_relevance`."""
        ranker = self.config.ranker
        how = (None, ranker.relevance, ranker.relevance_norm)
        before = induce_relevance(self.model.tree, self.labels, *how)
        now = induce_relevance(tree, self.training.labels, *how)
        return [
            None if a is None or b is None else (a, b) for a, b in zip(before, now, strict=True)
        ]


def grow_level(
    growth: Growth,
    grown: Grown,
    levels: Sequence[LevelWeights],
    relevance: tuple[sp.csr_matrix, sp.csr_matrix] | None,
    progress: Progress,
    chosen: list[Choice],
) -> tuple[LevelWeights, int]:
    """Returns the level below those given, and how many of its nodes were solved again; the others keep their weights.

    Args:
        growth: the model and the data for its growth.
        grown: its tree.
        levels: the new levels above, from the top.
        relevance: old and new relevance of the level's positives [N, nodes], or None.
        progress: told about its nodes.
        chosen: list that receives the choice of solvers, if any node is solved.
    """
    level, tree, old = len(levels), grown.tree, growth.model
    origin, before = grown.origins[level], old.levels[level]
    progress.start(f"level {level}", tree.level_sizes[level])
    if level < growth.n_kept:
        changed = np.zeros(len(origin), bool)
    else:
        now = XRModel(tree, tuple(levels), old.post_processors, old.n_sparse, old.n_dense)
        mask, positives = _list_rows(growth, now, growth.training.labels, growth.features)
        known = growth.features[: growth.n_known]
        old_mask, old_positives = _list_rows(growth, old.cut(level), growth.labels, known)
        parent, old_parent = tree.parent(level), old.tree.parent(level)
        changed = find_changed(
            origin, (parent, mask, positives), (old_parent, old_mask, old_positives)
        )
        if relevance is not None:
            changed |= ~_are_equal(*relevance, origin, np.arange(len(origin)), values=True)
    offsets, n_dense = tree.children_offsets(level), before.dense.shape[1]
    nodes, solved = np.flatnonzero(changed), None
    if len(nodes):
        clusters, place = np.unique(parent[nodes], return_inverse=True)
        starts = np.searchsorted(place, np.arange(len(clusters) + 1)).astype(np.int32)
        weigh = None if relevance is None else relevance[1]
        problem, penalty, exact = prepare_nodes(
            place.astype(np.int32),
            starts,
            level,
            growth.features,
            _take(positives, nodes),
            _take(mask, clusters),
            growth.config.ranker,
            growth.config.seed,
            growth.training.machine,
            relevance=None if weigh is None else _take(weigh, nodes),
            held=growth.training.count_held() + sum(w.n_bytes for w in old.levels),
        )

        def start() -> LevelWeights:
            part = before, _invert(origin[nodes], before.n_nodes)
            return merge_levels(starts, n_dense, [part])

        solved = solve_level(
            problem,
            penalty,
            replace(exact, together=True),
            start=start,
            advance=progress.advance,
            tell=chosen.append,
        )
    weights = _join(before, np.where(changed, PAD, origin), offsets, solved, nodes)
    release_memory()
    how = f"; {chosen[-1].describe()}" if chosen else ""
    progress.finish(f"{len(nodes):,} of {len(origin):,} nodes solved again{how}")
    return weights, len(nodes)


def _join(
    before: LevelWeights,
    origin: np.ndarray,
    offsets: np.ndarray,
    solved: LevelWeights | None,
    nodes: np.ndarray,
) -> LevelWeights:
    """Returns a level of nodes of before (`origin`, or PAD) and of those that were solved; copied where both are."""
    if solved is not None and len(nodes) == len(origin):
        return solved
    same = solved is None and np.array_equal(origin, np.arange(before.n_nodes))
    if same and np.array_equal(offsets, before.child_offsets):
        return before
    parts = [(before, _invert(origin, before.n_nodes))]
    parts += [] if solved is None else [(solved, nodes)]
    return merge_levels(offsets, before.dense.shape[1], parts)


def _list_rows(
    growth: Growth, model: XRModel, labels: sp.csr_matrix, features: Features
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Returns the documents of each cluster above the model's next level [N, C], and the positives of its nodes."""
    mask = choose_rows(growth.training, model, features, labels, None, None)
    return mask, labels_at(model.tree, len(model.levels), labels)


def find_changed(
    origin: np.ndarray,
    now: tuple[np.ndarray, sp.csr_matrix, sp.csr_matrix],
    before: tuple[np.ndarray, sp.csr_matrix, sp.csr_matrix],
) -> np.ndarray:
    """Returns whether the problem of each node of a level has changed, bool [nodes].

    Args:
        origin: int32 [nodes], the old node, or PAD.
        now: parents of the nodes, documents that train each cluster [N', C], and positives of each node [N', nodes].
        before: the same for the old level; its documents are the first N of the new ones.
    """
    (parent, mask, positives), (old_parent, old_mask, old_positives) = now, before
    node = np.flatnonzero(origin >= 0)
    pairs = parent[node].astype(np.int64) * old_mask.shape[1] + old_parent[origin[node]]
    distinct, place = np.unique(pairs, return_inverse=True)
    new_cluster, old_cluster = np.divmod(distinct, old_mask.shape[1])
    same = _are_equal(old_mask, mask, old_cluster, new_cluster)[place]
    changed = np.ones(len(origin), bool)
    changed[node[same]] = ~_are_equal(old_positives, positives, origin[node[same]], node[same])
    return changed


def _are_equal(
    before: sp.csr_matrix,
    now: sp.csr_matrix,
    old_column: np.ndarray,
    column: np.ndarray,
    *,
    values: bool = False,
) -> np.ndarray:
    """Returns whether pairs of columns store the same rows (and values), bool; a column PAD equals none."""
    a, b = before.tocsc(), now.tocsc()
    a.sort_indices()
    b.sort_indices()
    lengths = np.diff(a.indptr)[old_column].astype(np.int64)
    equal = (lengths == np.diff(b.indptr)[column]) & (old_column >= 0)
    which = np.flatnonzero(equal)
    lengths = lengths[which]
    i = concatenate_ranges(a.indptr[:-1][old_column[which]], lengths)
    j = concatenate_ranges(b.indptr[:-1][column[which]], lengths)
    differs = a.indices[i] != b.indices[j]
    if values:
        differs |= a.data[i] != b.data[j]
    pair = np.repeat(which, lengths)
    equal[pair[differs]] = False
    return equal


def _take(matrix: sp.csr_matrix, columns: np.ndarray) -> sp.csr_matrix:
    """Returns some columns, ascending."""
    out = matrix[:, columns].tocsr()
    out.sort_indices()
    return out


def _invert(origin: np.ndarray, n_nodes: int) -> np.ndarray:
    """Returns the new place of each old node, or PAD."""
    target = np.full(n_nodes, PAD, np.int64)
    there = np.flatnonzero(origin >= 0)
    target[origin[there]] = there
    return target


def measure_reached(
    model: XRModel, features: Features, labels: sp.csr_matrix, beam: int, mesh: Mesh | None
) -> float | None:
    """Returns the share of positives whose label is under a cluster in the document's beam; None without clusters.

    Args:
        model: its tree and upper levels route the documents.
        features: features of N documents, of which a sample is searched.
        labels: [N, L].
        beam: number of clusters per document.
        mesh: of the devices that share the work; None: the default device.
    """
    if model.tree.n_levels == 1 or not labels.nnz:
        return None
    rows = np.unique(np.linspace(0, len(features) - 1, MEASURED).astype(int))
    matched = matched_clusters(lay_out(model.cut(-1), mesh), features[rows], beam, mesh=mesh)
    return find_reached(labels[rows], matched, model.tree).share
