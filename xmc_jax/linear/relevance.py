"""Relevance weights of positives, carried up the tree."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmc_jax.data import scale_rows
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, labels_at


def induce_relevance(
    tree: LabelTree,
    labels: sp.csr_matrix,
    relevance: sp.csr_matrix | None,
    mode: str,
    norm: str,
) -> list[sp.csr_matrix | None]:
    """Returns the relevance of every level's positives, or None for levels whose positives all have weight 1.

    With counts of positives, `induce` and norm `l1`, a label has weight 1 / |labels of the instance| and a cluster its
    share of them (Yu et al. 2022, cost-sensitive learning).

    Args:
        tree: tree of the labels.
        labels: [N, L].
        relevance: [N, L], 0 or more, on the positives of `labels`; None for 1 on every positive.
        mode: `none`, `induce` (all levels, summed up the tree) or `last`.
        norm: `none`, `l1`, `l2` or `max`, the norm of every instance's row on every level.
    """
    n_levels = tree.n_levels
    if mode == "none":
        return [None] * n_levels
    leaf = labels if relevance is None else relevance
    levels: list[sp.csr_matrix | None] = []
    for level in range(n_levels):
        if mode == "last" and level < n_levels - 1:
            levels.append(None)
            continue
        at_level = labels_at(tree, level, leaf)
        levels.append(scale_rows(at_level, norm))
    return levels


def check_relevance(relevance: sp.csr_matrix, labels: sp.csr_matrix, mode: str) -> None:
    """Refuses relevance that does not match the labels.

    Raises:
        InputError: shapes differ, a relevance is negative or not finite or not on a positive, or mode is `none`.
    """
    if mode == "none":
        raise InputError("relevance given but ranker.relevance=none; set it to induce or last")
    if relevance.shape != labels.shape:
        raise InputError(
            f"relevance {relevance.shape} given, the shape of labels {labels.shape} needed"
        )
    if not np.isfinite(relevance.data).all() or (relevance.data < 0).any():
        raise InputError(
            "relevance holds negative or non-finite values; numbers of 0 or more needed"
        )
    outside = relevance.astype(bool).astype(np.int8) - labels.astype(bool).astype(np.int8)
    if (outside.data > 0).any():
        raise InputError(
            "relevance is set where there is no label; its entries must be positives of labels"
        )
