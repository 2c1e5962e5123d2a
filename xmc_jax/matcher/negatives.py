"""Chooses the instances that train each cluster: the mask [N, C] of a level (host side).

| source | an instance trains the clusters |
| --- | --- |
| `tfn`, teacher forcing | that hold one of its labels |
| `man`, matcher aware | in its beam, in a search with the levels trained so far |
| `usn`, user supplied | that the user names, or that are above those |

Sources joined by `+` are united; the children of the root are trained on all instances. Yu et al. 2022, "PECOS".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import Negatives
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, labels_at


def choose_pairs(
    kind: Negatives,
    level: int,
    n_instances: int,
    *,
    positives: sp.spmatrix | None = None,
    matched: sp.spmatrix | None = None,
    user: sp.spmatrix | None = None,
) -> sp.csr_matrix:
    """Returns the instances that train each of the clusters above `level`.

    Args:
        kind: the sources, as in the config.
        level: number of the level; level 0, the root's children, needs no further arguments than `n_instances`.
        n_instances: N.
        positives: `labels_at(tree, level - 1, Y)` [N, C], for `tfn`.
        matched: beams of the matcher on the training set [N, C], for `man`; stored zeros count.
        user: the result of `propagate_pairs` for this level [N, C], for `usn`.

    Returns:
        float32 CSR [N, C] of ones with sorted indices.

    Raises:
        InputError: a source that is missing or has another shape.

    Example:
        >>> positives, matched = sp.csr_matrix([[1, 0]]), sp.csr_matrix([[0, 1]])
        >>> choose_pairs("tfn+man", 1, 1, positives=positives, matched=matched).toarray().tolist()
        [[1.0, 1.0]]
    """
    if level == 0:
        return _everybody(n_instances)
    given = {"tfn": positives, "man": matched, "usn": user}
    masks = []
    for name in kind.split("+"):
        mask = given[name]
        if mask is None:
            what = {"tfn": "labels", "man": "beams", "usn": "a user's matrix"}[name]
            raise InputError(f"negatives '{kind}' for level {level} given, {what} for it needed")
        masks.append(_binarise(mask))
        if mask.shape != masks[0].shape or mask.shape[0] != n_instances:
            raise InputError(
                f"negatives '{name}' for level {level} of shape {mask.shape} given, "
                f"{n_instances} rows and {masks[0].shape[1]} columns needed"
            )
    return _binarise(sum(masks[1:], masks[0]))


def propagate_pairs(
    tree: LabelTree, given: Mapping[int, sp.spmatrix], n_instances: int
) -> tuple[sp.csr_matrix, ...]:
    """Carries a user's pairs up the tree: an instance that trains a node also trains the nodes above it.

    Args:
        tree: tree of L labels.
        given: matrices by the number of levels above the labels: 0 for [N, L], 1 for [N, clusters of the last level], 2
            for the clusters above, and so on.
        n_instances: N.

    Returns:
        For each level, the pairs with the nodes above it, float32 CSR of ones; for level 0, all instances.

    Raises:
        InputError: a level that the tree does not have, or a matrix of another shape.
    """
    last = tree.n_levels - 1
    _check_user(tree, given, n_instances)
    pairs = {last - height: _binarise(matrix) for height, matrix in given.items()}
    here = labels_at(tree, last, pairs.get(last, _empty(n_instances, tree.n_labels)))
    masks = []
    for level in range(last, 0, -1):
        here = here @ tree.assignment(level)
        here = _binarise(here + pairs[level - 1] if level - 1 in pairs else here)
        masks.append(here)
    return (_everybody(n_instances), *reversed(masks))


def _check_user(tree: LabelTree, given: Mapping[int, sp.spmatrix], n_instances: int) -> None:
    for height, matrix in given.items():
        if height not in range(tree.n_levels):
            raise InputError(
                f"user's negatives for {height} levels above the labels given, "
                f"0 (labels) to {tree.n_levels - 1} needed"
            )
        sizes = tree.level_sizes
        need = (n_instances, sizes[-1 - height] if height else tree.n_labels)
        if matrix.shape != need:
            what = f"{height} levels above the labels" if height else "labels"
            raise InputError(
                f"user's negatives for {what} of shape {matrix.shape} given, {need} needed"
            )


def _binarise(matrix: sp.spmatrix) -> sp.csr_matrix:
    """Returns ones in the place of stored entries, sorted and without duplicates."""
    out = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    out.sum_duplicates()
    out.data[:] = 1.0
    return out


def _everybody(n_instances: int) -> sp.csr_matrix:
    return sp.csr_matrix(np.ones((n_instances, 1), np.float32))


def _empty(n_rows: int, n_columns: int) -> sp.csr_matrix:
    return sp.csr_matrix((n_rows, n_columns), dtype=np.float32)
