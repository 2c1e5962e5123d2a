"""The start of a level's fine-tuning: the clusters near each document, and the head's initial weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import RankerConfig, TransformerConfig, at_level
from xmc_jax.data import scale_rows
from xmc_jax.linear.level import prepare_nodes
from xmc_jax.matcher import choose_pairs
from xmc_jax.model import Head, LabelTree, LevelWeights, inherit_head, init_head, labels_at
from xmc_jax.parallel import Machine
from xmc_jax.predict import extend_matches
from xmc_jax.ranker import solve_level
from xmc_jax.tuning.hybrid import hold_vectors, join_features, to_head, to_level
from xmc_jax.types import Progress

_HEAD: dict[str, Any] = {
    "cost_positive": 100.0,  # for vectors of unit length, most of whose numbers are far below 1
    "cost_negative": 100.0,
    "tolerance": 1e-2,
    "max_epochs": 10,
}
"""How a head is initialised, and how exactly: fine-tuning continues from there."""
_MATCHER: dict[str, Any] = {"tolerance": 1e-3, "max_epochs": 30}
_SOLVED = ("linear", "weighted-linear")
"""Values of `tuning.bootstrap` for which a head starts as a linear model."""
_LEAST, _EACH = 2048, 128
"""Number of documents that level 0 is initialised with: this many, or this many per node if that is more."""


@dataclass(frozen=True)
class LevelStart:
    """The start of a level.

    Attributes:
        head: the initial weights.
        matched: the clusters above that are near each training document, with scores, CSR [N, C]; None: the root.
        held_out: the same for the held-out documents, if there are any.
    """

    head: Head
    matched: sp.csr_matrix | None = None
    held_out: sp.csr_matrix | None = None


@dataclass(frozen=True)
class Documents:
    """Documents that are carried down the levels: the training set or the held-out set.

    Attributes:
        features: CSR [N, D].
        labels: CSR [N, L].
        vectors: the vectors of the encoder as it is now, [N, H].
    """

    features: sp.csr_matrix
    labels: sp.csr_matrix
    vectors: np.ndarray


def start_first_level(
    tree: LabelTree,
    labels: sp.csr_matrix,
    config: TransformerConfig,
    machine: Machine,
    hidden: int,
    embed: Callable[[np.ndarray], np.ndarray],
) -> LevelStart:
    """Returns the start of level 0; `embed` returns the pretrained vectors of some documents, if they are needed.

    A level with few nodes needs only some documents of each.
    """
    tuning = config.tuning
    if tuning.bootstrap in _SOLVED:
        n, size = labels.shape[0], tree.level_sizes[0]
        rows = np.random.default_rng((config.seed, 0)).permutation(n)
        rows = np.sort(rows[: max(_LEAST, _EACH * size)])
        head = _solve_head(
            tree, 0, embed(rows), labels_at(tree, 0, labels[rows]), None, config, machine
        )
    else:
        head = init_head(tree.level_sizes[0], hidden, (config.seed, 0))
    return LevelStart(head)


def start_level(
    tree: LabelTree,
    level: int,
    above: LevelStart,
    head: Head,
    documents: Documents,
    held_out: Documents | None,
    config: TransformerConfig,
    machine: Machine,
    progress: Progress,
) -> LevelStart:
    """Returns the start of a level below the first.

    Args:
        tree: the tree that the encoder is fine-tuned on.
        level: 1 or more.
        above: the start of the level above.
        head: the head that the level above ended with.
        documents: the training set.
        held_out: documents to evaluate on, or None.
        config: all settings.
        machine: the machine that its linear models are solved on.
        progress: is told about the solved nodes, as a stage.
    """
    tuning = config.tuning
    solves_head = tuning.bootstrap in _SOLVED
    above_size, size = tree.level_sizes[level - 1], tree.level_sizes[level]
    n_solved = above_size * (tuning.match != "encoder") + size * solves_head
    progress.start(f"start of level {level}", n_solved)
    advance = progress.advance
    weights, join = _train_matcher(
        tree, level - 1, above, head, documents, config, machine, advance
    )
    kind = at_level(config.search.post_processor, level - 1)
    matched = extend_matches(weights, kind, join(documents), above.matched, tuning.match_beam)
    held = None
    if held_out is not None:
        held = extend_matches(weights, kind, join(held_out), above.held_out, tuning.match_beam)
    labels = labels_at(tree, level, documents.labels)
    mask = choose_mask(tree, level, documents.labels, matched, config)
    if solves_head:
        new = _solve_head(tree, level, documents.vectors, labels, mask, config, machine, advance)
    elif tuning.bootstrap == "inherit":
        new = inherit_head(head, np.asarray(tree.parent(level)))
    else:
        new = init_head(tree.level_sizes[level], head.weights.shape[1], (config.seed, level))
    progress.finish("")
    return LevelStart(new, matched, held)


def choose_mask(
    tree: LabelTree,
    level: int,
    labels: sp.csr_matrix,
    matched: sp.csr_matrix | None,
    config: TransformerConfig,
) -> sp.csr_matrix:
    """Returns the clusters above a level that are near each training document, by `tuning.negatives`."""
    above = labels_at(tree, level - 1, labels) if level else None
    n = labels.shape[0]
    return choose_pairs(config.tuning.negatives, level, n, positives=above, matched=matched)


def _train_matcher(
    tree: LabelTree,
    level: int,
    start: LevelStart,
    head: Head,
    documents: Documents,
    config: TransformerConfig,
    machine: Machine,
    advance: Callable[[int], None],
) -> tuple[LevelWeights, Callable]:
    """Returns the model that matches documents with the nodes of a level, and the function that makes its features."""
    tuning = config.tuning
    if tuning.match == "encoder":
        return to_level(head, tree, level), lambda d: hold_vectors(d.vectors)

    def join(d: Documents):
        return join_features(d.features, d.vectors)

    labels = labels_at(tree, level, documents.labels)
    mask = choose_mask(tree, level, documents.labels, start.matched, config)
    relevance = scale_rows(labels, "l1") if tuning.cost_sensitive else None
    ranker = RankerConfig(threshold=tuning.threshold, **_MATCHER)
    problem = prepare_nodes(
        tree.parent(level),
        tree.children_offsets(level),
        level,
        join(documents),
        labels,
        mask,
        ranker,
        config.seed,
        machine,
        relevance=relevance,
    )
    weights = solve_level(*problem, advance=advance)
    return weights, join


def _solve_head(
    tree: LabelTree,
    level: int,
    vectors: np.ndarray,
    labels: sp.csr_matrix,
    mask: sp.csr_matrix | None,
    config: TransformerConfig,
    machine: Machine,
    advance: Callable[[int], None] = lambda n: None,
) -> Head:
    """Returns the linear model on unscaled vectors; `weighted-linear` weights positives by their counts."""
    tuning = config.tuning
    if mask is None:
        mask = choose_pairs("tfn", 0, labels.shape[0])
    ranker = RankerConfig(threshold=0.0, **_HEAD)
    relevance = labels if tuning.bootstrap == "weighted-linear" else None
    features = hold_vectors(vectors)
    problem = prepare_nodes(
        tree.parent(level),
        tree.children_offsets(level),
        level,
        features,
        labels,
        mask,
        ranker,
        config.seed,
        machine,
        relevance=relevance,
    )
    weights = solve_level(*problem, advance=advance)
    return to_head(weights)
